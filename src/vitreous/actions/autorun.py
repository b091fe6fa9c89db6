"""Run scheduled jobs one after the other, once or again and again (pipeline.md section 9).

Each job waits until the files that it reads are there. A file ``RUNNING_PIPELINER_<name>``
stands in the project while the run goes on; removing it ends the run after the present look.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vitreous.actions import starting
from vitreous.actions.planning import needs_person
from vitreous.errors import InputError, ProjectError, VitreousError
from vitreous.jobs import job_star
from vitreous.project import process_types
from vitreous.project.pipeline import Status
from vitreous.running import launch, process_table, stop

if TYPE_CHECKING:
    from vitreous.actions.project import Project, Ref

STOP_FILE: Final = "RUNNING_PIPELINER_"
LOG: Final = "pipeline_{name}.log"
# These do only what is new when they are repeated; all others begin again.
_GO_ON: Final = frozenset(
    {"relion.motioncorr", "relion.ctffind", "relion.autopick", "relion.extract", "relion.select"}
)


@dataclass(frozen=True)
class Rhythm:
    """How often and how fast jobs are run.

    Parameters
    ----------
    times
        How often all of them are run.
    wait_min
        Minutes that pass at least between the beginnings of two repeats.
    wait_before_min
        Minutes before the first.
    poll_s
        Seconds between two looks at a running job.
    wait_for_input_s
        Seconds between two looks for the files that a job reads.
    """

    times: int = 1
    wait_min: float = 15.0
    wait_before_min: float = 0.0
    poll_s: float = 1.0
    wait_for_input_s: float = 5.0

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"times is {self.times}, and at least 1 is wanted")


@dataclass(frozen=True)
class Outcome:
    """What an autorun did.

    Parameters
    ----------
    repeats
        How often all jobs were run to their end.
    reason
        Why it ended early; empty where it did all that it should.
    """

    repeats: int
    reason: str = ""


class _EndedError(Exception):
    """The run cannot or must not go on; the text says why."""


def autorun(
    project: Project,
    jobs: Sequence[Ref],
    rhythm: Rhythm | None = None,
    *,
    name: str = "schedule1",
    echo: Callable[[str], None] | None = None,
) -> Outcome:
    """Run scheduled jobs in the order given.

    Parameters
    ----------
    project
        The project.
    jobs
        Scheduled jobs.
    rhythm
        How often and how fast; once by default.
    name
        Name of this run, which is part of the names of its log and of its stop file.
    echo
        Takes each line of the log too. Ctrl-C stops the running job and ends the run.

    Raises
    ------
    InputError
        No job, or one that is not scheduled.
    ProjectError
        A run of this name goes on already.
    """
    names = _scheduled(project, jobs)
    return _Runner(project, names, rhythm or Rhythm(), name, echo or (lambda _: None)).run()


def autorun_in_background(
    project: Project,
    jobs: Sequence[Ref],
    rhythm: Rhythm | None = None,
    *,
    name: str = "schedule1",
) -> int:
    """Do what `autorun` does in a process of its own, which outlives this one.

    Returns
    -------
    int
        The process.
    """
    names = _scheduled(project, jobs)
    _refuse_if_running(project.root, name)
    order = {"name": name, "jobs": names, "rhythm": asdict(rhythm or Rhythm())}
    code = "import sys; from vitreous.actions import autorun; autorun.main(*sys.argv[1:])"
    words = [sys.executable, "-P", "-c", code, str(project.root), json.dumps(order)]
    log = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        words,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(project.root / LOG.format(name=name)), log, 0o644),
        ],
        setsid=True,
    )


def main(root: str, order: str) -> None:
    """Do what `autorun_in_background` wrote down; the body of its process."""
    from vitreous.actions.project import Project

    told = json.loads(order)
    autorun(Project(root), told["jobs"], Rhythm(**told["rhythm"]), name=told["name"])


class _Runner:
    """One run: its jobs, its log, its stop file."""

    def __init__(
        self,
        project: Project,
        names: list[str],
        rhythm: Rhythm,
        name: str,
        echo: Callable[[str], None],
    ) -> None:
        self._project = project
        self._names = names
        self._rhythm = rhythm
        self._stop_file = project.root / f"{STOP_FILE}{name}"
        self._log_file = project.root / LOG.format(name=name)
        self._name = name
        self._echo = echo

    def run(self) -> Outcome:
        _refuse_if_running(self._project.root, self._name)
        self._stop_file.write_text(_signature())
        repeats = 0
        try:
            self._log(f"begins: {', '.join(self._names)}, {self._rhythm.times} time(s)")
            self._pause(60.0 * self._rhythm.wait_before_min)
            while repeats < self._rhythm.times:
                self._run_all(is_last=repeats == self._rhythm.times - 1)
                repeats += 1
        except (_EndedError, VitreousError) as error:
            self._log(f"ends early: {error}")
            return Outcome(repeats, str(error))
        finally:
            self._stop_file.unlink(missing_ok=True)
        self._log("has done all that it should")
        return Outcome(self._rhythm.times)

    def _run_all(self, *, is_last: bool) -> None:
        began = time.monotonic()
        for job in self._names:
            self._run_job(job)
            if not is_last:
                _schedule_again(self._project, job)
        if not is_last:
            self._pause(60.0 * self._rhythm.wait_min - (time.monotonic() - began))

    def _run_job(self, job: str) -> None:
        self._wait_for_inputs(job)
        self._log(f"starts {job}")
        start_scheduled(self._project, job)
        try:
            self._wait_for_end(job)
        except KeyboardInterrupt:
            stop.abort(self._project.root, job)
            self._project.refresh()
            raise _EndedError(f"{job} was stopped with Ctrl-C") from None

    def _wait_for_inputs(self, job: str) -> None:
        told: list[str] = []
        while missing := _missing_inputs(self._project, job):
            if missing != told:
                self._log(f"{job} waits for {', '.join(missing)}")
                told = missing
            self._pause(self._rhythm.wait_for_input_s)

    def _wait_for_end(self, job: str) -> None:
        while True:
            self._project.refresh()
            state = self._project.job(job).state
            if state.status is not Status.RUNNING:
                break
            self._pause(self._rhythm.poll_s, f"{job} goes on")
        self._log(f"{job} is over: {state}")
        if state.status is not Status.SUCCEEDED:
            raise _EndedError(f"{job} {state.status.lower()}: {state.reason or 'no reason given'}")

    def _pause(self, seconds: float, meanwhile: str = "") -> None:
        """Wait, unless somebody removes the stop file."""
        end = time.monotonic() + seconds
        while True:
            if not self._stop_file.exists():
                rest = f"; {meanwhile}" if meanwhile else ""
                raise _EndedError(f"{self._stop_file.name} was removed{rest}")
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 1.0))

    def _log(self, text: str) -> None:
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self._name} {text}"
        with self._log_file.open("a") as stream:
            stream.write(line + "\n")
        self._echo(line)


def start_scheduled(project: Project, job: str) -> None:
    """Start a scheduled job in the background; one that a person works in is opened.

    A job that cannot be started is a failed one, which its state tells.
    """
    options = starting.restart(project.folder, job)
    if needs_person(project.root / job, options):
        launch.open_interactive(project.root, job)
        return
    with contextlib.suppress(VitreousError):
        launch.start(project.root, job, options, mode="background")


def _schedule_again(project: Project, job: str) -> None:
    """Make a finished job a scheduled one, which goes on where its type can."""
    process = project.job(job).process
    if process_types.base_label(process.type_label) in _GO_ON:
        path = project.root / job
        settings = job_star.read_job(path)
        job_star.write_job(path, replace(settings, is_continue=True), project.pipeline.form)
    with project.folder.edit(f"scheduling {job} again") as pipeline:
        pipeline.set_status(job, Status.SCHEDULED)


def _missing_inputs(project: Project, job: str) -> list[str]:
    nodes = project.pipeline.inputs(job)
    return [node.name for node in nodes if not (project.root / node.name).exists()]


def _scheduled(project: Project, jobs: Sequence[Ref]) -> list[str]:
    if not jobs:
        raise InputError("no job to run was given; `vitreous status` shows which are scheduled")
    found = project.find_jobs(jobs)
    wrong = [f"{job.name} is {job.status.lower()}" for job in found if job.status != "Scheduled"]
    if wrong:
        raise InputError(
            f"{', '.join(wrong)}; only scheduled jobs can be run so. Schedule a job with"
            " `vitreous run --schedule`."
        )
    return [job.name for job in found]


def _signature() -> str:
    one = process_table.entry(os.getpid())
    return f"{process_table.host()} {os.getpid()} {one.start_ticks if one else 0}\n"


def _refuse_if_running(root: Path, name: str) -> None:
    """Refuse a second run of the same name while the first goes on."""
    file = root / f"{STOP_FILE}{name}"
    try:
        words = file.read_text().split()
    except FileNotFoundError:
        return
    is_ours = len(words) == 3 and words[0] == process_table.host()
    if is_ours and not process_table.is_alive(int(words[1]), int(words[2])):
        return  # it died
    raise ProjectError(
        f"{file.name} is there: a run called {name} goes on. Give this one another name, or remove"
        " the file, which ends that run."
    )
