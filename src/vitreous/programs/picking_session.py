"""Picking by hand without a window: what a picker on any screen calls.

Every change is written at once to the micrograph's own file (whole or not at all), so that nothing
is lost when the picker goes away; `PickingSession.save` writes the lists that other jobs read.
This module loads neither torch nor the engine. Pictures come from `vitreous.programs.picking_view`.
"""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import Star, Table, read_star, write_star
from vitreous.io.coordinate_list import write_coordinate_list
from vitreous.io.coordinates import place_of_picks, read_picks
from vitreous.io.labels import Kind, kind_of

NAME: Final = "rlnMicrographName"
X: Final = "rlnCoordinateX"
Y: Final = "rlnCoordinateY"
FOM: Final = "rlnAutopickFigureOfMerit"
_UNKNOWN_ANGLE: Final = -999.0
_MANUAL: Final = 1
_NEW: Final[Mapping[str, float]] = {
    "rlnParticleSelectionType": _MANUAL,
    "rlnAnglePsi": _UNKNOWN_ANGLE,
    FOM: 0.0,
}
_RESET: Final[Mapping[str, float]] = {
    "rlnAngleRot": _UNKNOWN_ANGLE,
    "rlnAngleTilt": _UNKNOWN_ANGLE,
    "rlnOriginXAngst": 0.0,
    "rlnOriginYAngst": 0.0,
    **_NEW,
}
_UNDO_STEPS: Final = 200


@dataclass
class PickingSession:
    """Micrographs, their picks, and which of them are ticked.

    Parameters
    ----------
    project
        The project folder.
    folder
        The job folder below it, with its slash.
    rows
        The micrographs as they were listed.
    optics
        Their optics groups, where there are any.
    name
        ``manualpick`` or ``autopick``: the end of the names of all files of picks.
    filaments
        Picks are starts and ends of filaments, in turn.
    """

    project: Path
    folder: str
    rows: Table
    optics: Table | None
    name: str
    filaments: bool = False
    _selected: dict[str, bool] = field(default_factory=dict)
    _before: dict[str, list[Table]] = field(default_factory=dict)

    @classmethod
    def open(
        cls, project: Path, folder: str, micrographs: str, name: str, *, filaments: bool = False
    ) -> PickingSession:
        """Begin, or go on with what was picked before.

        Parameters
        ----------
        micrographs
            STAR file, or a pattern of MRC files, from the project folder.
        """
        optics, rows = _listed(project, micrographs)
        session = cls(project, folder, rows, optics, name, filaments)
        session._selected = dict.fromkeys(session.micrographs, True)
        session._selected.update(_ticks(session.path / "local_selection.star"))
        return session

    @property
    def path(self) -> Path:
        """The job folder."""
        return self.project / self.folder

    @property
    def micrographs(self) -> list[str]:
        """Names of all micrographs, in the order of the list."""
        return [str(name) for name in self.rows[NAME]]

    def file(self, micrograph: str) -> str:
        """Return the file of picks of a micrograph, from the project folder."""
        return place_of_picks(self.folder, micrograph, self.name)

    def picks(self, micrograph: str) -> Table:
        """Return the picks of a micrograph; no rows where there are none."""
        self._require(micrograph)
        file = self.project / self.file(micrograph)
        return read_picks(file) if file.is_file() else _no_picks()

    def add(self, micrograph: str, x_px: float, y_px: float) -> Table:
        """Add a pick, in pixels of the micrograph from its first one; return all picks."""
        old = self.picks(micrograph)
        return self._change(micrograph, old, self.with_pick(old, x_px, y_px))

    def with_pick(self, picks: Table, x_px: float, y_px: float) -> Table:
        """Return picks with one more; nothing is written."""
        if not (np.isfinite(x_px) and np.isfinite(y_px)):
            raise InputError(f"{x_px:g}, {y_px:g} is no place for a pick.")
        return _with_pick(picks, x_px, y_px)

    def delete(self, micrograph: str, x_px: float, y_px: float, radius_px: float) -> Table:
        """Take out all picks nearer than a radius; of filaments both ends. Return what is left."""
        old = self.picks(micrograph)
        left = self.without_near(old, x_px, y_px, radius_px)
        return self._change(micrograph, old, left) if len(left) < len(old) else old

    def without_near(self, picks: Table, x_px: float, y_px: float, radius_px: float) -> Table:
        """Return picks without those nearer than a radius; nothing is written."""
        near = np.hypot(picks[X] - x_px, picks[Y] - y_px) < radius_px
        if self.filaments:
            near = _whole_pairs(near)
        return picks.select(~near)

    def replace(self, micrograph: str, picks: Table) -> Table:
        """Put other picks in the place of those of a micrograph; `undo` brings them back."""
        return self._change(micrograph, self.picks(micrograph), picks)

    def clear(self, micrograph: str) -> Table:
        """Take out all picks of a micrograph."""
        old = self.picks(micrograph)
        return self._change(micrograph, old, old.select(np.zeros(len(old), bool)))

    def undo(self, micrograph: str) -> Table:
        """Take back the last change of a micrograph; nothing happens where there is none."""
        self._require(micrograph)
        before = self._before.get(micrograph, [])
        if before:
            self._write(micrograph, before.pop())
        return self.picks(micrograph)

    def is_selected(self, micrograph: str) -> bool:
        """Tell whether a micrograph is ticked."""
        self._require(micrograph)
        return self._selected[micrograph]

    def select(self, micrograph: str, *, selected: bool) -> None:
        """Tick a micrograph, or take the tick away; kept at once."""
        self.select_many({micrograph: selected})

    def select_many(self, ticks: Mapping[str, bool]) -> None:
        """Tick micrographs, or take their ticks away; kept at once."""
        for micrograph in ticks:
            self._require(micrograph)
        self._selected.update(ticks)
        self._write_ticks()

    def count(self) -> dict[str, int]:
        """Return the number of picks of each micrograph that has a file of them."""
        return {
            name: len(self.picks(name))
            for name in self.micrographs
            if (self.project / self.file(name)).is_file()
        }

    def save(self, min_fom: float | None = None) -> list[str]:
        """Write what other jobs read: the list of picks and the micrographs that are ticked.

        Parameters
        ----------
        min_fom
            Leave out picks of a lower figure of merit; manual ones have none and stay.

        Returns
        -------
        list of str
            Micrographs that were left out because an end of a filament is missing.
        """
        if min_fom is not None:
            self._drop_below(min_fom)
        counts = self.count()
        odd = [name for name, n in counts.items() if self.filaments and n % 2]
        pairs = [
            (name, self.file(name))
            for name, n in counts.items()
            if n and self._selected[name] and name not in odd
        ]
        self.path.mkdir(parents=True, exist_ok=True)
        write_coordinate_list(self.path / f"{self.name}.star", pairs)
        ticked = np.array([self._selected[name] for name in self.micrographs], bool)
        tables = [] if self.optics is None else [self.optics]
        write_star(self.path / "micrographs_selected.star", [*tables, self.rows.select(ticked)])
        self._write_ticks()
        return odd

    def _drop_below(self, min_fom: float) -> None:
        for name in self.count():
            picks = self.picks(name)
            manual = picks.get("rlnParticleSelectionType", np.zeros(len(picks))) == _MANUAL
            keep = (picks.get(FOM, np.full(len(picks), np.inf)) >= min_fom) | manual
            if not keep.all():
                self._change(name, picks, picks.select(keep))

    def _change(self, micrograph: str, old: Table, new: Table) -> Table:
        steps = self._before.setdefault(micrograph, [])
        steps.append(old)
        del steps[:-_UNDO_STEPS]
        self._write(micrograph, new)
        return new

    def _write(self, micrograph: str, table: Table) -> None:
        file = self.project / self.file(micrograph)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_star(file, Star([table]))

    def _write_ticks(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        names = self.micrographs
        columns = {NAME: names, "rlnSelected": [int(self._selected[name]) for name in names]}
        write_star(self.path / "local_selection.star", [Table.from_columns("", columns)])

    def _require(self, micrograph: str) -> None:
        if micrograph not in self._selected:
            raise InputError(
                f"{micrograph} is not in the list of micrographs of {self.folder} "
                f"({len(self.rows):,} are)."
            )


def _with_pick(old: Table, x_px: float, y_px: float) -> Table:
    """Add a row: other columns are those of the last row, without its angles and origins."""
    if not len(old):
        base = dict(_NEW)
    else:
        last = {label: old[label][-1] for label in old.labels}
        base = {label: _RESET.get(label, value) for label, value in last.items()}
    row: dict[str, Any] = {X: x_px, Y: y_px, **{k: v for k, v in base.items() if k not in (X, Y)}}
    columns = {}
    for label, value in row.items():
        column = old.get(label, np.zeros(0)) if len(old) else np.zeros(0)
        whole = kind_of(label) is Kind.INT
        columns[label] = [*column.tolist(), int(value) if whole else value]
    return Table.from_columns("", columns)


def _whole_pairs(near: np.ndarray) -> np.ndarray:
    """Choose both ends of each filament of which one is chosen."""
    chosen = near.copy()
    even = len(near) // 2 * 2
    either = near[:even:2] | near[1:even:2]
    chosen[:even:2] = either
    chosen[1:even:2] = either
    return chosen


def _no_picks() -> Table:
    return Table.from_columns("", {X: np.zeros(0), Y: np.zeros(0)})


def _listed(project: Path, micrographs: str) -> tuple[Table | None, Table]:
    """Read the list of micrographs, or find the files of a pattern."""
    if any(letter in micrographs for letter in "*?["):
        names = sorted(glob.glob(micrographs, root_dir=project))
        if not names:
            raise MissingFileError(f"{micrographs}: no file has such a name")
        return None, Table.from_columns("micrographs", {NAME: names})
    if not micrographs.endswith(".star"):
        if not (project / micrographs).is_file():
            raise MissingFileError(f"{micrographs}: there is no such file")
        return None, Table.from_columns("micrographs", {NAME: [micrographs]})
    star = read_star(project / micrographs)
    table = next((one for one in star.tables if NAME in one and not one.is_list), None)
    if table is None:
        raise FormatError(f"{micrographs}: no table has a column {NAME}, so no micrographs")
    if not len(table):
        raise InputError(f"{micrographs}: it lists no micrographs. Take a list that has some.")
    return star.get("optics"), table


def _ticks(path: Path) -> dict[str, bool]:
    """Read which micrographs were ticked."""
    if not path.is_file():
        return {}
    table = read_star(path).first
    names: Sequence[str] = [str(name) for name in table[NAME]]
    return dict(zip(names, (bool(tick) for tick in table["rlnSelected"]), strict=True))
