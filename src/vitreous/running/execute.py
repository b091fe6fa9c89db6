"""The body of ``vitreous exec JOB``: run the program of a job that exists, tell how it ended.

A supervisor (`supervise`) forks one process for each rank; the program runs there, by its
dotted name. The supervisor alone writes ``process.json`` and the exit marker.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, TextIO

from vitreous.errors import (
    InputError,
    LockedError,
    NotAProjectError,
    ProjectError,
    VitreousError,
    no_package,
)
from vitreous.jobs import job_star
from vitreous.jobs.context import Aborted
from vitreous.jobs.job_star import JobFile
from vitreous.project import markers
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status
from vitreous.running import (
    alive,
    endings,
    other_ranks,
    process_table,
    ranks,
    record,
    resources,
    results,
)
from vitreous.running.commands import command_lines
from vitreous.running.importing import load_program, set_up_libraries
from vitreous.running.job_run import JobRun, Place
from vitreous.running.ranks import Ranks
from vitreous.running.record import HEARTBEAT_S, ProcessRecord
from vitreous.running.supervise import Ending, Main, Report, Watch

GRACE_S: Final = 2.0
EXTERNAL_GRACE_S: Final = 10.0
_QUEUE_NUMBERS: Final = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
_MARKER_OF: Final = {
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "aborted": Status.ABORTED,
}


def execute(project_root: Path, job_name: str) -> int:
    """Run the program of a job in this process and its children.

    Parameters
    ----------
    project_root
        The project folder; it becomes the working directory.
    job_name
        The job folder below it: ``Import/job001/``.

    Returns
    -------
    int
        0 where the job succeeded, 1 where it failed or was stopped.

    Raises
    ------
    ProjectError
        There is no such job, or it is running.
    InputError
        Its ``job.star`` cannot be read, or its program is not built yet.
    """
    root = project_root.resolve()
    folder = job_name.rstrip("/") + "/"
    if not (root / folder).is_dir():
        raise ProjectError(f"{root / folder}: there is no such job; `vitreous status` lists them")
    os.chdir(root)
    _flush_every_line()
    mine = ranks.from_environment(os.environ)
    if mine.rank == 0:
        claimed = _claim(root, folder)
    try:
        job = _read(root / folder)
    except VitreousError as error:
        if mine.rank == 0:
            _close(root / folder, "failed", str(error), None)
        raise
    asked = resources.of(job.options)
    n_local = 1 if mine.n_ranks > 1 else asked.ranks
    if mine.rank == 0:
        record.update_process(
            root / folder,
            ranks=max(n_local, mine.n_ranks),
            threads=asked.threads,
            devices=asked.devices,
            command=claimed.command
            or tuple(command_lines(root, job.job_type, job.options, folder)),
        )
    return _watch(root, folder, job, _local_ranks(mine, n_local), asked.threads)


def grace_s(job_type_word: str) -> float:
    """Return how long a job has to stop by itself, in seconds."""
    return EXTERNAL_GRACE_S if job_type_word == "external" else GRACE_S


def _claim(root: Path, job_name: str) -> ProcessRecord:
    """Take the job, unless somebody else runs it; leave who we are in ``process.json``."""
    job_dir = root / job_name
    here = process_table.entry(os.getpid())
    with record.locked(job_dir):
        found = record.read_process(job_dir) or ProcessRecord()
        was_launched = found.state in ("starting", "queued") and found.host != ""
        is_again = found.queue_id != "" and found.queue_id == _queue_number()
        # A launched job is this process, or was begun by the shell that runs its script.
        is_ours = was_launched and (not found.pid or process_table.is_above_us(found.pid))
        if not is_ours and not is_again:
            alive.refuse_if_alive(job_dir, found)
        if not was_launched:  # typed by hand, or begun again by a scheduler
            markers.clear_markers(job_dir)
        before = replace(found, ended="", exit_reason="", exit_code=None)
        mine = replace(
            before if was_launched or is_again else ProcessRecord(),
            state="running",
            host=process_table.host(),
            boot_id=process_table.boot_id(),
            pid=os.getpid(),
            start_ticks=here.start_ticks if here else 0,
            started=record.now(),
            heartbeat=record.now(),
            memory_kills=process_table.kills_for_memory(),
        )
        record.write_process(job_dir, mine)
    if not was_launched:
        _note_running(root, job_name)
    return mine


def _note_running(root: Path, job_name: str) -> None:
    """Have the graph show a job as running that waited or was over, and was begun by hand."""
    try:
        folder = ProjectFolder.open(root)
        shown = {process.name: process.status for process in folder.read()}
        if shown.get(job_name, Status.RUNNING) is not Status.RUNNING:
            with folder.edit(f"{job_name} was begun by hand") as pipeline:
                pipeline.set_status(job_name, Status.RUNNING)
    except NotAProjectError:
        return
    except (LockedError, OSError) as error:  # it runs all the same
        sys.stdout.write(f"the project does not show that {job_name} runs: {error}\n")


def _queue_number() -> str:
    """Return the number of the scheduler's job that this process belongs to, if it does."""
    return next((os.environ[name] for name in _QUEUE_NUMBERS if os.environ.get(name)), "")


def _read(job_dir: Path) -> JobFile:
    job = job_star.read_job(job_dir)
    if not job.job_type.is_built():
        raise InputError(
            f"{job_dir}: {job.job_type.gui_name} jobs are not part of this version of vitreous yet"
        )
    return job


def _local_ranks(mine: Ranks, n_local: int) -> list[Ranks]:
    if n_local == 1:
        return [mine]
    return [Ranks(rank, n_local, rank, "vitreous") for rank in range(n_local)]


def _watch(root: Path, folder: str, job: JobFile, all_ranks: list[Ranks], n_threads: int) -> int:
    job_dir = root / folder
    leads = all_ranks[0].rank == 0
    meeting = ranks.meeting_name(os.environ)
    rendezvous = job_dir / f".rendezvous_{meeting}"
    if len(all_ranks) > 1:  # of a supervisor that had this number and was killed
        rendezvous.unlink(missing_ok=True)
    watch = Watch(
        job_dir,
        grace_s(job.job_type.word),
        on_beat=(lambda: _beat(job_dir))
        if leads
        else (lambda: other_ranks.is_here(job_dir, meeting, all_ranks[0].rank)),
    )
    if not leads:
        other_ranks.is_here(job_dir, meeting, all_ranks[0].rank)
    mains = [
        _main(job, Place(root, folder, job.is_continue, n_threads, one), str(rendezvous))
        for one in all_ranks
    ]
    if len(all_ranks) > 1:
        ended = watch.run(mains, lambda: _import_for_all(job, job_dir, n_threads))
    else:
        ended = watch.run(mains)
    with contextlib.suppress(FileNotFoundError):
        rendezvous.unlink()
    state, reason, code = endings.judge(job_dir, ended, watch.stopped_by, watch.memory_kills)
    if leads:
        with contextlib.suppress(OSError):
            results.merge_rank_warnings(job_dir)
            elsewhere = _other_ranks(job_dir, meeting, all_ranks, state)
            state, reason = ("failed", elsewhere) if elsewhere else (state, reason)
        _close(job_dir, state, reason, code, ended)
    else:
        told = reason or "ended without a reason" if state == "failed" else ""
        other_ranks.has_ended(job_dir, meeting, all_ranks[0].rank, told)
        if state == "failed" and markers.read_marker(job_dir) is None:
            markers.write_marker(job_dir, Status.FAILED)
        if state == "failed":
            other_ranks.wait_until_heard(job_dir, meeting, all_ranks[0].rank)
    return 0 if state == "succeeded" else 1


def _other_ranks(job_dir: Path, meeting: str, all_ranks: list[Ranks], state: str) -> str:
    """Return why a rank failed that a launcher started; waits for it where this one is done."""
    n_ranks = all_ranks[0].n_ranks
    if len(all_ranks) > 1 or n_ranks == 1:
        return ""  # all ranks were forked here, and have ended
    if state != "succeeded":
        return other_ranks.reason_so_far(job_dir, meeting, n_ranks)
    next_beat = [time.monotonic()]

    def beat() -> None:
        if time.monotonic() >= next_beat[0]:
            _beat(job_dir)
            next_beat[0] = time.monotonic() + HEARTBEAT_S

    return other_ranks.wait_for(job_dir, meeting, n_ranks, beat)


def _beat(job_dir: Path) -> None:
    with contextlib.suppress(OSError):  # a full disk must not end the job
        record.update_process(job_dir, heartbeat=record.now())


def _close(
    job_dir: Path, state: str, reason: str, code: int | None, ended: Sequence[Ending] = ()
) -> None:
    """Leave the exit marker and the last record; markers that are there already stay.

    The reason goes before the marker: who sees the job failed finds out why at once.
    """
    now = record.now()
    last = {
        "state": state,
        "ended": now,
        "heartbeat": now,
        "exit_reason": reason,
        "exit_code": code,
        "peak_memory_MiB": max((one.peak_memory_MiB for one in ended), default=0.0),
        "processor_s": round(sum(one.processor_s for one in ended), 2),
    }
    if reason:
        with contextlib.suppress(OSError):
            record.update_process(job_dir, exit_reason=reason, exit_code=code)
    with contextlib.suppress(OSError):
        (job_dir / markers.ABORT_NOW).unlink(missing_ok=True)
        if markers.read_marker(job_dir) is None:
            markers.write_marker(job_dir, _MARKER_OF[state])
    with contextlib.suppress(OSError):  # a full disk: the marker, which needs no room, must do
        record.update_process(job_dir, **last)


def _main(job: JobFile, place: Place, rendezvous: str) -> Main:
    """Return what one rank does in its own process."""

    def main(report: Report) -> int:
        if place.ranks.n_ranks > 1:
            os.environ.update(ranks.to_environment(place.ranks, rendezvous))
        if job.job_type.word != "external":
            set_up_libraries(place.n_threads)
        with _quiet_stderr() as (errors, restore):
            run = JobRun(place, sys.stdout, restore)
            run.listen()
            return _run_program(job, run, report, errors)

    return main


def _import_for_all(job: JobFile, job_dir: Path, n_threads: int) -> None:
    """Import the program before its ranks are forked: they share the time and the memory of it.

    Only programs of our own, which begin no thread and touch no card while they are imported.
    """
    if not job.job_type.run.startswith("vitreous.programs."):
        return

    def check_abort() -> None:
        if markers.abort_requested(job_dir):
            raise Aborted

    set_up_libraries(n_threads)
    with _quiet_stderr() as (_, restore):
        try:
            load_program(job.job_type.run, check_abort)
        except (Aborted, Exception):  # noqa: BLE001 - every rank meets it again and tells of it
            return
        finally:
            restore()


def _run_program(job: JobFile, run: JobRun, report: Report, errors: TextIO) -> int:
    try:
        load_program(job.job_type.run, run.check_abort)(job.options, run)
        run.finish("Finished")
    except (Aborted, KeyboardInterrupt):
        report("aborted", "stopped on request")
        with contextlib.suppress(OSError):
            run.finish("Stopped on request")
        return 1
    except Exception as error:  # noqa: BLE001 - the one place that records every failure
        cause = _cause(error)
        report("failed", cause)
        with contextlib.suppress(OSError):  # the disk may be full
            errors.write(f"{cause}\n\n{''.join(traceback.format_exception(error))}")
            errors.flush()
            run.finish("Failed")
        return 1
    report("done", "")
    return 0


def _cause(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, VitreousError):
        return text
    if isinstance(error, MemoryError):
        return (
            f"memory ran out {text}".rstrip() + "; use fewer threads or ranks, or a larger machine"
        )
    package = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
    if package and not package.startswith("vitreous"):
        return str(no_package(package.partition(".")[0]))
    return f"{type(error).__name__}: {text}"


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[tuple[TextIO, Callable[[], object]]]:
    """Send what libraries print as errors to standard output; a job that succeeds has none.

    Yields
    ------
    TextIO
        The real standard error.
    Callable
        Puts it back.
    """
    sys.stderr.flush()
    saved = os.dup(sys.stderr.fileno())
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    errors = os.fdopen(saved, "w")
    faulthandler.enable(errors)
    try:
        yield errors, lambda: os.dup2(saved, sys.stderr.fileno())
    finally:
        sys.stderr.flush()


def _flush_every_line() -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
