"""The list of jobs as every page shows it, kept between two looks.

A row is made again only when its entry in the graph or one of the files behind it changed, so that
looking at thousands of jobs costs little more than asking for the times of their files.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from vitreous.actions import Project, report
from vitreous.gui.models.jobs import JobRow
from vitreous.project import process_types
from vitreous.project.notes import NOTE
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.running import record

_FAMILIES: Final = {
    "micrographs": {"Import", "MotionCorr", "CtfFind"},
    "particles": {"ManualPick", "AutoPick", "Extract"},
    "2d": {"Class2D", "Select"},
    "3d": {"InitialModel", "Class3D", "Refine3D", "MultiBody", "DynaMight"},
    "improve": {"CtfRefine", "Polish", "Subtract", "JoinStar"},
}
_WATCHED: Final = (record.PROCESS, record.RESULTS, NOTE)
_HEADLINES: Final = 3
_GLANCED: Final = 80

_Stamp = tuple[int, ...]


def family(folder: str) -> str:
    """Return the family of a job type by its folder; the design has a colour for each."""
    return next((name for name, folders in _FAMILIES.items() if folder in folders), "map")


@dataclass(frozen=True)
class _Kept:
    pipeline: Pipeline
    process: Process
    neighbours: tuple[tuple[int, ...], tuple[int, ...]]
    stamp: _Stamp
    row: dict[str, Any]


class JobBook:
    """The rows of all jobs of a project; safe to use from several threads.

    Parameters
    ----------
    project
        The project.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()
        self._encoded: tuple[list[dict[str, Any]], bytes] | None = None
        self._order: tuple[Pipeline, list[Process]] | None = None
        self._running: list[Process] = []
        self._glanced: tuple[Pipeline, list[dict[str, Any]]] | None = None
        self._is_stale = False
        self._next = 0

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as plain values, by number. Shared: do not change them."""
        with self._lock:
            return self._rows()

    def glance(self) -> list[dict[str, Any]]:
        """Return the rows after a look that costs little, for whoever looks again and again.

        Where the graph is as it was, only the files of running jobs and of some of the others are
        asked for their times; some glances later every job was looked at. The list is the same
        object as long as no row is another one: an open page costs next to nothing.
        """
        with self._lock:
            pipeline, processes = self._ordered()
            if self._glanced is None or self._glanced[0] is not pipeline:
                self._glanced = (pipeline, self._rows())
                self._is_stale = False
                return self._glanced[1]
            begin = self._next if self._next < len(processes) else 0
            self._next = begin + _GLANCED
            for process in (*self._running, *processes[begin : begin + _GLANCED]):
                self._row(pipeline, process)
            if self._is_stale:
                rows = [self._kept[process.name].row for process in processes]
                self._glanced = (pipeline, rows)
                self._is_stale = False
            return self._glanced[1]

    def ended(self) -> bool:
        """Return whether a job that the graph has as running is not."""
        with self._lock:
            pipeline, _ = self._ordered()
            rows = (self._row(pipeline, process) for process in self._running)
            return any(row["status"] != Status.RUNNING for row in rows)

    def encoded(self) -> bytes:
        """Return the rows as JSON."""
        with self._lock:
            rows = self._rows()
            if self._encoded is None or not _same(self._encoded[0], rows):
                self._encoded = (rows, json.dumps(record.plain(rows)).encode())
            return self._encoded[1]

    def row(self, process: Process) -> dict[str, Any]:
        """Return the row of one job."""
        with self._lock:
            return self._row(self._project.pipeline, process)

    def _ordered(self) -> tuple[Pipeline, list[Process]]:
        """Return the graph and its jobs by number."""
        pipeline = self._project.pipeline
        if self._order is None or self._order[0] is not pipeline:
            for gone in self._kept.keys() - pipeline.processes.keys():
                del self._kept[gone]
            self._order = (pipeline, sorted(pipeline, key=lambda process: process.number))
            self._running = [one for one in self._order[1] if one.status is Status.RUNNING]
        return self._order

    def _rows(self) -> list[dict[str, Any]]:
        pipeline, processes = self._ordered()
        return [self._row(pipeline, process) for process in processes]

    def _row(self, pipeline: Pipeline, process: Process) -> dict[str, Any]:
        folder = f"{self._project.root}/{process.name}"
        stamp = _stamp(folder, process)
        kept = self._kept.get(process.name)
        is_same_graph = kept is not None and kept.pipeline is pipeline
        neighbours = kept.neighbours if kept and is_same_graph else _neighbours(pipeline, process)
        row = None
        if kept and (kept.process, kept.neighbours, kept.stamp) == (process, neighbours, stamp):
            row = kept.row
            if process.status is Status.RUNNING:  # a process may just have died
                made = _make(self._project.root, process, neighbours)
                row = row if made == row else made
        row = row or _make(self._project.root, process, neighbours)
        self._is_stale = self._is_stale or kept is None or row is not kept.row
        self._kept[process.name] = _Kept(pipeline, process, neighbours, stamp, row)
        return row


def _same(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    return len(old) == len(new) and all(a is b for a, b in zip(old, new, strict=True))


def _stamp(folder: str, process: Process) -> _Stamp:
    names = _WATCHED if process.status is not Status.RUNNING else (*_WATCHED, record.PROGRESS)
    found: list[int] = []
    for name in names:
        try:
            entry = os.stat(folder + name)
        except OSError:
            found.append(0)
        else:
            found += (entry.st_mtime_ns, entry.st_size, entry.st_ino)
    return tuple(found)


def _neighbours(pipeline: Pipeline, process: Process) -> tuple[tuple[int, ...], tuple[int, ...]]:
    parents = (pipeline.processes.get(name) for name in pipeline.parents(process.name))
    children = (pipeline.processes.get(name) for name in pipeline.children(process.name))
    before = sorted(one.number for one in parents if one)
    return tuple(before), tuple(sorted(one.number for one in children if one))


def _make(
    root: Path, process: Process, neighbours: tuple[tuple[int, ...], tuple[int, ...]]
) -> dict[str, Any]:
    """Make a row; its fields are those of `JobRow`."""
    row = report.job_row(root, process)
    folder = f"{root}/{process.name}"
    known = _json(folder + record.PROCESS)
    over = row["status"] not in (Status.RUNNING, Status.SCHEDULED)
    job_folder = process_types.to_folder(process.type_label) or process.type_folder
    made = JobRow.model_construct(
        n=process.number,
        name=process.name,
        alias=process.alias.rstrip("/").rpartition("/")[2] if process.alias else None,
        word=row["word"],
        gui_name=row["title"],
        family=family(job_folder),
        type=process.type_label,
        status=row["status"],
        waits_for_you=row["interactive"],
        queued_since=row["queued_since"],
        queue_id=row["queue_id"],
        host=row["host"],
        reason=row["reason"],
        created=known.get("submitted") or known.get("started") or _created(folder),
        started=known.get("started") or None,
        ended=row["since"] if over else None,
        progress=row["progress"],
        headline=[headline(one) for one in row["headline"][:_HEADLINES]],
        n_warnings=row["warnings"],
        inputs=list(neighbours[0]),
        outputs=list(neighbours[1]),
        note_first_line=_first_line(folder + NOTE),
    )
    return dict(made.__dict__)


def headline(one: Mapping[str, Any]) -> dict[str, Any]:
    """Return a number that a job hands in, as pages show it."""
    name = str(one.get("name", ""))
    value = one.get("value")
    return {
        "name": name,
        "label": str(one.get("label") or name),
        "value": value if isinstance(value, int | float | str) else None,
        "unit": str(one.get("unit") or ""),
    }


def _json(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb", buffering=0) as stream:
            found = json.loads(stream.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _created(folder: str) -> str | None:
    for name in ("job_pipeline.star", "job.star"):
        try:
            when = datetime.fromtimestamp(os.stat(folder + name).st_mtime, UTC)
        except OSError:
            continue
        return when.isoformat(timespec="seconds").replace("+00:00", "Z")
    return None


def _first_line(path: str) -> str:
    """Return the first line that a person wrote; starts of the job are written there too."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.read(8192).splitlines()
    except OSError:
        return ""
    within = False
    for line in lines:
        text = line.strip()
        if text.startswith("++++"):
            within = "Executing" in text or ("with the following" in text and within)
        elif text and not within:
            return text[:200]
    return ""
