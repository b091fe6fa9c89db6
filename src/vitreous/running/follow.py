"""Watch a job from outside, through its files alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vitreous.project.pipeline import Status
from vitreous.running import process_table, record
from vitreous.running.progress import Report, is_progress_line
from vitreous.running.state import JobState, running_state

_LAST_WORDS_S = 3.0
_POLL_S = 0.1


class Tail:
    """The lines that a growing file gets from now on.

    Parameters
    ----------
    path
        The file; it may come later.
    offset
        Where to begin, in bytes; by default at its present end.
    """

    def __init__(self, path: Path, offset: int | None = None) -> None:
        self._path = path
        self._offset = size(path) if offset is None else offset
        self._rest = b""

    def lines(self, *, to_end: bool = False) -> Iterator[str]:
        """Yield the whole lines that have come; with `to_end` also one without its newline."""
        try:
            with self._path.open("rb") as stream:
                if size(self._path) < self._offset:  # a scheduler begins the file again
                    self._offset, self._rest = 0, b""
                stream.seek(self._offset)
                text = stream.read()
        except FileNotFoundError:
            return
        self._offset += len(text)
        *whole, self._rest = (self._rest + text).split(b"\n")
        if to_end and self._rest:
            whole.append(self._rest)
            self._rest = b""
        for line in whole:
            yield line.decode(errors="replace")


def wait(
    root: Path,
    job_name: str,
    *,
    echo: Callable[[str], None] | None = None,
    on_progress: Callable[[Report], None] | None = None,
    offset: int | None = None,
    timeout_s: float | None = None,
) -> JobState:
    """Wait until a job has ended.

    Parameters
    ----------
    root, job_name
        The project folder and the job folder below it.
    echo
        Takes each line of ``run.out``.
    on_progress
        Takes reports; lines of ``run.out`` that only say the same are then not echoed.
    offset
        Where in ``run.out`` to begin, in bytes; by default at its present end.
    timeout_s
        Raise `TimeoutError` after so many seconds.

    Returns
    -------
    JobState
        How it ended.
    """
    job_dir = root / job_name
    found = record.read_process(job_dir)
    tail = Tail(job_dir / record.OUT, offset)
    _, seen = record.read_progress(job_dir)
    end = None if timeout_s is None else time.monotonic() + timeout_s
    told = ""
    while True:
        state = running_state(job_dir)
        seen = _tell(job_dir, tail, seen, echo, on_progress)
        if state.is_queued and str(state) != told and echo is not None:
            told = str(state)
            echo(f"{job_name} {told}")
        if state.status is not Status.RUNNING:
            break
        if end is not None and time.monotonic() > end:
            raise TimeoutError(f"{job_name} has not ended after {timeout_s:g} s")
        time.sleep(_POLL_S)
    _let_it_finish(job_dir, found.pid if found else 0)
    _tell(job_dir, tail, seen, echo, on_progress, to_end=True)
    return running_state(job_dir)


def report_of(line: Mapping[str, Any]) -> Report:
    """Turn a line of ``progress.jsonl`` into a report."""
    rate, done = float(line.get("rate") or 0.0), int(line.get("done") or 0)
    return Report(
        phase=str(line.get("phase", "")),
        unit=str(line.get("unit", "")),
        done=done,
        total=int(line.get("total") or 0),
        seconds=done / rate if rate else 0.0,
    )


def _tell(
    job_dir: Path,
    tail: Tail,
    seen: int,
    echo: Callable[[str], None] | None,
    on_progress: Callable[[Report], None] | None,
    *,
    to_end: bool = False,
) -> int:
    for line in tail.lines(to_end=to_end):
        if echo is not None and not (on_progress is not None and is_progress_line(line)):
            echo(line)
    if on_progress is None:
        return seen
    reports, seen = record.read_progress(job_dir, seen)
    if reports and not to_end:
        on_progress(report_of(reports[-1]))
    return seen


def _let_it_finish(job_dir: Path, pid: int) -> None:
    """Wait a moment for the last record, which comes after the exit marker."""
    end = time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < end:
        found = record.read_process(job_dir)
        if found is None or found.is_over or not pid or not process_table.is_alive(pid, 0):
            return
        time.sleep(0.02)


def size(path: Path) -> int:
    """Return the size of a file in bytes; 0 where there is none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
