"""The structure of a STAR file: blocks, lists, loops, comments, version lines.

Follows RELION's reading (formats.md section 1) and is more tolerant: CR+LF, blank lines
between labels and rows, no blank line before the next block. What RELION would silently lose
or turn into 0 is an error here unless `permissive`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from mmap import mmap

import numpy as np

from vitreous.errors import FormatError
from vitreous.io import star_kernel
from vitreous.io.labels import ALIASES, COMMENT, Kind, kind_of
from vitreous.io.star_rows import (
    READ,
    RELION_READ,
    Rows,
    Trouble,
    as_array,
    comment_text,
    line_at,
    split_cells,
)
from vitreous.io.star_table import Table

_VERSION = re.compile(r"#\s*version\s+([0-9]{1,9})\s*")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WANTED = {
    Kind.FLOAT: "a number",
    Kind.INT: "a whole number",
    Kind.BOOL: "0 or 1",
    Kind.FLOAT_VECTOR: "a vector such as [1,2.5]",
    Kind.INT_VECTOR: "a vector such as [1,2]",
}


@dataclass
class Parsed:
    """What a file says, in its order."""

    tables: list[Table] = field(default_factory=list)
    version: int | None = None
    comments: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def parse(content: bytes | mmap, source: str, *, permissive: bool = False) -> Parsed:
    """Read a whole file; `source` names it in messages."""
    return _Reader(content, source, permissive).read()


class _Reader:
    """Walks through a file line by line, and hands the rows of loops to the kernel."""

    def __init__(self, content: bytes | mmap, source: str, permissive: bool) -> None:
        self.content = content
        self.anchor = (0, 1)  # an offset and the number of its line
        self.source = source
        self.permissive = permissive
        self.parsed = Parsed()
        self.name: str | None = None  # of the block we are in
        self.empty = True  # the block has no table yet
        self.comment: list[str] = []  # of the table to come
        self.pending: dict[str, np.ndarray] = {}  # the list being read

    def read(self) -> Parsed:
        if b"\0" in self.content[:4096]:
            raise FormatError(f"{self.source} is a binary file; a STAR file is text")
        offset = len(_BYTE_ORDER_MARK) if self.content[:3] == _BYTE_ORDER_MARK else 0
        while offset < len(self.content):
            offset = self._line(offset)
        self._end_block()
        return self.parsed

    def _line(self, offset: int) -> int:
        """Read what starts at `offset`; return where the next thing starts."""
        line, following = line_at(self.content, offset)
        text = line.strip(" \t")
        if not text:
            return following
        if text[0] in "#;":
            self._comment_line(line)
        elif text.startswith("data_"):
            self._end_block()
            self.name, self.empty = text[5:], True
        elif self.name is None:
            self._stray(offset, "text before the first data_ line; is it a STAR file?")
        elif _is_loop(text):
            self._end_list()
            return self._loop(following)
        elif text[0] == "_":
            self._list_item(offset, text)
        else:
            self._stray(offset, "text that is neither label nor loop (RELION would not read it)")
        return following

    def _comment_line(self, line: str) -> None:
        text = line.lstrip(" \t")
        self._comment(comment_text(text) if text[0] == "#" else text)

    def _comment(self, text: str) -> None:
        version = _VERSION.fullmatch(f"# {text}")
        if version:
            if self.parsed.version is None:
                self.parsed.version = int(version[1])
        elif self.name is None:
            self.parsed.comments.append(text)
        elif text:
            self.comment.append(text)

    def _stray(self, offset: int, what: str) -> None:
        line, _ = line_at(self.content, offset)
        message = f"{self._where(offset)}: {what}: {_short(line)}"
        if not self.permissive:
            raise FormatError(message)
        self.parsed.notes.append(f"{message}; passed over")

    def _list_item(self, offset: int, text: str) -> None:
        cells, comment = split_cells(text)
        if cells is None or len(cells) > 2:
            raise FormatError(
                f"{self._where(offset)}: one label and one value are wanted, found {_short(text)}; "
                'put a value with blanks in double quotes ("...")'
            )
        label = _label(cells[0])
        if label in self.pending:
            self._repeated(offset, label)
        cell = cells[1] if len(cells) > 1 else None
        self.pending[label] = self._list_value(offset, label, cell)
        if comment:
            self._comment(comment)

    def _list_value(self, offset: int, label: str, cell: str | None) -> np.ndarray:
        kind = kind_of(label)
        if cell is None and kind is Kind.TEXT:
            cell = ""
        try:
            return read_column(kind, [cell or ""])
        except ValueError:
            found = _short(cell) if cell is not None else "without a value"
            message = f"{self._where(offset)}: {label} is {found}, {_WANTED[kind]} is wanted"
            if not self.permissive:
                raise FormatError(message) from None
            value = RELION_READ[kind](cell or "")
            self.parsed.notes.append(f"{message}; read as {value}")
            return as_array(kind, [value])

    def _end_list(self) -> None:
        if self.pending:
            columns, self.pending = self.pending, {}
            self._add(columns, is_list=True)

    def _loop(self, offset: int) -> int:
        """Read the labels and rows of a loop; return where they end."""
        labels, offset, at_header = self._labels(offset)
        kinds = "".join(kind_of(label) for label in labels)
        if at_header or offset >= len(self.content):
            rows = star_kernel.active.parse_rows(b"", 0, kinds, self.permissive)
            self._add(dict(zip(labels, rows.columns, strict=True)))
            return offset
        first_line = self._line_number(offset)
        rows = star_kernel.active.parse_rows(
            self.content, offset, kinds, self.permissive, isinstance(self.content, mmap)
        )
        for trouble in rows.troubles:
            self._report(trouble, labels, first_line + trouble.line)
        self.anchor = (rows.end, first_line + rows.n_lines)
        columns = dict(zip(labels, rows.columns, strict=True))
        self._row_comments(columns, rows)
        self._add(columns)
        return rows.end

    def _labels(self, offset: int) -> tuple[list[str], int, bool]:
        """Read the label lines of a loop.

        Returns
        -------
        list of str
            Labels.
        int
            Offset of the line behind them.
        bool
            That line begins another block: there are no rows.
        """
        labels: list[str] = []
        blank = False
        while offset < len(self.content):
            line, following = line_at(self.content, offset)
            text = line.strip(" \t")
            if text.startswith("_") and not blank:
                label = _label(split_label(text))
                if label in labels:
                    self._repeated(offset, label)
                labels.append(label)
            elif text and text[0] in "#;" and not blank:
                self._comment_line(line)
            elif text:
                new = _is_loop(text) or (blank and text.startswith(("data_", "_")))
                return labels, offset, new
            elif labels:
                blank = True
            offset = following
        return labels, offset, True

    def _row_comments(self, columns: dict[str, np.ndarray], rows: Rows) -> None:
        behind = {row: text for row, text in rows.comments if row >= 0}
        if behind and COMMENT not in columns:
            texts = [behind.get(row, "") for row in range(len(rows.columns[0]))]
            columns[COMMENT] = read_column(Kind.TEXT, texts)
            behind = {}
        for row, text in rows.comments:
            if row < 0 or row in behind:
                self._comment(text)

    def _add(self, columns: dict[str, np.ndarray], *, is_list: bool = False) -> None:
        for column in columns.values():
            column.setflags(write=False)
        table = Table(self.name or "", columns, is_list, "\n".join(self.comment), not self.empty)
        self.parsed.tables.append(table)
        self.comment, self.empty = [], False

    def _end_block(self) -> None:
        self._end_list()
        if self.name is not None and self.empty:
            self._add({})
        elif self.comment and self.parsed.tables:
            last = self.parsed.tables[-1]
            comment = "\n".join([*filter(None, [last.comment]), *self.comment])
            self.parsed.tables[-1] = replace(last, comment=comment)
            self.comment = []

    def _repeated(self, offset: int, label: str) -> None:
        raise FormatError(
            f"{self._where(offset)}: the label {label} stands twice; remove or rename one of them"
        )

    def _report(self, trouble: Trouble, labels: list[str], line: int) -> None:
        where = f"{self._block()} line {line} (row {trouble.row})"
        columns = f"{len(labels)} column{'s' if len(labels) != 1 else ''}"
        if trouble.code == "many":
            what = f"{trouble.text} values for {columns}; put values with blanks in double quotes"
        elif trouble.code == "few":
            what = f"{trouble.text} values for {columns}; is the file cut off?"
        elif trouble.code == "quote":
            what = f"a quote is opened and never closed: {_short(trouble.text)}"
        else:
            label = labels[trouble.column]
            what = f"{label} is {_short(trouble.text)}, {_WANTED[kind_of(label)]} is wanted"
        if trouble.code != "number" or not self.permissive:
            raise FormatError(f"{where}: {what}")
        value = RELION_READ[kind_of(labels[trouble.column])](trouble.text)
        others = trouble.times - 1
        more = f", and {others} more of this column alike" if others else ""
        self.parsed.notes.append(f"{where}: {what}; read as {value}{more}")

    def _where(self, offset: int) -> str:
        return f"{self._block()} line {self._line_number(offset)}"

    def _block(self) -> str:
        return self.source if self.name is None else f"{self.source}, data_{self.name}"

    def _line_number(self, offset: int) -> int:
        """Count lines; what lies before the last rows read may be gone from memory."""
        start, line = self.anchor
        self.anchor = (offset, line + self.content[start:offset].count(b"\n"))
        return self.anchor[1]


def read_column(kind: Kind, texts: list[str]) -> np.ndarray:
    """Return texts as a column; raise ValueError where one is no number."""
    values = [texts] if kind is Kind.TEXT else [[READ[kind](text) for text in texts]]
    return as_array(kind, values[0])


def _is_loop(text: str) -> bool:
    return text == "loop_" or text.startswith(("loop_ ", "loop_\t"))


def split_label(text: str) -> str:
    """Return the label of a line ``_rlnX #3``."""
    return text.replace("\t", " ").split(" ", 1)[0]


def _label(word: str) -> str:
    name = word[1:]
    return ALIASES.get(name, name)


def _short(text: str) -> str:
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return repr(text)
