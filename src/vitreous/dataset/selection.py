"""Which rows of a table stay: by value, by text, by class, in subsets (postprocessing.md 1)."""

from __future__ import annotations

import math
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import AbsentError, InputError
from vitreous.io import Table


def by_value(table: Table, label: str, lowest: float, highest: float) -> NDArray[np.bool_]:
    """Return a mask of the rows whose value lies in a range.

    Parameters
    ----------
    table
        Particles, micrographs or movies.
    label
        A column of numbers.
    lowest, highest
        Both belong to the range. A value that is not a number never does.

    Raises
    ------
    InputError
        There is no such column, it holds text, or the range is empty.
    """
    label = label.removeprefix("_")
    if not lowest <= highest:
        raise InputError(
            f"The range of {label} goes from {lowest:g} to {highest:g}, so no value lies in it."
        )
    values = _column(table, label, numeric=True).astype(np.float64)
    return np.asarray((values >= lowest) & (values <= highest))


def value_range(table: Table, label: str) -> str:
    """Say from where to where the values of a column of numbers go."""
    values = _column(table, label.removeprefix("_"), numeric=True).astype(np.float64)
    known = values[np.isfinite(values)]
    return f"{known.min():g} to {known.max():g}" if len(known) else "no numbers at all"


def by_text(table: Table, label: str, include: str = "", exclude: str = "") -> NDArray[np.bool_]:
    """Return a mask of the rows whose text contains `include` and not `exclude`.

    An empty text asks nothing.
    """
    label = label.removeprefix("_")
    texts = _column(table, label, numeric=False).tolist()
    return np.array(
        [include in text and not (exclude and exclude in text) for text in map(str, texts)], bool
    )


def by_class(classes: NDArray[np.int64], selected: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose class is selected.

    Parameters
    ----------
    classes
        ``n``: class of each row, counted from 1.
    selected
        ``k``: whether each class is chosen.
    """
    inside = (classes >= 1) & (classes <= len(selected))
    chosen = np.zeros(len(classes), bool)
    chosen[inside] = selected[classes[inside] - 1]
    return chosen


def at_most_per_class(
    classes: NDArray[np.int64], chosen: NDArray[np.bool_], most: int
) -> NDArray[np.bool_]:
    """Return `chosen` with only the first `most` rows of each class left."""
    kept = np.zeros_like(chosen)
    for number in np.unique(classes[chosen]):
        kept[np.flatnonzero(chosen & (classes == number))[:most]] = True
    return kept


def parse_classes(text: str, n_classes: int) -> NDArray[np.bool_]:
    """Read ``1,3-5`` as a mask of classes.

    Raises
    ------
    InputError
        It is not a list of numbers and ranges, or a class does not exist.
    """
    selected = np.zeros(n_classes, bool)
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise InputError(
                f"Classes {text!r}: {part!r} is neither a number nor a range. Write them as 1,3-5."
            )
        low, high = int(first), int(last) if dash else int(first)
        if n_classes < 1:
            raise InputError(
                f"Classes {text!r}: no class can be chosen, since no row has been assigned to one."
            )
        if not 1 <= low <= high <= n_classes:
            raise InputError(
                f"Classes {text!r}: {part} is not within the classes there are, 1 to {n_classes}."
            )
        selected[low - 1 : high] = True
    return selected


def split(
    n_rows: int, n_subsets: int, size: int, generator: np.random.Generator | None = None
) -> tuple[list[NDArray[np.int64]], int]:
    """Deal rows into subsets.

    Parameters
    ----------
    n_rows
        How many rows there are.
    n_subsets, size
        How many subsets, and how many rows in each; one of the two may be 0 or less, meaning as
        many as are needed. Where both are given, rows beyond `n_subsets` x `size` are dropped.
    generator
        Shuffles the rows first; None keeps their order.

    Returns
    -------
    list of ndarray
        Row numbers of each subset that has any.
    int
        How many rows are in none.

    Raises
    ------
    InputError
        Neither number is given.
    """
    if n_subsets <= 0 and size <= 0:
        raise InputError("To split, give the size of the subsets, or how many are wanted.")
    if size <= 0:
        size = max(1, math.ceil(n_rows / n_subsets))
    elif n_subsets <= 0:
        n_subsets = math.ceil(n_rows / size)
    order = np.arange(n_rows) if generator is None else generator.permutation(n_rows)
    subsets = [order[first : first + size] for first in range(0, n_rows, size)][:n_subsets]
    return subsets, n_rows - sum(len(subset) for subset in subsets)


def _column(table: Table, label: str, *, numeric: bool) -> NDArray[np.generic]:
    """Return a column, or say which columns there are."""
    fitting = [name for name in table.labels if (table[name].dtype != object) == numeric]
    kind = "numbers" if numeric else "text"
    if label in fitting:
        return table[label]
    near = get_close_matches(label, fitting, 1, cutoff=0.7)
    hint = f" Did you mean {near[0]}?" if near else ""
    if label in table:
        raise InputError(
            f"data_{table.name}: {label} does not hold {kind}.{hint} "
            f"Columns of {kind}: {', '.join(fitting)}."
        )
    raise AbsentError(
        f"data_{table.name}: there is no column {label}.{hint} "
        f"Columns of {kind}: {', '.join(fitting)}."
    )
