"""One `data_` block of a STAR file in memory: typed columns that cannot be changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from vitreous.errors import AbsentError, InputError
from vitreous.io.labels import Kind, kind_of
from vitreous.io.star_values import (
    float_text,
    to_bool,
    to_float,
    to_float_vector,
    to_int,
    to_int_vector,
    vector_text,
)

_REQUIRED: Final = object()
_NUMPY = {Kind.FLOAT: np.float64, Kind.INT: np.int64, Kind.BOOL: np.bool_}
_PARSERS = {Kind.FLOAT: to_float, Kind.INT: to_int, Kind.BOOL: to_bool}
_VECTOR = (Kind.FLOAT_VECTOR, Kind.INT_VECTOR)
_WORDS = {
    Kind.FLOAT: "numbers",
    Kind.INT: "whole numbers",
    Kind.BOOL: "0 or 1",
    Kind.TEXT: "text",
    Kind.FLOAT_VECTOR: "vectors of numbers",
    Kind.INT_VECTOR: "vectors of whole numbers",
}


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """A named table with typed columns; every change gives a new table.

    Parameters
    ----------
    name
        What stands after ``data_``; may be empty.
    columns
        Label without underscore -> read-only array of n rows: float64, int64, bool, or
        object (`str`, or 1-D arrays where the label holds vectors), as `labels.kind_of` says.
        The label ``rlnComment`` holds what follows ``#`` at the end of each row.
    is_list
        True for label-value pairs: one row.
    comment
        The ``# ...`` lines of the block, without ``# ``, joined by line ends.
    joined
        True where the table stands in the same block as the list before it.
    """

    name: str = ""
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    is_list: bool = False
    comment: str = ""
    joined: bool = False

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns.values()}
        if len(lengths) > 1:
            sizes = {label: len(column) for label, column in self.columns.items()}
            raise InputError(f"data_{self.name}: columns differ in length: {sizes}")
        if self.is_list and lengths - {1}:
            raise InputError(f"data_{self.name}: a list has one value per label, not {lengths}")
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))

    def __reduce__(self) -> tuple[type[Table], tuple[object, ...]]:
        """Travel to another process; a mapping that cannot be changed does not by itself."""
        return Table, (self.name, dict(self.columns), self.is_list, self.comment, self.joined)

    @classmethod
    def from_columns(
        cls, name: str, mapping: Mapping[str, object], *, is_list: bool = False, comment: str = ""
    ) -> Table:
        """Make a table from label -> values; the label decides the type of the column.

        Parameters
        ----------
        name
            What stands after ``data_``.
        mapping
            Label -> sequence of n values, or one value for all rows. Numbers under a label
            that RELION does not know become text, because that is what a file gives back.
        is_list
            Make label-value pairs (single values).
        comment
            Text for the ``# `` line of the block.
        """
        lengths = [len(v) for k, v in mapping.items() if is_column(k, v)]  # type: ignore[arg-type] # is_column has checked
        n_rows = lengths[0] if lengths else 1
        return cls(
            name,
            {label: as_column(label, values, n_rows) for label, values in mapping.items()},
            is_list,
            comment,
        )

    @classmethod
    def from_rows(
        cls, name: str, labels: Sequence[str], rows: Iterable[Sequence[Any] | Mapping[str, Any]]
    ) -> Table:
        """Make a table from rows, each a sequence in the order of `labels` or a mapping."""
        listed = [
            [row[label] for label in labels] if isinstance(row, Mapping) else list(row)
            for row in rows
        ]
        for number, row in enumerate(listed):
            if len(row) != len(labels):
                raise InputError(
                    f"data_{name} row {number}: {len(row)} values for {len(labels)} labels"
                )
        return cls(
            name,
            {label: as_column(label, [row[i] for row in listed]) for i, label in enumerate(labels)},
        )

    @staticmethod
    def concat(tables: Sequence[Table]) -> Table:
        """Put tables with the same labels below one another, in the order of the first."""
        if not tables:
            raise InputError("no tables to put together")
        first = tables[0]
        for table in tables[1:]:
            differing = sorted(set(first.labels) ^ set(table.labels))
            if differing:
                raise InputError(
                    f"data_{first.name}: tables cannot be put together, these labels are not in "
                    f"all of them: {', '.join(differing)}"
                )
        columns = {
            label: _frozen(np.concatenate([table[label] for table in tables]))
            for label in first.labels
        }
        return Table(first.name, columns, comment=first.comment)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the columns, without underscore."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __bool__(self) -> bool:
        """Return whether there are rows, as `__len__` implies."""
        return len(self) > 0

    def __contains__(self, label: object) -> bool:
        return label in self.columns

    def __getitem__(self, label: str) -> np.ndarray:
        if not isinstance(label, str):
            raise TypeError(
                f"a table is asked for a column by its label, not by {label!r}; rows come from"
                " rows() and select()"
            )
        if label not in self.columns:
            near = get_close_matches(label, self.labels, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(self.labels)}"
            raise AbsentError(f"data_{self.name} has no column {label}{hint}")
        return self.columns[label]

    def get(self, label: str, default: Any = None) -> Any:  # noqa: ANN401 - the caller's
        """Return a column, or `default` where there is none."""
        return self.columns.get(label, default)

    def value(self, label: str, default: Any = _REQUIRED) -> Any:  # noqa: ANN401 - any type
        """Return the value of the first row as `str`, `int`, `float`, `bool` or a vector.

        Parameters
        ----------
        label
            Which column.
        default
            What is returned where the column or its first row is missing; without it that is
            an error.
        """
        if label in self.columns and len(self):
            return _plain(self.columns[label][0])
        if default is not _REQUIRED:
            return default
        self[label]
        raise AbsentError(f"data_{self.name} has no rows, so there is no {label}")

    def with_columns(self, mapping: Mapping[str, object]) -> Table:
        """Return a table where columns are replaced in place or appended at the end.

        A single value fills all rows.
        """
        n_rows = len(self) if self.columns else None
        new = {label: as_column(label, values, n_rows) for label, values in mapping.items()}
        return replace(self, columns={**self.columns, **new})

    def without(self, *labels: str) -> Table:
        """Return a table without some columns; those it does not have are passed over."""
        return replace(self, columns={k: v for k, v in self.columns.items() if k not in labels})

    def rename(self, mapping: Mapping[str, str]) -> Table:
        """Return a table with other labels; the values are read anew where the type changes."""
        columns: dict[str, np.ndarray] = {}
        for label, column in self.columns.items():
            new = mapping.get(label, label)
            if new in columns or (new != label and new in self.columns):
                raise InputError(f"data_{self.name}: there is a column {new} already")
            columns[new] = as_column(new, column)
        return replace(self, columns=columns)

    def select(self, rows: np.ndarray | Sequence[int] | Sequence[bool] | slice) -> Table:
        """Return some rows: a mask of n, indices in any order, or a slice."""
        chosen = rows if isinstance(rows, slice) else _as_index(rows, len(self), self.name)
        return replace(
            self,
            columns={
                label: _frozen(np.ascontiguousarray(column[chosen]))
                for label, column in self.columns.items()
            },
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Give each row as label -> plain Python value."""
        columns = [column.tolist() for column in self.columns.values()]
        for values in zip(*columns, strict=True):
            yield dict(zip(self.columns, values, strict=True))

    def __eq__(self, other: object) -> bool:
        """Names, labels in order, types and values are equal; NaN equals NaN."""
        if not isinstance(other, Table):
            return NotImplemented
        return (
            (self.name, self.is_list, self.comment, self.joined, self.labels)
            == (other.name, other.is_list, other.comment, other.joined, other.labels)
        ) and all(_same(self.columns[label], other.columns[label]) for label in self.columns)

    __hash__ = None  # type: ignore[assignment] # compared by value, columns are arrays

    def __repr__(self) -> str:
        shape = "list" if self.is_list else f"{len(self)} rows"
        return f"<Table data_{self.name}: {shape} x {len(self.columns)} columns>"


def as_column(label: str, values: object, n_rows: int | None = None) -> np.ndarray:
    """Return values as the read-only column that a label asks for.

    Parameters
    ----------
    label
        Decides the type.
    values
        A sequence of n values, or a single value for all of `n_rows` rows.
    n_rows
        Checked against the length of a sequence where given.

    Returns
    -------
    np.ndarray
        Shape (n,): float64, int64, bool, or object.
    """
    if not is_column(label, values):
        single = values
        values = [single] * (1 if n_rows is None else n_rows)
    count = len(values)  # type: ignore[arg-type] # is_column has checked
    if n_rows is not None and count != n_rows:
        raise InputError(f"{label}: {count} values for {n_rows} rows")
    kind = kind_of(label)
    try:
        if kind in _NUMPY:
            return _numbers(values, kind)
        return _objects(values, kind)  # type: ignore[arg-type] # is_column has checked
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{label} holds {_WORDS[kind]}: {error}") from None


def is_column(label: str, values: object) -> bool:
    """Tell a sequence of rows from the one value of all rows."""
    if isinstance(values, np.ndarray):
        if values.dtype != object and kind_of(label) in _VECTOR:
            return values.ndim > 1
        return values.ndim > 0
    if isinstance(values, (list, tuple)) and kind_of(label) in _VECTOR:
        return not values or not np.isscalar(values[0])
    return isinstance(values, Sequence) and not isinstance(values, (str, bytes))


def _numbers(values: object, kind: Kind) -> np.ndarray:
    source = np.asarray(values)
    if source.dtype.kind in "OUS":
        parse = _PARSERS[kind]
        source = np.array(
            [parse(item) if isinstance(item, str) else item for item in source.tolist()],
            dtype=None if len(source) else _NUMPY[kind],
        )
    if source.ndim != 1:
        raise ValueError(f"one dimension is wanted, not {source.ndim}")
    result: np.ndarray = np.ascontiguousarray(source, dtype=_NUMPY[kind])
    if kind is Kind.INT and source.dtype.kind == "f" and not np.array_equal(result, source):
        raise ValueError("not all values are whole numbers")
    return _frozen(result)


def _objects(values: Sequence[Any] | np.ndarray, kind: Kind) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    items = values.tolist() if isinstance(values, np.ndarray) and values.ndim == 1 else values
    if kind is Kind.TEXT:
        column[:] = [item if type(item) is str else _text(item) for item in items]
        return _frozen(column)
    dtype = np.float64 if kind is Kind.FLOAT_VECTOR else np.int64
    parse = to_float_vector if kind is Kind.FLOAT_VECTOR else to_int_vector
    for row, item in enumerate(items):
        vector = parse(item) if isinstance(item, str) else np.asarray(item, dtype=dtype)
        if vector.ndim != 1:
            raise ValueError(f"row {row} is not a vector")
        column[row] = _frozen(vector)
    return _frozen(column)


def _text(value: object) -> str:
    """Return the text under which a value of a column without a known type is kept."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return float_text(float(value)).strip()
    if isinstance(value, np.ndarray):
        return vector_text(value)
    return str(value)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever the column holds
    return value.item() if isinstance(value, np.generic) else value


def _frozen(values: np.ndarray) -> np.ndarray:
    view = values.view()
    view.setflags(write=False)
    return view


def _as_index(rows: object, n_rows: int, name: str) -> np.ndarray:
    index = np.asarray(rows)
    if index.size == 0 and index.dtype != np.bool_:
        return np.empty(0, dtype=np.int64)
    if index.dtype == np.bool_ and index.shape != (n_rows,):
        raise InputError(f"data_{name} has {n_rows} rows, the mask has {index.shape}")
    return index


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    if left.dtype != object:
        return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    return all(
        _same(a, b) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else a is b or a == b
        for a, b in zip(left.tolist(), right.tolist(), strict=True)
    )
