"""Stop a job: ask, wait, insist, kill; in a queue, cancel.

Every step goes to the whole process group and session of the job and to all its descendants.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vitreous.errors import ProjectError
from vitreous.jobs import job_star
from vitreous.project import markers
from vitreous.project.pipeline import Status
from vitreous.running import alive, process_table, queue, record
from vitreous.running.execute import GRACE_S, grace_s
from vitreous.running.record import ProcessRecord
from vitreous.running.state import JobState, running_state
from vitreous.running.supervise import AFTER_TERM_S

_POLL_S: Final = 0.05
_QUEUE_S: Final = 10.0
_MARGIN_S: Final = 0.5


def abort(root: Path, job_name: str, grace: float | None = None) -> JobState:
    """Stop a running or queued job and return what became of it.

    Parameters
    ----------
    root, job_name
        The project folder and the job folder below it.
    grace
        Seconds that it has to stop by itself; by default 2, and 10 for an External job.

    Raises
    ------
    ProjectError
        It is not running.
    EnvironmentMissing
        It is in a queue that cannot be reached from here. The request stays.
    """
    job_dir = root / job_name
    now = running_state(job_dir)
    if now.status is not Status.RUNNING:
        raise ProjectError(f"{job_name} is not running: it is {now}. There is nothing to stop.")
    found = record.read_process(job_dir)
    markers.request_abort(job_dir)
    if found is None or found.state == "interactive":
        return running_state(job_dir)  # RELION's own programs look at the request themselves
    wait_s = _grace(job_dir) if grace is None else grace
    if found.queue_id:
        _stop_queued(job_dir, found, now, wait_s)
    else:
        _stop_here(job_dir, found, wait_s)
    return _closed(job_dir)


def _grace(job_dir: Path) -> float:
    try:
        return grace_s(job_star.read_job(job_dir).job_type.word)
    except (ValueError, OSError):
        return GRACE_S


def _stop_here(job_dir: Path, found: ProcessRecord, wait_s: float) -> None:
    def over() -> bool:
        return not alive.is_alive_here(found)

    if not alive.is_here(found):
        _until(lambda: markers.read_marker(job_dir) is not None, wait_s + AFTER_TERM_S)
        return
    if _until(over, wait_s):
        return
    # The supervisor passes it on and then ends its children itself; this is for its own end.
    process_table.send(process_table.family(found.pid), signal.SIGTERM)
    if _until(over, AFTER_TERM_S + _MARGIN_S):
        return
    while not over():
        process_table.send(process_table.family(found.pid), signal.SIGKILL)
        time.sleep(_POLL_S)


def _stop_queued(job_dir: Path, found: ProcessRecord, now: JobState, wait_s: float) -> None:
    def over() -> bool:
        return markers.read_marker(job_dir) is not None and gone()

    def gone() -> bool:
        return queue.state(found.queue_system, found.queue_id).is_over

    if not now.is_queued and _until(over, wait_s):
        return
    queue.cancel(found.queue_system, found.queue_id)
    _until(gone, _QUEUE_S)


def _closed(job_dir: Path) -> JobState:
    """Leave the marker of a stopped job where the job itself left none."""
    left = running_state(job_dir)
    found = record.read_process(job_dir)
    if found is None or (left.status is Status.RUNNING and not _may_close(found)):
        return left
    if markers.read_marker(job_dir) is None:
        record.update_process(job_dir, exit_reason="stopped on request")
        markers.write_marker(job_dir, Status.ABORTED)
        record.update_process(job_dir, state="aborted", ended=record.now())
    with contextlib.suppress(FileNotFoundError):
        (job_dir / markers.ABORT_NOW).unlink()
    return running_state(job_dir)


def _may_close(found: ProcessRecord) -> bool:
    """Tell whether nobody is left who could still write the marker."""
    if found.queue_id:
        return queue.state(found.queue_system, found.queue_id).is_over
    return alive.is_here(found) and not alive.is_alive_here(found)


def _until(holds: Callable[[], bool], seconds: float) -> bool:
    """Wait until something holds, at most some seconds; tell whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL_S)
    return True
