"""Picks to look at: those of any list of coordinates, whichever job or program made it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitreous.gui.confine import Confinement
from vitreous.gui.models.display import PickedMicrograph, PickList, Picks
from vitreous.gui.pick_edits import TYPE, UNDEFINED
from vitreous.io import Table, read_star
from vitreous.io.coordinates import OLD_PREFIX, TABLE, below_job, pick_files, read_picks
from vitreous.io.labels import Kind, kind_of
from vitreous.programs.picking_session import FOM, NAME, X, Y

_ONE_TABLE: Final = re.compile(rb"\A[^\n]*\n?(?:\s*(?:#[^\n]*)?\n)*\s*data_\S*\s+loop_\s")
_LOOK: Final = "A list of picks that no picking job holds; it is here to look at."


class PickSets:
    """Lists of coordinates and of micrographs.

    Parameters
    ----------
    files
        What may be read.
    """

    def __init__(self, files: Confinement) -> None:
        self._files = files

    def listed(self, path: str) -> PickList:
        """Return the micrographs of a list, with how many picks each has."""
        pairs, rows, optics = self._pairs(path)
        micrographs = [
            PickedMicrograph(
                row=row,
                name=name,
                selected=True,
                count=count_picks(picks) if picks else 0,
                version=version_of(picks),
                defocus_A=cell(rows, "rlnDefocusU", row),
                ctf_max_resolution_A=cell(rows, "rlnCtfMaxResolution", row),
                ctf_image=text(rows, "rlnCtfImage", row),
            )
            for row, (name, picks) in enumerate(pairs)
        ]
        return PickList(
            n=0,
            name="",
            path=path,
            filaments=False,
            editable=False,
            why_not=_LOOK if any(picks for _, picks in pairs) else None,
            pixel_size_A=pixel_size((optics, rows)),
            diameter_A=None,
            display={},
            total=sum(one.count for one in micrographs),
            micrographs=micrographs,
        )

    def picks(self, path: str, micrograph: str) -> Picks:
        """Return the picks of a micrograph, whichever job its name begins with."""
        pairs, _, _ = self._pairs(path)
        row = _row_of(pairs, micrograph)
        file = pairs[row][1] if row is not None else None
        table = read_picks(file) if file and file.is_file() else no_picks()
        return Picks(
            n=0, row=row or 0, name=micrograph, version=version_of(file), **columns_of(table)
        )

    def table(self, path: str, micrograph: str) -> Table | None:
        """Return the picks of a micrograph as they are in their file; None where there are none."""
        pairs, _, _ = self._pairs(path)
        row = _row_of(pairs, micrograph)
        file = pairs[row][1] if row is not None else None
        return read_picks(file) if file and file.is_file() else None

    def _pairs(self, path: str) -> tuple[list[tuple[str, Path | None]], Table | None, Table | None]:
        file = self._files.path(path)
        root = self._files.root
        if not path.endswith(".star"):
            return [(path, None)], None, None
        if file.name.startswith(OLD_PREFIX) or TABLE in read_star(file):
            found = pick_files(file, root)
            return [(name, self._confined(picks, root)) for name, picks in found], None, None
        star = read_star(file)
        table = next((one for one in star.tables if NAME in one and not one.is_list), None)
        names = [] if table is None else [str(name) for name in table[NAME]]
        return [(name, None) for name in names], table, star.get("optics")

    def _confined(self, picks: Path, root: Path) -> Path | None:
        if not picks.is_relative_to(root) or not picks.is_file():
            return None
        return self._files.path(str(picks.relative_to(root)))


def columns_of(table: Table) -> dict[str, Any]:
    """Return picks as columns: what `Picks` holds of them."""
    n = len(table)
    types = table.get(TYPE)
    return {
        "count": n,
        "x": table[X].tolist(),
        "y": table[Y].tolist(),
        "fom": _defined(table.get(FOM), n),
        "type": [None] * n if types is None else [int(one) for one in types.tolist()],
        "columns": {
            label: _values(table, label) for label in table.labels if label not in (X, Y, FOM, TYPE)
        },
    }


def count_picks(path: Path) -> int:
    """Return how many picks a file holds, without reading numbers where lines can be counted."""
    try:
        data = path.read_bytes()
    except OSError:
        return 0
    if path.suffix == ".star" and data.count(b"loop_") == 1 and _ONE_TABLE.match(data):
        lines = data[data.index(b"loop_") + 5 :].split(b"\n")
        return sum(bool(line) and line[0] not in b"_#" for line in map(bytes.strip, lines))
    return len(read_picks(path))


def version_of(path: Path | None) -> str:
    """Return what changes whenever a file does; 0 where there is none."""
    if path is None:
        return "0"
    try:
        found = path.stat()
    except OSError:
        return "0"
    return f"{found.st_mtime_ns:x}-{found.st_size:x}"


def no_picks() -> Table:
    """Return a table of picks without rows."""
    return Table.from_columns("", {X: np.zeros(0), Y: np.zeros(0)})


def cell(rows: Table | None, label: str, row: int) -> float | None:
    """Return a number of a table; None where there is none."""
    if rows is None or label not in rows:
        return None
    value = float(rows[label][row])
    return value if np.isfinite(value) else None


def text(rows: Table | None, label: str, row: int) -> str | None:
    """Return a text of a table; None where there is none."""
    return str(rows[label][row]) if rows is not None and label in rows else None


def pixel_size(tables: tuple[Table | None, Table | None]) -> float | None:
    """Return the pixel size of micrographs as their tables say it."""
    for table in tables:
        for label in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
            if table is not None and label in table and len(table):
                return float(table[label][0])
    return None


def _row_of(pairs: list[tuple[str, Path | None]], micrograph: str) -> int | None:
    names = [name for name, _ in pairs]
    if micrograph in names:
        return names.index(micrograph)
    wanted = below_job(micrograph)
    same = [row for row, name in enumerate(names) if below_job(name) == wanted]
    return same[0] if same else None


def _values(table: Table, label: str) -> list[Any]:
    if kind_of(label) in (Kind.FLOAT, Kind.INT):
        return _defined(table[label], len(table))
    return [str(value) for value in table[label]]


def _defined(values: Any, n: int) -> list[Any]:  # noqa: ANN401 - a column, or nothing
    """Return numbers, with None for those that mean nothing."""
    if values is None:
        return [None] * n
    return [
        None if value == UNDEFINED or not np.isfinite(value) else value for value in values.tolist()
    ]
