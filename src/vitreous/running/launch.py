"""Start a job that is in the graph: as a process group of its own, or through a queue.

A local job is detached: it outlives the shell, the browser and the connection that began it.
Its output goes to ``run.out`` and ``run.err``; who waits for it reads those files.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from vitreous.errors import InputError, OptionError, Problem, ProjectError, VitreousError
from vitreous.io.atomic import write_text
from vitreous.jobs import external_command, job_star
from vitreous.jobs.declare import Options
from vitreous.jobs.job_star import JobFile
from vitreous.jobs.job_type import JobType
from vitreous.project import markers, notes
from vitreous.project.folder import cannot_write
from vitreous.project.pipeline import Status
from vitreous.running import alive, follow, process_table, queue, ranks, record, resources, stop
from vitreous.running.commands import command_lines
from vitreous.running.progress import Report
from vitreous.running.record import ProcessRecord
from vitreous.running.resources import Resources
from vitreous.running.state import JobState

Mode = Literal["foreground", "background"]

_SHELLS: Final = frozenset({"sh", "bash", "dash", "csh", "tcsh", "zsh", "ksh"})
_LOCAL_RANKS: Final = "RELION_ERROR_LOCAL_MPI"
# -P: a script of the user's in the project folder must not hide a module of the same name.
_EXEC: Final = ("-P", "-m", "vitreous.running")


@dataclass(frozen=True)
class Started:
    """A job that was started.

    Parameters
    ----------
    job_name
        Its folder below the project.
    command
        What it consists of.
    pid
        Its process on this machine; 0 where it is in a queue.
    queue_id
        The scheduler's number for it, empty for a local job.
    state
        How it ended, where somebody waited for that.
    """

    job_name: str
    command: tuple[str, ...]
    pid: int = 0
    queue_id: str = ""
    state: JobState | None = None


def check(
    root: Path, job_type: JobType, options: Options, environ: Mapping[str, str] = os.environ
) -> list[Problem]:
    """Return what would keep a job from being started on this machine.

    Parameters
    ----------
    root
        The project folder.
    job_type, options
        The job.
    environ
        The environment; ``RELION_ERROR_LOCAL_MPI`` limits the ranks of a local job (32).
    """
    asked = resources.of(options)
    problems = []
    if job_type.word == "external":
        try:
            external_command.check_program(options, root)
        except VitreousError as error:
            problems.append(Problem("executable", str(error)))
    if asked.use_queue:
        try:
            template = queue.read_template(root, asked)
            queue.fill_template(template, "Job/job000/", [], asked, asked.template)
        except VitreousError as error:
            problems.append(Problem("submit_template", str(error)))
        problems += _submit_problems(root, asked.submit_command, environ)
    given = environ.get(_LOCAL_RANKS, "")
    limit = int(given) if given.isdecimal() else 32
    if not asked.use_queue and asked.ranks > limit:
        problems.append(
            Problem(
                "n_ranks",
                f"is {asked.ranks}, and at most {limit} may run without a queue. Use threads, a"
                f" queue, or set {_LOCAL_RANKS}.",
            )
        )
    return problems


def submission_script(root: Path, job_name: str, commands: Sequence[str], options: Options) -> str:
    """Return the script that a job would send to the queue.

    Parameters
    ----------
    root, job_name
        The project folder and the job folder below it.
    commands
        What the job consists of.
    options
        Its options.

    Returns
    -------
    str
        Its text; empty for a job that does not go to a queue.
    """
    asked = resources.of(options)
    return _script(root, job_name, commands, asked) if asked.use_queue else ""


def _submit_problems(root: Path, command: str, environ: Mapping[str, str]) -> list[Problem]:
    """Tell where the command that submits jobs cannot be started here."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        return [Problem("submit_command", f"is {command!r}, and must be a command such as sbatch")]
    program = str(root / words[0]) if "/" in words[0] else words[0]
    if shutil.which(program, path=environ.get("PATH")) is None:
        wanted = "sbatch submits to Slurm, qsub to others"
        return [Problem("submit_command", f"there is no command {words[0]} here; {wanted}")]
    return []


def start(
    root: Path,
    job_name: str,
    options: Options | None = None,
    *,
    mode: Mode = "background",
    echo: Callable[[str], None] | None = None,
    on_progress: Callable[[Report], None] | None = None,
) -> Started:
    """Start a job whose folder and ``job.star`` are there.

    Parameters
    ----------
    root
        The project folder.
    job_name
        The job folder below it, with its slash.
    options
        Its options; those of its ``job.star`` where they are left out.
    mode
        ``background`` returns at once, ``foreground`` when the job has ended; Ctrl-C stops it.
    echo
        In the foreground: takes each line that the job prints.
    on_progress
        In the foreground: takes reports; lines that only say the same are then not echoed.

    Raises
    ------
    OptionError
        It cannot run on this machine; nothing was started.
    ProjectError
        It is running already.
    EnvironmentMissing
        The scheduler did not take it. The job is then a failed one.
    """
    root = root.resolve()
    job_dir = root / job_name
    job = job_star.read_job(job_dir)
    options = job.options if options is None else options
    if not job.job_type.is_built():
        raise InputError(
            f"{job_name}: this version of vitreous cannot run {job.job_type.gui_name} jobs yet"
        )
    before = follow.size(job_dir / record.OUT)
    try:
        with record.locked(job_dir):
            _refuse_if_running(job_dir)
            started = _start_or_fail(root, job_name, job, options)
    except OSError as error:
        raise cannot_write(job_dir, error) from error
    if mode == "background":
        return started
    state = attend(root, job_name, echo=echo, on_progress=on_progress, offset=before)
    return replace(started, state=state)


def attend(
    root: Path,
    job_name: str,
    *,
    echo: Callable[[str], None] | None = None,
    on_progress: Callable[[Report], None] | None = None,
    offset: int | None = None,
) -> JobState:
    """Wait for a job as `follow.wait` does; Ctrl-C stops the job.

    Raises
    ------
    KeyboardInterrupt
        The job was done before it could be stopped: a script must not go on to the next.
    """
    try:
        return follow.wait(root, job_name, echo=echo, on_progress=on_progress, offset=offset)
    except KeyboardInterrupt:
        if echo is not None:
            echo(f"Stopping {job_name}")
        ended = stop.abort(root, job_name)
        if ended.status is Status.SUCCEEDED:
            raise
        return ended


def open_interactive(root: Path, job_name: str) -> None:
    """Mark a job as a person at work: it has no process and never counts as dead."""
    job_dir = root / job_name
    markers.clear_markers(job_dir)
    record.write_process(
        job_dir,
        ProcessRecord(state="interactive", host=process_table.host(), started=record.now()),
    )


def _start_or_fail(root: Path, job_name: str, job: JobFile, options: Options) -> Started:
    """Start a job; where that does not work it is a failed one that says why."""
    job_dir = root / job_name
    markers.clear_markers(job_dir)
    try:
        problems = check(root, job.job_type, options)
        if problems:
            raise OptionError(problems)
        return _start(root, job_name, job, options)
    except (VitreousError, OSError) as error:
        with contextlib.suppress(OSError):
            _fail(job_dir, str(error))
        raise


def _start(root: Path, job_name: str, job: JobFile, options: Options) -> Started:
    asked = resources.of(options)
    lines = command_lines(root, job.job_type, options, job_name, job.is_continue)
    notes.append_commands(root / job_name, lines, time.localtime())
    found = ProcessRecord(
        host=process_table.host(),
        boot_id=process_table.boot_id(),
        ranks=asked.ranks,
        threads=asked.threads,
        devices=asked.devices,
        command=tuple(lines),
        submitted=record.now(),
        memory_kills=process_table.kills_for_memory(),
    )
    if asked.use_queue:
        return _submit(root, job_name, asked, found)
    words = [sys.executable, *_EXEC, job_name]
    environ = ranks.without_ranks(os.environ)
    if job.job_type.word != "external":
        environ["OMP_NUM_THREADS"] = str(asked.threads)
    return _spawn(root, job_name, words, environ, found)


def _spawn(
    root: Path, job_name: str, words: list[str], environ: Mapping[str, str], found: ProcessRecord
) -> Started:
    """Start a detached process whose output goes to the job's files, and write its record."""
    job_dir = root / job_name
    in_project = ["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(root), *words]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    record.write_process(job_dir, found)  # what cannot be written is told before anything starts
    pid = os.posix_spawn(
        in_project[0],
        in_project,
        dict(environ),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(job_dir / record.OUT), append, 0o644),
            (os.POSIX_SPAWN_OPEN, 2, str(job_dir / record.ERR), append, 0o644),
        ],
        setsid=True,
    )
    one = process_table.entry(pid)
    found = found.with_(pid=pid, start_ticks=one.start_ticks if one else 0, heartbeat=record.now())
    record.write_process(job_dir, found)
    return Started(job_name, found.command, pid=pid)


def _submit(root: Path, job_name: str, asked: Resources, found: ProcessRecord) -> Started:
    write_text(root / job_name / queue.SCRIPT, _script(root, job_name, found.command, asked))
    environ = ranks.without_ranks(os.environ)
    first = shlex.split(asked.submit_command)[:1]
    if first and Path(first[0]).name in _SHELLS:  # no scheduler: the script itself is the job
        words = ["/bin/sh", "-c", f"{asked.submit_command} {job_name}{queue.SCRIPT}"]
        return _spawn(root, job_name, words, environ, found)
    found = found.with_(state="queued", queue_name=asked.queue_name, queue_system="unknown")
    record.write_process(root / job_name, found)
    system, number = queue.number_of(queue.submit(root, job_name, asked, environ))
    record.write_process(
        root / job_name, found.with_(queue_system=system or "unknown", queue_id=number)
    )
    return Started(job_name, found.command, queue_id=number)


def _script(root: Path, job_name: str, commands: Sequence[str], asked: Resources) -> str:
    template = queue.read_template(root, asked)
    return queue.fill_template(template, job_name, commands, asked, asked.template)


def _refuse_if_running(job_dir: Path) -> None:
    found = record.read_process(job_dir)
    if found is None or found.is_over or markers.read_marker(job_dir) is not None:
        return
    alive.refuse_if_alive(job_dir, found)
    if found.queue_id:
        state = queue.state(found.queue_system, found.queue_id)
        if state.is_known and not state.is_over:
            raise ProjectError(
                f"{job_dir}: is in the queue already, as {found.queue_id} since"
                f" {found.submitted}. Wait for it, or cancel it with `vitreous abort`."
            )


def _fail(job_dir: Path, message: str) -> None:
    """Make the job a failed one that says why."""
    with (job_dir / record.ERR).open("a") as stream:
        stream.write(f"{message}\n")
    found = record.read_process(job_dir) or ProcessRecord()
    record.write_process(
        job_dir,
        found.with_(
            state="failed", ended=record.now(), exit_reason=" ".join(message.split()), pid=0
        ),
    )
    markers.write_marker(job_dir, Status.FAILED)
