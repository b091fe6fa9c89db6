"""Rows of a loop block: text to columns and back, in plain Python.

This is the reference of the compiled kernel `_star.cpp`, which has the same two functions and
is used where it is present (`star_kernel.py`); a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from mmap import mmap
from typing import Any, NamedTuple

import numpy as np

from vitreous.io.star_values import (
    float_text,
    int_text,
    leading_float,
    leading_int,
    padded,
    quoted,
    text_cell,
    to_bool,
    to_float,
    to_float_vector,
    to_int,
    to_int_vector,
    vector_text,
)

_BLANKS = " \t"
#: How a text of each kind that is not text becomes a value.
READ: dict[str, Callable[[str], Any]] = {
    "d": to_float,
    "i": to_int,
    "b": to_bool,
    "D": to_float_vector,
    "I": to_int_vector,
}
#: The same for a text that is none.
RELION_READ: dict[str, Callable[[str], Any]] = {
    "d": leading_float,
    "i": leading_int,
    "b": lambda text: leading_int(text) != 0,
    "D": lambda text: to_float_vector("[]"),
    "I": lambda text: to_int_vector("[]"),
}
_DTYPE = {"d": np.float64, "i": np.int64, "b": np.bool_}
_ZERO: dict[str, Any] = {"d": 0.0, "i": 0, "b": False, "s": ""}


class Trouble(NamedTuple):
    """Something in the rows that cannot be read.

    `code` is ``many`` or ``few`` (text: how many values), ``quote`` (text: the line) or
    ``number`` (text: what is no number). `line` counts from the first row, comments included;
    `times` is how many values of the column are so.
    """

    code: str
    line: int
    row: int
    column: int
    text: str
    times: int


class Rows(NamedTuple):
    """What was read: columns of n rows, where they end and after how many lines, comments.

    A comment is (row, text), with row -1 where it has a line of its own.
    """

    columns: list[np.ndarray]
    end: int
    n_lines: int
    comments: list[tuple[int, str]]
    troubles: list[Trouble]


def parse_rows(
    content: bytes | mmap, start: int, kinds: str, permissive: bool, release: bool = False
) -> Rows:
    """Read rows until an empty line, the next block or the end of the file.

    Parameters
    ----------
    content
        The whole file.
    start
        Offset of the first row.
    kinds
        One letter of `labels.Kind` per column.
    permissive
        Read a text that is no number as RELION does, which takes the number at its start, or 0
        where there is none (an empty vector), and go on. Otherwise stop at the first trouble.
    release
        `content` is private memory that nobody reads again: the compiled kernel gives it back
        as it goes. Without effect here.

    Returns
    -------
    Rows
        Strict: at most one trouble, and then no columns. Permissive: for each column with
        unreadable numbers the first one and their count.
    """
    values: list[list[Any]] = [[] for _ in kinds]
    comments: list[tuple[int, str]] = []
    troubles: dict[int, Trouble] = {}
    shared: dict[str, str] = {}
    offset, row, n_lines = start, 0, 0
    while offset < len(content):
        line, following = line_at(content, offset)
        if not line.strip(_BLANKS) or _is_header(content, line, following):
            break
        cells, comment = split_cells(line)
        if comment:
            comments.append((row if cells or cells is None else -1, comment))
        trouble = _shape_trouble(cells, len(kinds), line)
        if trouble:
            return _failed(Trouble(trouble[0], n_lines, row, 0, trouble[1], 1))
        for column, cell in enumerate(_filled(cells or [], len(kinds))):
            try:
                value = _value(kinds[column], cell, shared)
            except ValueError:
                found = troubles.get(column, Trouble("number", n_lines, row, column, cell or "", 0))
                troubles[column] = found._replace(times=found.times + 1)
                if not permissive:
                    return _failed(troubles[column])
                value = RELION_READ[kinds[column]](cell or "")
            values[column].append(value)
        row += 1 if cells else 0
        n_lines += 1
        offset = following
    columns = [as_array(kind, column) for kind, column in zip(kinds, values, strict=True)]
    found_troubles = [troubles[column] for column in sorted(troubles)]
    return Rows(columns, min(offset, len(content)), n_lines, comments, found_troubles)


def _failed(trouble: Trouble) -> Rows:
    return Rows([], 0, 0, [], [trouble])


def line_at(content: bytes | mmap, offset: int) -> tuple[str, int]:
    """Return the line at `offset`, without its end, and the offset of the next line."""
    stop = content.find(b"\n", offset)
    following = len(content) if stop < 0 else stop + 1
    line = content[offset : len(content) if stop < 0 else stop]
    return line.removesuffix(b"\r").decode(errors="surrogateescape"), following


def _is_header(content: bytes | mmap, line: str, following: int) -> bool:
    """Tell whether a line among rows starts a new block although no empty line came before.

    Only then: ``data_x`` or ``loop_`` alone on a line, and labels come next.
    """
    if not line.startswith(("data_", "loop_")):
        return False
    word = line.rstrip(_BLANKS)
    if " " in word or "\t" in word or (word.startswith("loop_") and word != "loop_"):
        return False
    while following < len(content):
        line, following = line_at(content, following)
        text = line.strip(_BLANKS)
        if text and text[0] != "#":
            return text[0] == "_" or (text == "loop_" and word != "loop_")
    return False


def split_cells(line: str) -> tuple[list[str] | None, str]:
    """Split a line into its values and the comment behind them.

    Values stand between blanks and tabs. One that begins with a quote ends at the same quote
    with a blank or the line's end behind it; a quote after a BEL character does not end it.

    Returns
    -------
    list of str or None
        The values; None where a quote is never closed.
    str
        What follows ``#``, without one leading blank.
    """
    cells: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at] in _BLANKS:
            at += 1
        if at == len(line):
            return cells, ""
        if line[at] == "#":
            return cells, comment_text(line[at:])
        if line[at] in "\"'":
            stop = _closing(line, at)
            if stop < 0:
                return None, ""
            cells.append(_unescaped(line[at + 1 : stop], line[at]))
            at = stop + 1
        else:
            stop = at
            while stop < len(line) and line[stop] not in _BLANKS:
                stop += 1
            cells.append(line[at:stop])
            at = stop


def comment_text(line: str) -> str:
    """Return what a ``# comment`` says."""
    return line[1:].removeprefix(" ")


def _closing(line: str, opening: int) -> int:
    quote, at = line[opening], opening
    while True:
        at = line.find(quote, at + 1)
        ends = at + 1 == len(line) or (at > 0 and line[at + 1] in _BLANKS)
        if at < 0 or (ends and line[at - 1] != "\a"):
            return at


def _unescaped(text: str, quote: str) -> str:
    for behind in _BLANKS:
        text = text.replace(f"\a{quote}{behind}", quote + behind)
    return text[:-2] + quote if text.endswith(f"\a{quote}") else text


def _shape_trouble(cells: list[str] | None, n_columns: int, line: str) -> tuple[str, str] | None:
    if cells is None:
        return "quote", line.strip(_BLANKS)
    if len(cells) > n_columns:
        return "many", str(len(cells))
    if 0 < len(cells) < n_columns and n_columns != 2:
        return "few", str(len(cells))
    return None


def _filled(cells: Sequence[str], n_columns: int) -> Sequence[str | None]:
    """Return the values of a row; in a table of two columns the second may be missing."""
    return [*cells, None] if 0 < len(cells) < n_columns else cells


def _value(kind: str, cell: str | None, shared: dict[str, str]) -> Any:  # noqa: ANN401 - any type
    if cell is None:
        return _zero(kind)
    if kind == "s":
        return shared.setdefault(cell, cell)
    return READ[kind](cell)


def _zero(kind: str) -> Any:  # noqa: ANN401 - any type
    return READ[kind]("[]") if kind in "DI" else _ZERO[kind]


def as_array(kind: str, values: list[Any]) -> np.ndarray:
    """Return values of one kind as a column."""
    if kind in _DTYPE:
        return np.array(values, dtype=_DTYPE[kind])
    column = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        column[row] = value
    return column


def format_rows(
    columns: Sequence[np.ndarray], kinds: str, comments: np.ndarray | None, begin: int, end: int
) -> bytes:
    """Write rows `begin` to `end` of some columns.

    Parameters
    ----------
    columns, kinds
        The columns and one letter of `labels.Kind` for each.
    comments
        The text behind each row, or None.

    Returns
    -------
    bytes
        One line per row.

    Raises
    ------
    ValueError
        A text cannot be written (see `star_values.quoted`).
    """
    cells = [
        [WRITE[kind](value) for value in column[begin:end].tolist()]
        for kind, column in zip(kinds, columns, strict=True)
    ]
    if kinds[:1] == "s":
        cells[0] = [first_cell(value) for value in columns[0][begin:end].tolist()]
    tails = [""] * (end - begin) if comments is None else map(_tail, comments[begin:end].tolist())
    lines = [
        "".join(f"{cell} " for cell in row) + tail
        for row, tail in zip(zip(*cells, strict=True), tails, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


def first_cell(text: str) -> str:
    """Return the first text of a row, quoted where it would pass for a label or a block."""
    needed = text.startswith(("_", "data_", "loop_", ";"))
    return padded(quoted(text, always=True)) if needed else text_cell(text)


def _tail(comment: str) -> str:
    if not comment:
        return ""
    if any(bad in comment for bad in "\n\r\0"):
        raise ValueError("a comment is one line")
    return f"# {comment}"


#: How a value of each kind is written in a row.
WRITE: dict[str, Callable[[Any], str]] = {
    "d": float_text,
    "i": int_text,
    "b": int_text,
    "s": text_cell,
    "D": lambda value: padded(vector_text(value)),
    "I": lambda value: padded(vector_text(value)),
}
