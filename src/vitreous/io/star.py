"""STAR files: read, write, hold.

A file is a `Star`, an ordered collection of `Table` objects; `labels` decides the types.
What a file says is kept: unknown labels (as text) and blocks, order, comments, version line.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from vitreous.errors import AbsentError, FormatError, InputError, MissingFileError
from vitreous.io.atomic import replacing
from vitreous.io.star_reader import Parsed, parse
from vitreous.io.star_table import Table
from vitreous.io.star_writer import chunks

NEWEST_VERSION = 50001
_LARGE = 1 << 24  # bytes


class Star(Mapping[str, Table]):
    """The tables of one STAR file, by name and in order.

    Where a name stands twice, or a loop follows a list in one block, the first table has the
    name and the later ones `name#2`, `name#3`; each `Table.name` is the name in the file.

    Parameters
    ----------
    tables
        In the order of the file.
    version
        The number of the ``# version`` line, None for a file without one (RELION 3.0).
    comments
        The ``#`` lines before the first block, without ``# ``.
    notes
        What a permissive reader put up with, one sentence each.
    """

    def __init__(
        self,
        tables: Iterable[Table] = (),
        *,
        version: int | None = NEWEST_VERSION,
        comments: Iterable[str] = (),
        notes: Iterable[str] = (),
    ) -> None:
        self.version = version
        self.comments = tuple(comments)
        self.notes = tuple(notes)
        self._tables: dict[str, Table] = {}
        for table in tables:
            self._tables[self._free_key(table.name)] = table

    def _free_key(self, name: str) -> str:
        key, count = name, 1
        while key in self._tables:
            count += 1
            key = f"{name}#{count}"
        return key

    def __getitem__(self, name: str) -> Table:
        if name not in self._tables:
            near = get_close_matches(name, self._tables, 1)
            hint = f"; did you mean data_{near[0]}?" if near else f"; there is {self._names()}"
            raise AbsentError(f"no table data_{name}{hint}")
        return self._tables[name]

    def _names(self) -> str:
        return ", ".join(f"data_{name}" for name in self._tables) or "no table at all"

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables in order."""
        return tuple(self._tables.values())

    @property
    def first(self) -> Table:
        """The first table of the file."""
        if not self._tables:
            raise AbsentError("the file has no table")
        return next(iter(self._tables.values()))

    def with_table(self, table: Table) -> Star:
        """Return a file where `table` takes the place of the one with its name, or is last."""
        tables = {**self._tables, table.name: table}
        return self._with(tables.values())

    def without(self, name: str) -> Star:
        """Return a file without one table; where there is none of that name, the same."""
        return self._with(t for key, t in self._tables.items() if key != name)

    def _with(self, tables: Iterable[Table]) -> Star:
        return Star(tables, version=self.version, comments=self.comments, notes=self.notes)

    def __eq__(self, other: object) -> bool:
        """Version, comments and all tables in order are equal."""
        if not isinstance(other, Star):
            return NotImplemented
        return (self.version, self.comments, self.tables) == (
            other.version,
            other.comments,
            other.tables,
        )

    __hash__ = None  # type: ignore[assignment] # compared by value

    def __repr__(self) -> str:
        return f"<Star {', '.join(repr(table) for table in self.tables)}>"


def read_star(path: Path | str, *, permissive: bool = False, upgrade: bool = False) -> Star:
    """Read a STAR file.

    Parameters
    ----------
    path
        The file.
    permissive
        Do as RELION where it goes on: of an unreadable number only the start counts (``12abc``
        is 12, ``abc`` is 0). Each kind of trouble is told in `Star.notes`.
    upgrade
        Give particles and micrographs of RELION 3.0 optics groups; see `convert30`.

    Returns
    -------
    Star
        All its tables, typed by their labels.

    Raises
    ------
    MissingFileError
        There is no such file.
    FormatError
        It is not a STAR file or is damaged; the message names block, line and column.
    """
    path = Path(path)
    try:
        with _content(path) as content:
            star = _star(parse(content, os.fspath(path), permissive=permissive))
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; a STAR file is wanted") from None
    return _upgraded(star, path) if upgrade else star


def _upgraded(star: Star, path: Path) -> Star:
    from vitreous.io import convert30

    if not convert30.needs_optics_groups(star):
        return star
    try:
        return convert30.with_optics_groups(star)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


@contextlib.contextmanager
def _content(path: Path) -> Iterator[bytes | mmap.mmap]:
    """Give the content of a file; a large one in private memory that is given back while read.

    Never the file itself mapped: another program that cuts it short would kill this one.
    """
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _LARGE or not hasattr(mmap, "MAP_PRIVATE"):
            yield stream.readall()
            return
        with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
            filled = 0
            with memoryview(memory) as view:
                while filled < size and (count := stream.readinto(view[filled:])):
                    filled += count
            if filled < size:
                raise FormatError(f"{path} became shorter while it was read; is it being written?")
            yield memory


def parse_star(text: str | bytes, source: str = "", *, permissive: bool = False) -> Star:
    """Read the text of a STAR file; `source` is named in messages. See `read_star`."""
    content = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return _star(parse(content, source or "STAR text", permissive=permissive))


def _star(parsed: Parsed) -> Star:
    return Star(parsed.tables, version=parsed.version, comments=parsed.comments, notes=parsed.notes)


def format_star(star: Star | Iterable[Table], *, keep_empty: bool = False) -> str:
    """Return the text of a STAR file in RELION's form.

    Reading it gives `star` again, number for number. Tables without rows are left out, as
    RELION does, unless `keep_empty`.
    """
    whole = b"".join(chunks(_as_star(star), keep_empty=keep_empty))
    return whole.decode(errors="surrogateescape")


def write_star(
    path: Path | str,
    star: Star | Iterable[Table],
    version: int | None = None,
    *,
    keep_empty: bool = False,
) -> None:
    """Write a STAR file in RELION's form, whole or not at all.

    Parameters
    ----------
    path
        Where to; its folder must exist.
    star
        The file, or just its tables.
    version
        Written in the ``# version`` lines; by default that of the `Star`, 50001 for tables.
    keep_empty
        Write tables without rows too; RELION leaves them out.
    """
    whole = _as_star(star)
    if version is not None:
        whole = Star(whole.tables, version=version, comments=whole.comments)
    with replacing(path) as stream:
        for chunk in chunks(whole, keep_empty=keep_empty):
            stream.write(chunk)


def _as_star(star: Star | Iterable[Table]) -> Star:
    return star if isinstance(star, Star) else Star(star)
