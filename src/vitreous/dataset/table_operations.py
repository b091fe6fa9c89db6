"""What can be done to the rows of one STAR table, or two, without looking at images.

Choosing, splitting, joining and finding duplicates are in `selection`, `joining`, `duplicates`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from vitreous.errors import InputError
from vitreous.io import Table
from vitreous.io.labels import Kind, kind_of

_MARGIN = 1e-9
_MOST_BINS = 10_000


def matches(
    left: Table, right: Table, labels: Sequence[str], max_distance: float = 0.0
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Find rows that stand for the same thing in two tables.

    Parameters
    ----------
    left, right
        The tables.
    labels
        One column of any type, or two or three columns of numbers that span a plane or space.
    max_distance
        How far apart numbers may lie, the bound included; text must be equal.

    Returns
    -------
    ndarray, ndarray
        For each row of `left`, whether `right` has such a row; and the other way round.
    """
    if not 1 <= len(labels) <= 3:
        raise InputError(f"compare one to three columns, not {len(labels)}")
    if len(labels) == 1 and left[labels[0]].dtype == object:
        a, b = left[labels[0]].astype(str), right[labels[0]].astype(str)
        return np.isin(a, b), np.isin(b, a)
    first, second = _points(left, labels), _points(right, labels)
    return _near(first, second, max_distance), _near(second, first, max_distance)


def operate(
    table: Table,
    labels: Sequence[str],
    *,
    set_to: str | None = None,
    multiply_by: float = 1.0,
    add_to: float = 0.0,
) -> Table:
    """Set columns to one value, or multiply them and then add to them.

    A column of whole numbers must keep whole numbers; text can only be set.
    """
    if set_to is None:
        return table.with_columns(
            {label: _numbers(table, label) * multiply_by + add_to for label in labels}
        )
    for label in labels:
        table[label]  # an absent one is told with those there are
    return table.with_columns(dict.fromkeys(labels, set_to))


def centred(
    table: Table, position_px: Sequence[float], pixel_size_A: NDArray[np.float64] | float
) -> Table:
    """Change origins so that a point of the reference comes to lie in the centre.

    The origin becomes ``origin - A c``, with A of formats.md section 6.

    Parameters
    ----------
    table
        With angles; angles and origins that are not there count as 0.
    position_px
        The point c as x, y, z from the centre of the reference, in pixels.
    pixel_size_A
        One, or ``n``.
    """
    rot, tilt, psi = (
        np.radians(table.get(f"rlnAngle{name}", np.zeros(len(table))))
        for name in ("Rot", "Tilt", "Psi")
    )
    x, y, z = position_px
    turned_x = np.cos(rot) * x + np.sin(rot) * y
    turned_y = -np.sin(rot) * x + np.cos(rot) * y
    tilted_x = np.cos(tilt) * turned_x - np.sin(tilt) * z
    shifts = {
        "rlnOriginXAngst": np.cos(psi) * tilted_x + np.sin(psi) * turned_y,
        "rlnOriginYAngst": -np.sin(psi) * tilted_x + np.cos(psi) * turned_y,
    }
    if "rlnOriginZAngst" in table:
        shifts["rlnOriginZAngst"] = np.sin(tilt) * turned_x + np.cos(tilt) * z
    return table.with_columns(
        {label: table.get(label, 0.0) - shift * pixel_size_A for label, shift in shifts.items()}
    )


def sorted_by(table: Table, label: str, *, descending: bool = False) -> Table:
    """Order the rows by one column; rows with equal values keep their order."""
    column = table[label]
    keys = column.astype(str) if column.dtype == object else column
    if not descending:
        return table.select(np.argsort(keys, kind="stable"))
    return table.select(len(keys) - 1 - np.argsort(keys[::-1], kind="stable")[::-1])


@dataclass(frozen=True)
class Histogram:
    """How the values of a column are spread.

    Parameters
    ----------
    label
        The column.
    edges
        ``b + 1`` limits of the bins; a bin has its lower limit and not its upper one, but for
        the last, which has both.
    counts
        ``b``: values in each bin.
    below, above
        Values outside all bins.
    summary
        Minimum, quartiles, maximum, mean and standard deviation by name.
    """

    label: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int
    above: int
    summary: dict[str, float]


def histogram(
    table: Table,
    label: str,
    *,
    n_bins: int | None = None,
    lowest: float | None = None,
    highest: float | None = None,
) -> Histogram:
    """Count the values of a column; by default in bins of the Freedman-Diaconis width."""
    values = _numbers(table, label)
    values = values[np.isfinite(values)]
    if not len(values):
        raise InputError(f"data_{table.name}: {label} has no finite value to count")
    low = float(values.min() if lowest is None else lowest)
    high = float(values.max() if highest is None else highest)
    if high < low:
        raise InputError(f"the histogram would go from {low:g} down to {high:g}")
    summary = _summary(values)
    if n_bins is None:
        spread = summary["quartile_3"] - summary["quartile_1"]
        width = 2 * spread / len(values) ** (1 / 3)
        n_bins = min(math.ceil((high - low) / width), _MOST_BINS) if width > 0 else 1
    inside = values[(values >= low) & (values <= high)]
    counts, edges = np.histogram(inside, bins=max(n_bins, 1), range=(low, high))
    return Histogram(
        label,
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        int(np.count_nonzero(values < low)),
        int(np.count_nonzero(values > high)),
        summary,
    )


def _summary(values: NDArray[np.float64]) -> dict[str, float]:
    quarter, median, three_quarters = np.percentile(values, [25, 50, 75]).tolist()
    return {
        "min": float(values.min()),
        "quartile_1": quarter,
        "median": median,
        "quartile_3": three_quarters,
        "max": float(values.max()),
        "mean": float(values.mean()),
        "sd": float(values.std()),
    }


def _numbers(table: Table, label: str) -> NDArray[np.float64]:
    column = table[label]
    if column.dtype == object:
        kind = "text" if kind_of(label) is Kind.TEXT else "vectors"
        raise InputError(f"data_{table.name}: {label} holds {kind}; numbers are wanted")
    return column.astype(np.float64)


def _points(table: Table, labels: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([_numbers(table, label) for label in labels], axis=1)


def _near(
    points: NDArray[np.float64], others: NDArray[np.float64], distance: float
) -> NDArray[np.bool_]:
    found = np.zeros(len(points), bool)
    finite = np.isfinite(points).all(axis=1)
    others = others[np.isfinite(others).all(axis=1)]
    if finite.any() and len(others):
        nearest, _ = KDTree(others).query(points[finite])
        found[finite] = nearest <= distance * (1 + _MARGIN)
    return found
