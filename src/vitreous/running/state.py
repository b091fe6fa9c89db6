"""What became of a job: told by its own folder, not by who started it.

An exit marker wins. Without one, a process of this machine is looked up by number, start time
and boot id; on another machine its heartbeat counts, and for queued jobs the scheduler. Jobs
without ``process.json`` were made by RELION, or are a person at work: they are left as they are.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitreous.errors import FormatError
from vitreous.project import markers
from vitreous.project.pipeline import Process, Status
from vitreous.running import alive, endings, process_table, queue, record
from vitreous.running.record import ProcessRecord

SILENT_S: Final = 300.0
"""A process on another machine is given up after so many seconds without a heartbeat."""
_STARTING_S: Final = 120.0
_PYTHON_DIED: Final = "Fatal Python error: "


@dataclass(frozen=True)
class JobState:
    """The state of a job.

    Parameters
    ----------
    status
        As the pipeline has it.
    reason
        Why, in one sentence; empty where there is nothing to say.
    since
        When it came to this state, ISO 8601 in UTC; empty where nobody knows.
    host, pid
        Where its process is; empty and 0 where it has none.
    queue_id
        The scheduler's number for it.
    is_queued
        Whether it waits in a queue; then `since` is the time of its submission.
    """

    status: Status
    reason: str = ""
    since: str = ""
    host: str = ""
    pid: int = 0
    queue_id: str = ""
    is_queued: bool = False

    def __str__(self) -> str:
        """Return what a person wants to know: ``Running, queued since ...``."""
        if self.is_queued:
            return f"{self.status}, queued since {self.since} as {self.queue_id or 'unknown'}"
        return f"{self.status} ({self.reason})" if self.reason else str(self.status)


def job_state(root: Path, process: Process) -> JobState:
    """Tell the state of a job now. Nothing is written.

    Parameters
    ----------
    root
        The project folder.
    process
        The job as the pipeline has it.
    """
    job_dir = root / process.name
    try:
        return _state(job_dir, process)
    except FormatError as error:  # one damaged file must not hide the other jobs
        marker = markers.read_marker(job_dir) if process.status is Status.RUNNING else None
        return JobState(marker or process.status, str(error))


def _state(job_dir: Path, process: Process) -> JobState:
    if process.status is not Status.RUNNING:
        found = record.read_process(job_dir)
        state = process.status.value.lower()
        reason = found.reason_of(state) if found else ""
        if found is None or (found.state != state and not reason):
            return JobState(process.status)
        return _of(process.status, found, reason, found.ended)
    return running_state(job_dir)


def running_state(job_dir: Path) -> JobState:
    """Tell the state of a job that was running when somebody looked last."""
    found = record.read_process(job_dir)
    marker = markers.read_marker(job_dir)
    if marker is not None:
        return _ended_with(marker, job_dir)
    if found is None or found.state == "interactive":
        return JobState(Status.RUNNING)
    reason = _why_over(job_dir, found)
    if not reason:
        return _alive(found)
    # The marker may have come in between, or late through a network file system.
    with contextlib.suppress(OSError):
        os.listdir(job_dir)
    marker = markers.read_marker(job_dir)
    if marker is not None:
        return _ended_with(marker, job_dir)
    status = Status.ABORTED if _was_cancelled(found) else Status.FAILED
    return _of(status, found, reason, found.ended or found.heartbeat)


def _ended_with(marker: Status, job_dir: Path) -> JobState:
    """Tell how a job ended that left a marker; its reason was written before that."""
    found = record.read_process(job_dir)
    if found is None:
        return JobState(marker)
    return _of(marker, found, found.reason_of(marker.value.lower()), found.ended)


def _was_cancelled(found: ProcessRecord) -> bool:
    if not found.queue_id or found.is_over:
        return False
    return queue.state(found.queue_system, found.queue_id).was_cancelled


def _alive(found: ProcessRecord) -> JobState:
    is_queued = found.state == "queued" and queue.state(found.queue_system, found.queue_id).waits
    if is_queued:
        return JobState(
            Status.RUNNING, "", found.submitted, queue_id=found.queue_id, is_queued=True
        )
    return _of(Status.RUNNING, found, "", found.started or found.submitted)


def _of(status: Status, found: ProcessRecord, reason: str, since: str) -> JobState:
    return JobState(status, reason, since, found.host, found.pid, found.queue_id)


def _why_over(job_dir: Path, found: ProcessRecord) -> str:
    """Return why a job without a marker is over; empty while it is not."""
    if found.is_over:
        if _starts_again(job_dir):
            return ""
        return found.exit_reason or "ended without an exit marker"
    if found.pid and found.host == process_table.host():
        return _why_dead(job_dir, found)
    if found.queue_id:
        return _why_left_queue(found)
    if found.pid and record.age_s(found.heartbeat) > SILENT_S:
        return (
            f"its process {found.pid} on {found.host} has given no sign of life since"
            f" {found.heartbeat}"
        )
    if not found.pid and not found.queue_system and record.age_s(found.submitted) > _STARTING_S:
        return "it was about to start and never did"
    return ""


def _starts_again(job_dir: Path) -> bool:
    """Tell whether the record is of the last run and the next one is just being started."""
    times = [
        path.stat().st_mtime
        for path in (job_dir / "job.star", job_dir / "job_pipeline.star")
        if path.exists()
    ]
    return bool(times) and time.time() - max(times) < _STARTING_S


def _why_dead(job_dir: Path, found: ProcessRecord) -> str:
    if found.boot_id != process_table.boot_id():
        # Two machines, or a machine and a container on it, may have the same name.
        if record.age_s(found.heartbeat) < 2 * record.HEARTBEAT_S:
            return ""
        return f"{found.host} was started again while the job ran"
    if alive.is_alive_here(found):
        return ""
    where = f"its process {found.pid} on {found.host} is gone and left no exit marker"
    fatal = _last_words(job_dir)
    if fatal:
        return f"{where}: {fatal}"
    return f"{where}: {endings.explain(-9, found.memory_kills)}"


def _last_words(job_dir: Path) -> str:
    """Return what a crash in native code left in ``run.err``."""
    try:
        with (job_dir / record.ERR).open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - 20_000))
            lines = stream.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    found = [one for one in lines if one.startswith(_PYTHON_DIED)]
    return found[-1].removeprefix(_PYTHON_DIED) if found else ""


def _why_left_queue(found: ProcessRecord) -> str:
    state = queue.state(found.queue_system, found.queue_id)
    if state.is_known and not state.is_over:
        return ""
    if not state.is_known:  # no scheduler here, or it does not answer
        if found.heartbeat and record.age_s(found.heartbeat) > SILENT_S:
            return f"no sign of life from {found.host} since {found.heartbeat}"
        return ""
    if (
        found.heartbeat
        and record.age_s(found.heartbeat) < 2 * record.HEARTBEAT_S
        and (found.host != process_table.host())
    ):
        return ""  # its last files may still be on their way
    return f"it left the queue without an exit marker{state.said}"
