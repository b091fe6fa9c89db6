"""Picking in a browser, on top of `vitreous.programs.picking_session`.

Sessions are kept while people pick; what is picked is on disk at once. The version of a
micrograph's picks is that of their file, so that changes by others are seen too.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from vitreous.actions import Job, Project
from vitreous.errors import VitreousError
from vitreous.gui.confine import Confinement
from vitreous.gui.models.display import (
    PickChange,
    PickedMicrograph,
    PickList,
    PickLoad,
    PickLoaded,
    Picks,
    PickSave,
    PickSaved,
    PickTicks,
)
from vitreous.gui.pick_colours import PickColours
from vitreous.gui.pick_edits import edited
from vitreous.gui.pick_sets import (
    PickSets,
    cell,
    columns_of,
    count_picks,
    pixel_size,
    text,
    version_of,
)
from vitreous.gui.refusals import RefusedError, not_found
from vitreous.io import Table
from vitreous.jobs import job_star, registry
from vitreous.jobs.declare import Options
from vitreous.programs.picking_session import PickingSession
from vitreous.project.pipeline import Status

_KEPT: Final = 8
_BECAME: Final = {
    Status.RUNNING: "runs",
    Status.SCHEDULED: "is scheduled",
    Status.SUCCEEDED: "has succeeded",
    Status.FAILED: "has failed",
    Status.ABORTED: "was aborted",
}
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
    files
        What may be read of it.
    """

    def __init__(self, project: Project, files: Confinement) -> None:
        self._project = project
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self._colours = PickColours(files)

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
            display=_display(options) or self._last_display(),
            total=sum(row.count for row in rows),
            micrographs=rows,
        )

    def looked_at(self, found: PickList) -> PickList:
        """Return a list that no job holds as the last manual picking was looked at."""
        display = self._last_display()
        diameter_A = _diameter(display)
        return found.model_copy(update={"display": display, "diameter_A": diameter_A})

    def diameter_A(self, name: str) -> float | None:
        """Return the diameter of particles that a job was told, by its name."""
        try:
            options = job_star.read_job(self._project.root / name).options
        except (VitreousError, OSError):
            return None
        return _diameter({one: options.value(one) for one in options.job_type.options})

    def _last_display(self) -> dict[str, Any]:
        """Return how micrographs were looked at in the manual picking that was begun last."""
        try:
            used = job_star.read_last_used(self._project.root, registry.find("manualpick"))
        except (VitreousError, OSError):
            return {}
        return _display(used.options) if used else {}

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
            is_late = change.version != self._version(session, name) and not change.force
            if change.edits and is_late:
                return None
            if change.edits:
                table = session.picks(name)
                foreign = self._foreign_label(opened, table)
                for edit in change.edits:
                    for given in edit.rows or []:
                        given.pop(foreign, None)
                    table = edited(session, name, table, edit)
                session.replace(name, table)
            if change.selected is not None:
                session.select(name, selected=change.selected)
            return self._picks(job, opened, row)

    def tick(self, job: Job, ticks: PickTicks) -> PickList:
        """Tick micrographs, take ticks away, or turn them over."""
        if why_not := self._why_not(job):
            raise RefusedError(409, why_not)
        opened = self._opened(job)
        with opened.lock:
            session = opened.session
            names = session.micrographs
            rows = range(len(names)) if ticks.rows is None else ticks.rows
            chosen = [_name(session, row) for row in rows]
            turned = {
                name: not session.is_selected(name) if ticks.selected is None else ticks.selected
                for name in chosen
            }
            session.select_many(turned)
        return self.listed(job)

    def load(self, job: Job, given: PickLoad, sets: PickSets) -> PickLoaded:
        """Take over the picks of another list."""
        if why_not := self._why_not(job):
            raise RefusedError(409, why_not)
        opened = self._opened(job)
        n_picks = n_micrographs = 0
        with opened.lock:
            session = opened.session
            names = session.micrographs
            wanted = names if given.row is None else [_name(session, given.row)]
            for name in wanted:
                if given.row is None and len(session.picks(name)):
                    continue
                table = sets.table(given.path, name)
                if table is None or not len(table):
                    continue
                session.replace(name, table)
                n_picks += len(table)
                n_micrographs += 1
        return PickLoaded(n=job.number, n_picks=n_picks, n_micrographs=n_micrographs)

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
        if job.process.status is Status.RUNNING and job.is_interactive:
            return ""
        if job.process.type_folder == "AutoPick":
            return "A program picked these. Correct by hand: a job of yours begins with them."
        return (
            f"Job {job.number} {_BECAME[job.status]}. Continue it to change its picks; "
            "what was picked is kept."
        )

    def _version(self, session: PickingSession, name: str) -> str:
        return version_of(session.project / session.file(name))

    def _picks(self, job: Job, opened: _Open, row: int) -> Picks:
        session = opened.session
        name = _name(session, row)
        version = self._version(session, name)
        table = session.picks(name)
        opened.counts[name] = (version, len(table))
        columns = columns_of(table)
        if label := self._foreign_label(opened, table):
            values = {one: opened.options.value(one) for one in opened.options.job_type.options}
            diameter_A, pixel_A = _diameter(values), _pixel_size(session, values)
            near_px = diameter_A / pixel_A / 4 if diameter_A and pixel_A else None
            columns["columns"][label] = self._colours.column(
                str(values["color_file"]), label, name, table, near_px
            )
        return Picks(n=job.number, row=row, name=name, version=version, **columns)

    def _foreign_label(self, opened: _Open, table: Table) -> str:
        """Return the column that comes from another file; empty where none does."""
        options = opened.options
        if not _value(options, "use_colors") or not _value(options, "color_file"):
            return ""
        label = str(_value(options, "color_label"))
        is_own = label in table.labels
        return "" if is_own else label

    def _row(self, opened: _Open, row: int, name: str) -> PickedMicrograph:
        session = opened.session
        version = self._version(session, name)
        known = opened.counts.get(name)
        if known is None or known[0] != version:
            known = (version, count_picks(session.project / session.file(name)))
            opened.counts[name] = known
        rows = session.rows
        return PickedMicrograph(
            row=row,
            name=name,
            selected=session.is_selected(name),
            count=known[1],
            version=version,
            defocus_A=cell(rows, "rlnDefocusU", row),
            ctf_max_resolution_A=cell(rows, "rlnCtfMaxResolution", row),
            ctf_image=text(rows, "rlnCtfImage", row),
        )


def _display(options: Options) -> dict[str, Any]:
    """Return what a form says of the looks; empty where its job type has nothing of the kind."""
    kinds = options.job_type.options.items()
    return {name: options.value(name) for name, spec in kinds if spec.tab in ("Display", "Colors")}


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
    return pixel_size((session.optics, session.rows))


def _diameter(values: dict[str, Any]) -> float | None:
    for name in ("diameter_A", "max_diameter_A", "particle_diameter_A"):
        given = values.get(name)
        if isinstance(given, int | float) and given > 0:
            return float(given)
    return None
