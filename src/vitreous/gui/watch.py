"""Looks at the project now and then and tells every page what changed, whoever changed it.

Files are looked at, never notified of: inotify does not see what other machines write. Each look
asks for the times of a few files; only what changed is read.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from vitreous.actions import Project
from vitreous.actions.autorun import STOP_FILE
from vitreous.errors import VitreousError
from vitreous.gui.book import JobBook
from vitreous.gui.events import Hub, Listener
from vitreous.gui.routes.job_actions import read_log
from vitreous.project.pipeline import Status
from vitreous.running import record

LOG = logging.getLogger("vitreous.gui")
ACTIVE_S: Final = 0.5
CALM_S: Final = 0.9
ALONE_S: Final = 5.0
_THOROUGH_S: Final = 20.0
_THOROUGH_CALM_S: Final = 90.0
_FIRST_LOG: Final = 16_000
_EVENT_LOG: Final = 64 << 10


@dataclass
class _Seen:
    """What the last look found."""

    listed: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    running: list[dict[str, Any]] = field(default_factory=list)
    project: tuple[object, ...] = ()
    trash: object = None
    files: dict[int, tuple[object, ...]] = field(default_factory=dict)


class Watcher:
    """Looks at a project for as long as its server runs.

    Parameters
    ----------
    project, book, hub
        The project, its list of jobs, and where changes are told.
    """

    def __init__(self, project: Project, book: JobBook, hub: Hub) -> None:
        self._project, self._book, self._hub = project, book, hub
        self._seen: _Seen | None = None
        self._thorough = 0.0
        self._is_active = False
        self._was_blind = False

    async def run(self) -> None:
        """Look, tell, wait; until cancelled."""
        while True:
            await self.try_to_look()
            await self._hub.wait(self._interval())

    async def try_to_look(self) -> None:
        """Look, and say in the log of the server where that was not possible."""
        try:
            await asyncio.to_thread(self.look)
            await self._tell_logs()
        except (VitreousError, OSError) as error:
            self._was_blind = True
            LOG.warning("the project could not be looked at: %s", error)

    def look(self) -> None:
        """Look once, and tell what changed since the last time."""
        self._take_up()
        listed = self._book.glance()
        same = self._seen if self._seen is not None and self._seen.listed is listed else None
        now = _Seen(
            listed=listed,
            rows=same.rows if same else {row["n"]: row for row in listed},
            running=(
                same.running if same else [row for row in listed if row["status"] == Status.RUNNING]
            ),
            project=_stamp(self._project.folder.file, *self._stop_files()),
            trash=_stamp(self._project.folder.trash),
        )
        now.files = {
            row["n"]: _stamp(self._project.root / row["name"] / record.RESULTS)
            for row in now.running
        }
        if self._seen is not None:
            self._tell(self._seen, now)
        elif self._was_blind:
            self._hub.tell("jobs")  # nobody knows what was there before: everything anew
        self._is_active = bool(now.running)
        self._seen = now

    def _take_up(self) -> None:
        """Write down what became of jobs, when one has ended or it is time for a long look."""
        if self._project.read_only:
            return
        due = time.monotonic() > self._thorough
        if due or self._book.ended():
            self._project.refresh(patient=False)
            after = _THOROUGH_S if self._is_active else _THOROUGH_CALM_S
            self._thorough = time.monotonic() + after

    def _tell(self, old: _Seen, now: _Seen) -> None:
        hub = self._hub
        if old.listed is not now.listed:
            self._tell_rows(old, now)
        if old.project != now.project:
            hub.tell("graph")
        if old.trash != now.trash:
            hub.tell("trash")
        for n, stamp in now.files.items():
            if old.files.get(n, stamp) != stamp:
                hub.tell("results", n)
        for n in old.files.keys() - now.files.keys():
            hub.tell("results", n)

    def _tell_rows(self, old: _Seen, now: _Seen) -> None:
        hub = self._hub
        gone = sorted(old.rows.keys() - now.rows.keys())
        come = sorted(now.rows.keys() - old.rows.keys())
        for n, row in now.rows.items():
            before = old.rows.get(n)
            if before is row or before is None:
                continue
            if _only_progress(before, row):
                hub.tell("progress", n, progress=row["progress"])
            elif before != row:
                hub.tell("job", n, row=row)
        if gone or come:
            hub.tell("jobs", added=[now.rows[n] for n in come], removed=gone)

    def _stop_files(self) -> list[Path]:
        return sorted(self._project.root.glob(f"{STOP_FILE}*"))

    def _interval(self) -> float:
        if not self._hub.listeners:
            return ALONE_S
        return ACTIVE_S if self._is_active else CALM_S

    async def _tell_logs(self) -> None:
        for listener in list(self._hub.listeners):
            if listener.log_of is not None:
                for event in await asyncio.to_thread(self._new_log, listener):
                    listener.offer(event)

    def _new_log(self, listener: Listener) -> list[dict[str, Any]]:
        """Return what the log that a page shows got since the last look."""
        row = (self._seen or _Seen()).rows.get(listener.log_of or -1)
        if row is None:
            return []
        events = []
        streams: tuple[Literal["out", "err"], ...] = ("out", "err")
        for stream in streams:
            path = (
                self._project.root / row["name"] / (record.OUT if stream == "out" else record.ERR)
            )
            size = _size(path)
            start = listener.log_at.get(stream, max(0, size - _FIRST_LOG))
            if size == start and (size == 0 or stream in listener.log_at):
                listener.log_at[stream] = size
                continue
            if size < start:  # emptied, or begun again
                start = 0
            part = read_log(path, row["n"], stream, start)
            listener.log_at[stream] = part.next
            text = part.text[-_EVENT_LOG:]
            events.append(
                {
                    "kind": "log",
                    "n": row["n"],
                    "stream": stream,
                    "start": part.start,
                    "next": part.next,
                    "size": part.size,
                    "text": text,
                }
            )
        return events


def _only_progress(old: dict[str, Any], new: dict[str, Any]) -> bool:
    return old["progress"] != new["progress"] and all(
        old[name] == value for name, value in new.items() if name != "progress"
    )


def _stamp(*paths: Path) -> tuple[object, ...]:
    found: list[object] = []
    for path in paths:
        try:
            entry = os.stat(path)
        except OSError:
            found.append(None)
        else:
            found.append((str(path), entry.st_mtime_ns, entry.st_size, entry.st_ino))
    return tuple(found)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
