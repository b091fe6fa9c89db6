"""The bytes of a STAR file, in RELION's form (formats.md section 1), piece by piece.

Only what cannot be kept in that form differs from it: numbers that its 6 or 7 digits would
change, and texts that would pass for a label or a comment, are written so that they survive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vitreous.errors import InputError
from vitreous.io import star_kernel
from vitreous.io.labels import COMMENT, Kind, kind_of
from vitreous.io.star_rows import WRITE
from vitreous.io.star_values import quoted, vector_text

if TYPE_CHECKING:
    from vitreous.io.star_table import Table

_ROWS_AT_ONCE = 65536


class Written(Protocol):
    """What a file needs to be written; `star.Star` has it."""

    version: int | None
    comments: tuple[str, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        """In order."""


def chunks(star: Written, *, keep_empty: bool) -> Iterator[bytes]:
    """Give the pieces of a file, each some rows long.

    Raises
    ------
    InputError
        A value cannot be written; the message names table, row and label.
    """
    yield _encoded("".join(f"# {comment}\n" for comment in star.comments))
    in_block = False
    for table in star.tables:
        if not len(table) and not keep_empty:
            in_block = in_block and table.joined
            continue
        inside = table.joined and in_block
        in_block = True
        comments = _comment_lines(table)
        yield b"" if inside else _encoded(_head(table, star.version) + comments + "\n")
        if table.is_list:
            yield _encoded((comments if inside else "") + _list(table))
        elif table.columns:
            yield from _loop(table, comments if inside else "")
        yield b" \n"


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _head(table: Table, version: int | None) -> str:
    if any(bad in table.name for bad in "\n\r\0") or table.name != table.name.strip(" \t"):
        raise InputError(f"data_{table.name!r}: a table name is one line without blanks around it")
    line = "" if version is None else f"\n# version {version}\n"
    return f"{line}\ndata_{table.name}\n"


def _comment_lines(table: Table) -> str:
    lines = table.comment.split("\n") if table.comment else []
    return "".join(f"# {line}\n" for line in lines)


def _list(table: Table) -> str:
    width = max(len(label) for label in table.labels) + 1 + 12
    lines = []
    for label, column in table.columns.items():
        try:
            value = _list_value(kind_of(label), column.tolist()[0])
        except ValueError as error:
            raise InputError(f"data_{table.name}, {label}: {error}") from None
        lines.append(f"{'_' + label:<{width}}{value}\n")
    return "".join(lines)


def _list_value(kind: Kind, value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, np.ndarray):
        return vector_text(value)
    return WRITE[kind](value)


def _loop(table: Table, comments_inside: str) -> Iterator[bytes]:
    labels, comments = _split_comments(table)
    names = "".join(f"_{label} #{i + 1} \n" for i, label in enumerate(labels))
    yield _encoded(f"loop_ \n{comments_inside}{names}")
    kinds = "".join(kind_of(label) for label in labels)
    columns = [np.ascontiguousarray(table[label]) for label in labels]
    for begin in range(0, len(table), _ROWS_AT_ONCE):
        end = min(begin + _ROWS_AT_ONCE, len(table))
        try:
            yield star_kernel.active.format_rows(columns, kinds, comments, begin, end)
        except ValueError as error:
            raise InputError(_unwritable(table, labels, begin, end, str(error))) from None


def _split_comments(table: Table) -> tuple[list[str], np.ndarray | None]:
    """Return the labels of the columns, and the comments where they can stand behind the rows.

    A reader finds comments again as the last column, and only where there is one; otherwise
    they are written as a column like others.
    """
    *others, last = table.labels
    if last != COMMENT or not others or not any(table[last].tolist()):
        return [*others, last], None
    return others, table[last]


def _unwritable(table: Table, labels: list[str], begin: int, end: int, reason: str) -> str:
    """Find the value that stopped the kernel, for the message."""
    for row in range(begin, end):
        for label in labels:
            value = table[label][row]
            try:
                quoted(value) if isinstance(value, str) else None
            except ValueError as error:
                return f"data_{table.name} row {row}, {label} is {value!r}: {error}"
    return f"data_{table.name}: {reason}"
