"""Values that colour picks, from another STAR file than that of their coordinates.

Rows belong to picks by micrograph and place: the nearest one counts, if it is near enough to be the
same particle (gui.md, picking window).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vitreous.gui.confine import Confinement
from vitreous.gui.refusals import RefusedError
from vitreous.io import Table, read_star
from vitreous.io.coordinates import below_job
from vitreous.io.labels import Kind, kind_of
from vitreous.programs.picking_session import NAME, X, Y

_NEAR_PX: Final = 10.0  # where the diameter of particles is not known
_KEPT: Final = 4
_AT_ONCE: Final = 256  # points whose distances are held together

_Rows = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class _Known:
    stamp: int
    values: dict[str, _Rows]


class PickColours:
    """Columns of STAR files by micrograph and place, kept while they do not change.

    Parameters
    ----------
    files
        What may be read.
    """

    def __init__(self, files: Confinement) -> None:
        self._files = files
        self._known: dict[tuple[Path, str], _Known] = {}
        self._lock = threading.Lock()

    def column(
        self, path: str, label: str, micrograph: str, picks: Table, near_px: float | None
    ) -> list[float | None]:
        """Return the value of each pick, None where the file has none.

        Parameters
        ----------
        path
            STAR file with coordinates, names of micrographs and the column.
        label
            Column of numbers.
        micrograph
            Name of the micrograph.
        picks
            Table of its picks.
        near_px
            How far a row may lie from its pick.
        """
        nothing: list[float | None] = [None] * len(picks)
        try:
            file = self._files.path(path)
        except RefusedError:
            return nothing
        found = self._values(file, label).get(below_job(micrograph))
        if found is None or not len(picks):
            return nothing
        places, values = found
        row, distance = _nearest(np.stack([picks[X], picks[Y]], 1), places)
        return [
            float(values[at]) if far <= (near_px or _NEAR_PX) and np.isfinite(values[at]) else None
            for far, at in zip(distance, row, strict=True)
        ]

    def _values(self, file: Path, label: str) -> dict[str, _Rows]:
        try:
            stamp = file.stat().st_mtime_ns
        except OSError:
            return {}
        with self._lock:
            known = self._known.pop((file, label), None)
            if known is None or known.stamp != stamp:
                known = _Known(stamp, _by_micrograph(file, label))
            self._known[file, label] = known
            while len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
            return known.values


def _by_micrograph(file: Path, label: str) -> dict[str, _Rows]:
    """Return places and values of each micrograph, by its path below its job."""
    if kind_of(label) not in {Kind.FLOAT, Kind.INT}:
        return {}
    wanted = {NAME, X, Y, label}
    table = next((one for one in read_star(file).tables if wanted <= set(one.labels)), None)
    if table is None:
        return {}
    names = np.array([below_job(str(name)) for name in table[NAME]])
    places = np.stack([table[X], table[Y]], 1).astype(np.float64)
    values = np.asarray(table[label], np.float64)
    found = {}
    for name in np.unique(names):
        rows = names == name
        found[str(name)] = (places[rows], values[rows])
    return found


def _nearest(
    points: NDArray[np.float64], places: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the nearest place of each point, and how far it is."""
    row, distance = np.empty(len(points), np.int64), np.empty(len(points))
    for start in range(0, len(points), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        away = np.hypot(*(points[part, None] - places[None]).transpose(2, 0, 1))
        row[part] = away.argmin(1)
        distance[part] = away.min(1)
    return row, distance
