"""Picking in a browser, on top of `vitreous.programs.picking_session`.

Sessions are kept while people pick; what is picked is on disk at once. The version of a
micrograph's picks is that of their file, so that changes by others are seen too.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from vitreous.actions import Job, Project
from vitreous.errors import InputError
from vitreous.gui.models.display import (
    PickChange,
    PickEdit,
    PickedMicrograph,
    PickList,
    Picks,
    PickSave,
    PickSaved,
)
from vitreous.gui.refusals import RefusedError, not_found
from vitreous.io import Table
from vitreous.io.labels import Kind, kind_of
from vitreous.jobs import job_star
from vitreous.jobs.declare import Options
from vitreous.programs.picking_session import FOM, PickingSession, X, Y
from vitreous.project.pipeline import Status

_TYPE: Final = "rlnParticleSelectionType"
_UNDEFINED: Final = -999.0
_KEPT: Final = 8
Name = Literal["manualpick", "autopick"]


@dataclass
class _Open:
    session: PickingSession
    options: Options
    stamp: tuple[str, int]
    lock: threading.RLock
    counts: dict[str, tuple[str, int]]


class PickingSessions:
    """The picking jobs that somebody looks at.

    Parameters
    ----------
    project
        The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def listed(self, job: Job) -> PickList:
        """Return the micrographs of a job."""
        opened = self._opened(job)
        session, options = opened.session, opened.options
        why_not = self._why_not(job)
        with opened.lock:
            rows = [self._row(opened, row, name) for row, name in enumerate(session.micrographs)]
        values = {name: options.value(name) for name in options.job_type.options}
        return PickList(
            n=job.number,
            name="manualpick" if session.name == "manualpick" else "autopick",
            path=str(values.get("micrographs") or ""),
            filaments=session.filaments,
            editable=not why_not,
            why_not=why_not or None,
            pixel_size_A=_pixel_size(session, values),
            diameter_A=_diameter(values),
            display={
                name: value
                for name, value in values.items()
                if options.job_type.options[name].tab in ("Display", "Colors")
            },
            total=sum(row.count for row in rows),
            micrographs=rows,
        )

    def picks(self, job: Job, row: int) -> Picks:
        """Return the picks of a micrograph."""
        opened = self._opened(job)
        with opened.lock:
            return self._picks(job, opened, row)

    def change(self, job: Job, row: int, change: PickChange) -> Picks | None:
        """Change the picks of a micrograph; None where they are not those it is based on."""
        if why_not := self._why_not(job):
            raise RefusedError(409, why_not)
        opened = self._opened(job)
        with opened.lock:
            session, name = opened.session, _name(opened.session, row)
            if change.version != self._version(session, name) and not change.force:
                return None
            if change.edits:
                table = session.picks(name)
                for edit in change.edits:
                    table = _edited(session, name, table, edit)
                session.replace(name, table)
            if change.selected is not None:
                session.select(name, selected=change.selected)
            return self._picks(job, opened, row)

    def save(self, job: Job, how: PickSave) -> PickSaved:
        """Write the lists that other jobs read."""
        if why_not := self._why_not(job):
            raise RefusedError(409, why_not)
        opened = self._opened(job)
        with opened.lock:
            left_out = opened.session.save(how.min_fom)
            counts = opened.session.count()
        if how.close:
            self._project.mark(job, "finished")
        return PickSaved(
            n=job.number,
            total=sum(counts.values()),
            n_micrographs=sum(count > 0 for count in counts.values()),
            left_out=left_out,
            closed=how.close,
        )

    def _opened(self, job: Job) -> _Open:
        """Return the session of a job; a new one where its settings or its list changed."""
        settings = job.path / job_star.JOB_STAR
        file = job_star.read_job(job.path)
        name = _kind(file.options)
        source = str(file.options.value("micrographs"))
        stamp = (source, _mtime(self._project.root / source) ^ _mtime(settings))
        with self._lock:
            known = self._open.pop(job.name, None)
            if known is None or known.stamp != stamp:
                filaments = bool(_value(file.options, "pick_filaments"))
                session = PickingSession.open(
                    self._project.root, job.name, source, name, filaments=filaments
                )
                known = _Open(session, file.options, stamp, threading.RLock(), {})
            self._open[job.name] = known
            while len(self._open) > _KEPT:
                del self._open[next(iter(self._open))]
            return known

    def _why_not(self, job: Job) -> str:
        if self._project.read_only:
            return "The project was opened read-only."
        if job.process.status is not Status.RUNNING or not job.is_interactive:
            return (
                f"Job {job.number} is {job.status.lower()}. Continue it to change its picks; "
                "what was picked is kept."
            )
        return ""

    def _version(self, session: PickingSession, name: str) -> str:
        path = session.project / session.file(name)
        try:
            found = path.stat()
        except OSError:
            return "0"
        return f"{found.st_mtime_ns:x}-{found.st_size:x}"

    def _picks(self, job: Job, opened: _Open, row: int) -> Picks:
        session = opened.session
        name = _name(session, row)
        version = self._version(session, name)
        table = session.picks(name)
        opened.counts[name] = (version, len(table))
        types = table.get(_TYPE)
        return Picks(
            n=job.number,
            row=row,
            name=name,
            version=version,
            count=len(table),
            x=table[X].tolist(),
            y=table[Y].tolist(),
            fom=_defined(table.get(FOM), len(table)),
            type=[None] * len(table) if types is None else [int(one) for one in types.tolist()],
            columns={
                label: _defined(table[label], len(table))
                for label in table.labels
                if label not in (X, Y, FOM, _TYPE) and kind_of(label) in (Kind.FLOAT, Kind.INT)
            },
        )

    def _row(self, opened: _Open, row: int, name: str) -> PickedMicrograph:
        session = opened.session
        version = self._version(session, name)
        known = opened.counts.get(name)
        if known is None or known[0] != version:
            known = (version, 0 if version == "0" else len(session.picks(name)))
            opened.counts[name] = known
        rows = session.rows
        return PickedMicrograph(
            row=row,
            name=name,
            selected=session.is_selected(name),
            count=known[1],
            version=version,
            defocus_A=_cell(rows, "rlnDefocusU", row),
            ctf_max_resolution_A=_cell(rows, "rlnCtfMaxResolution", row),
            ctf_image=str(rows["rlnCtfImage"][row]) if "rlnCtfImage" in rows else None,
        )


def _kind(options: Options) -> Name:
    word = options.job_type.word
    if word not in ("manualpick", "autopick"):
        raise not_found(f"{options.job_type.gui_name} jobs have no picks.")
    return "manualpick" if word == "manualpick" else "autopick"


def _name(session: PickingSession, row: int) -> str:
    names = session.micrographs
    if not 0 <= row < len(names):
        raise not_found(f"There is no micrograph {row}; the list has {len(names):,}.")
    return names[row]


def _edited(session: PickingSession, name: str, table: Table, edit: PickEdit) -> Table:
    """Return the picks after one change."""
    if edit.act == "clear":
        return table.select(np.zeros(len(table), bool))
    if edit.act == "add":
        x, y = _place(edit)
        grown = session.with_pick(table, x, y)
        return _typed(grown, [len(table)], edit.type) if edit.type else grown
    if edit.act == "delete" and edit.indices is None and edit.index is None:
        x, y = _place(edit)
        if edit.radius is None:
            raise InputError("to delete picks give their places in the list, or x, y and radius")
        return session.without_near(table, x, y, edit.radius)
    chosen = _indices(edit, len(table), name)
    if edit.act == "delete":
        keep = np.ones(len(table), bool)
        keep[chosen] = False
        return table.select(keep)
    if edit.act == "type":
        if edit.type is None:
            raise InputError("say which type, from 1 to 6")
        return _typed(table, chosen, edit.type)
    x, y = _place(edit)
    xs, ys = table[X].copy(), table[Y].copy()
    xs[chosen], ys[chosen] = x, y
    return table.with_columns({X: xs, Y: ys})


def _typed(table: Table, chosen: list[int], value: int) -> Table:
    types = np.array(table.get(_TYPE, np.ones(len(table), np.int64)))
    types[chosen] = value
    return table.with_columns({_TYPE: types})


def _place(edit: PickEdit) -> tuple[float, float]:
    if edit.x is None or edit.y is None:
        raise InputError(f"to {edit.act} a pick give its x and y")
    return edit.x, edit.y


def _indices(edit: PickEdit, n: int, name: str) -> list[int]:
    chosen = list(edit.indices or [])
    if edit.index is not None:
        chosen.append(edit.index)
    if not chosen:
        raise InputError(f"to {edit.act} picks give their places in the list")
    wrong = [one for one in chosen if not 0 <= one < n]
    if wrong:
        raise InputError(f"{name} has {n} picks, there is none at place {wrong[0]}")
    return chosen


def _defined(values: Any, n: int) -> list[float | None]:  # noqa: ANN401 - a column, or nothing
    """Return numbers, with None for those that mean nothing."""
    if values is None:
        return [None] * n
    return [
        None if value == _UNDEFINED or not np.isfinite(value) else float(value)
        for value in values.tolist()
    ]


def _cell(rows: Table, label: str, row: int) -> float | None:
    if label not in rows:
        return None
    value = float(rows[label][row])
    return value if np.isfinite(value) else None


def _value(options: Options, name: str) -> object:
    return options.value(name) if name in options.job_type.options else None


def _mtime(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _pixel_size(session: PickingSession, values: dict[str, Any]) -> float | None:
    given = values.get("pixel_size_A")
    if isinstance(given, int | float) and given > 0:
        return float(given)
    for table in (session.optics, session.rows):
        for label in ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize"):
            if table is not None and label in table and len(table):
                return float(table[label][0])
    return None


def _diameter(values: dict[str, Any]) -> float | None:
    for name in ("diameter_A", "max_diameter_A", "particle_diameter_A"):
        given = values.get(name)
        if isinstance(given, int | float) and given > 0:
            return float(given)
    return None
