"""A project: everything that can be done to it, from the shell, from Python and the browser."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, overload

from vitreous.actions import (
    choosing,
    describe,
    drawing,
    noting,
    removing,
    report,
    starting,
    states,
    stopping,
)
from vitreous.actions.job import Job
from vitreous.actions.planning import Mode, Plan, Request, make_plan, type_of_request
from vitreous.errors import InputError, Problem, ProjectError
from vitreous.jobs.job_type import JobType
from vitreous.project import aliases, exchange, lock, nodes_tree, repair, trash, upgrade
from vitreous.project import outputs as endings
from vitreous.project import undelete as restoring
from vitreous.project.cleaning import CleanPlan
from vitreous.project.folder import ProjectFolder
from vitreous.project.moving import size_below
from vitreous.project.pipeline import Form, Pipeline, Process, Status
from vitreous.running import commands, launch
from vitreous.running.progress import Report

if TYPE_CHECKING:
    from vitreous.actions.autorun import Outcome, Rhythm

Ref: TypeAlias = str | int | Job
"""A job, or its path, alias or number."""
_MARKS = {
    "finished": Status.SUCCEEDED,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
}


def _warn(problem: Problem) -> None:
    warnings.warn(str(problem), stacklevel=4)


class Project:
    """A project folder.

    Parameters
    ----------
    path
        The folder.
    read_only
        Refuse everything that would write.

    Raises
    ------
    NotAProjectError
        The folder is not a project; `Project.create` makes it one.

    Examples
    --------
    >>> project = Project("demo")
    >>> job = project.run("class2d", particles="Extract/job006/particles.star", n_classes=20)
    >>> job.status, job.outputs["particles"], job.results
    """

    def __init__(self, path: Path | str = ".", *, read_only: bool = False) -> None:
        self.folder = ProjectFolder.open(path, read_only=read_only)

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r})"

    @classmethod
    def create(cls, path: Path | str = ".", *, form: Form = "5.0") -> Project:
        """Make a folder a project, or open the one that is there.

        Parameters
        ----------
        path
            The folder; it is made where it does not exist.
        form
            Which RELION's form the files of a new project have.
        """
        ProjectFolder.create(path, form)
        return cls(path)

    @property
    def root(self) -> Path:
        """The folder, absolute."""
        return self.folder.root

    @property
    def read_only(self) -> bool:
        """Whether everything that would write is refused."""
        return self.folder.read_only

    @property
    def pipeline(self) -> Pipeline:
        """The graph as it is on disk. Shared: do not change it."""
        return self.folder.read()

    @property
    def jobs(self) -> list[Job]:
        """Every job by number."""
        processes = sorted(self.pipeline, key=lambda process: process.number)
        return [Job(self, process.name) for process in processes]

    def job(self, ref: Ref) -> Job:
        """Return the job with this path, alias or number.

        Raises
        ------
        ProjectError
            There is none; the message names the nearest.
        """
        return Job(self, self._find(ref).name)

    # Running

    @overload
    def run(
        self,
        job_type: str | None = ...,
        *,
        background: bool = ...,
        schedule: bool = ...,
        alias: str | None = ...,
        continue_job: Ref | None = ...,
        overwrite: Ref | None = ...,
        from_file: Path | str | None = ...,
        dry_run: Literal[True],
        echo: Callable[[str], None] | None = ...,
        on_progress: Callable[[Report], None] | None = ...,
        **values: object,
    ) -> Plan: ...
    @overload
    def run(
        self,
        job_type: str | None = ...,
        *,
        background: bool = ...,
        schedule: bool = ...,
        alias: str | None = ...,
        continue_job: Ref | None = ...,
        overwrite: Ref | None = ...,
        from_file: Path | str | None = ...,
        dry_run: Literal[False] = ...,
        echo: Callable[[str], None] | None = ...,
        on_progress: Callable[[Report], None] | None = ...,
        **values: object,
    ) -> Job: ...
    def run(  # noqa: PLR0913 - what can be said of a start, each once
        self,
        job_type: str | None = None,
        *,
        background: bool = False,
        schedule: bool = False,
        alias: str | None = None,
        continue_job: Ref | None = None,
        overwrite: Ref | None = None,
        from_file: Path | str | None = None,
        dry_run: bool = False,
        echo: Callable[[str], None] | None = None,
        on_progress: Callable[[Report], None] | None = None,
        **values: object,
    ) -> Job | Plan:
        """Make a job and run it.

        Everything that is wrong is told at once and before anything is written.

        Parameters
        ----------
        job_type
            Its word (``class2d``), label or folder. May be left out where another job or a
            file tells it.
        background
            Return at once; the job outlives this process.
        schedule
            Only put it in the graph, to run later (`autorun`).
        alias
            A meaningful name for it.
        continue_job
            Go on with this job.
        overwrite
            Run this job anew under its number; what it made before goes to the Trash.
        from_file
            A ``job.star``, or a job folder, whose options are taken first.
        dry_run
            Check everything and return the `Plan`; nothing is written.
        echo
            Takes every line that a foreground job prints.
        on_progress
            Takes reports of how far a foreground job is; lines that say the same are not echoed.
        **values
            Options by our name or RELION's key; see ``vitreous describe``.

        Returns
        -------
        Job
            The job. It has ended, unless it runs in the background, is scheduled, or waits
            for a person.

        Raises
        ------
        OptionError
            With everything that is wrong with the options.
        InputError, ProjectError
            There is no such job or job type, or its program is not part of this version.
        """
        request = Request(
            job_type=job_type,
            values=values,
            mode=_mode(continue_job, overwrite),
            target=_text(overwrite if continue_job is None else continue_job),
            alias=alias,
            from_file=None if from_file is None else Path(from_file),
            schedule=schedule,
        )
        if dry_run:
            return self.plan(request)
        return self.make(request, background=background, echo=echo, on_progress=on_progress)

    def plan(self, request: Request) -> Plan:
        """Check everything that can be checked before a job is made; nothing is written."""
        return make_plan(self.root, self.pipeline, request, os.environ)

    def job_type(self, request: Request) -> JobType:
        """Return the job type that a request is about."""
        return type_of_request(self.root, self.pipeline, request)

    def make(
        self,
        request: Request,
        *,
        background: bool = False,
        echo: Callable[[str], None] | None = None,
        on_progress: Callable[[Report], None] | None = None,
        on_warning: Callable[[Problem], None] = _warn,
    ) -> Job:
        """Do what `run` does, for a request.

        Parameters
        ----------
        request
            What is wanted.
        background, echo, on_progress
            See `run`.
        on_warning
            Takes what the user should know and what does not stand in the way; by default a
            Python warning.
        """
        if request.schedule and background:
            raise InputError("a job is scheduled or runs in the background, not both")
        plan = starting.create(self.folder, request, os.environ)
        for problem in plan.warnings:
            on_warning(problem)
        if not request.schedule:
            self._launch(plan, background=background, echo=echo, on_progress=on_progress)
        return Job(self, plan.name)

    def commands(self, plan: Plan) -> list[str]:
        """Return the complete commands that a planned job would execute."""
        return commands.command_lines(
            self.root, plan.job_type, plan.options, plan.name, plan.file.is_continue
        )

    def script(self, plan: Plan) -> str:
        """Return the script that a planned job would send to the queue; empty without one."""
        return launch.submission_script(self.root, plan.name, self.commands(plan), plan.options)

    def start(self, job: Ref) -> Job:
        """Start a scheduled job in the background."""
        from vitreous.actions.autorun import start_scheduled

        process = self._find(job)
        if process.status is not Status.SCHEDULED:
            raise InputError(
                f"{process.shown_name} is {process.status.lower()}, not scheduled; to go on with "
                "it, continue it (`vitreous run --continue`)"
            )
        start_scheduled(self, process.name)
        return Job(self, process.name)

    def autorun(
        self,
        *jobs: Ref,
        rhythm: Rhythm | None = None,
        name: str = "schedule1",
        echo: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Run scheduled jobs one after the other, once or again and again.

        Parameters
        ----------
        *jobs
            Scheduled jobs; none for all of them, by number.
        rhythm
            How often, and how long to wait; once by default.
        name
            Name of this run, part of the names of its log and of its stop file.
        echo
            Takes each line of the log.
        """
        from vitreous.actions.autorun import autorun

        return autorun(self, jobs or self.scheduled(), rhythm, name=name, echo=echo)

    def stop_autorun(self, name: str = "schedule1") -> None:
        """End a run of scheduled jobs after its present look; the running job goes on."""
        from vitreous.actions.autorun import STOP_FILE

        self._need_writable()
        path = self.root / f"{STOP_FILE}{name}"
        if not path.exists():
            others = sorted(p.name.removeprefix(STOP_FILE) for p in self.root.glob(f"{STOP_FILE}*"))
            there = f"; there is {', '.join(others)}" if others else ""
            raise InputError(f"no run of scheduled jobs is called {name}{there}")
        path.unlink()

    def find_jobs(self, jobs: Sequence[Ref]) -> list[Job]:
        """Return several jobs; all that do not exist are told at once."""
        return [Job(self, name) for name in self._names(jobs)]

    def scheduled(self) -> list[Job]:
        """Return the jobs that are scheduled, by number."""
        return [job for job in self.jobs if job.process.status is Status.SCHEDULED]

    def abort(self, job: Ref) -> Job:
        """Stop a running or queued job: ask, wait, insist, kill.

        Raises
        ------
        ProjectError
            It is not running, or the project was opened read-only.
        """
        self._need_writable()
        process = self._find(job)
        stopping.abort(self.folder, process.name)
        self.refresh()
        return Job(self, process.name)

    def keep_choice(self, job: Ref, chosen: Sequence[bool]) -> None:
        """Keep which rows are chosen in a selection job; it can be changed until it is saved."""
        self._need_writable()
        choosing.keep_choice(self.folder, self._find(job), chosen)

    def save_choice(
        self,
        job: Ref,
        chosen: Sequence[bool],
        *,
        regroup: int | None = None,
        recentre: bool = False,
        max_per_class: int | None = None,
    ) -> Job:
        """Save what is chosen in a selection job: its files are made in the background.

        Parameters
        ----------
        job
            A selection that waits for a person, or one that was saved before.
        chosen
            For each row that was shown, in the order of the file.
        regroup
            About how many groups of particles to make; None leaves them.
        recentre
            Whether class averages are centred.
        max_per_class
            Most particles kept of a class; None for all.
        """
        self._need_writable()
        if not any(chosen):
            raise InputError("nothing is chosen, so there is nothing to save")
        process = self._find(job)
        choosing.keep_choice(self.folder, process, chosen)
        choosing.set_saving(
            self.folder,
            process,
            self.pipeline.form,
            regroup=regroup,
            recentre=recentre,
            max_per_class=max_per_class,
        )
        return self.run(continue_job=process.name, background=True)

    # Looking

    def refresh(self, *, patient: bool = True) -> states.Changes:
        """Look at all job folders: find jobs that others made, jobs that ended or died.

        The project is locked and written only where something changed.

        Parameters
        ----------
        patient
            Whether to wait for the lock as long as it takes; else a warning tells that nothing
            was written.
        """
        return states.refresh(self.folder, patient=patient)

    def status(self) -> report.StatusReport:
        """Return the state of every job, as ``vitreous status --json`` prints it."""
        return report.status_report(self.folder, self.pipeline)

    def show(self, job: Ref) -> report.JobReport:
        """Return everything about one job, as ``vitreous show --json`` prints it."""
        return report.job_report(self.folder, self.pipeline, self._find(job))

    @staticmethod
    def describe(job_type: str | None = None) -> list[describe.TypeRow] | describe.TypeSheet:
        """Return the job types, or one of them with all its options."""
        if job_type is None:
            return describe.job_types()
        return describe.job_type_sheet(job_type, os.environ)

    def flowchart(self, job: Ref, output: Path | str | None = None) -> list[Path]:
        """Draw how a job came about.

        Parameters
        ----------
        job
            The job.
        output
            An ``.svg`` or ``.pdf`` file; by default both go into the job's folder, and the PDF
            becomes one of its outputs.
        """
        return drawing.flowchart(self.folder, self._find(job), output)

    # Names and notes

    def alias(self, job: Ref, name: str | None) -> Process:
        """Give a job an alias; None takes it away."""
        return aliases.set_alias(self.folder, self._find(job).name, name)

    def note(
        self, job: Ref | None = None, text: str | None = None, *, replace: bool = False
    ) -> str:
        """Read the note of a job (None: of the project), or add to it, and return it.

        Parameters
        ----------
        job
            The job.
        text
            What to add; None only reads.
        replace
            Put it in place of what is there.
        """
        process = None if job is None else self._find(job)
        if text is None:
            return noting.read_note(self.folder, process)
        change = noting.set_note if replace else noting.add_note
        return change(self.folder, process, text)

    def remake_nodes(self) -> int:
        """Make the ``.Nodes`` tree anew, which RELION's own window looks through.

        Returns
        -------
        int
            How many entries it has.
        """
        self._need_writable()
        return nodes_tree.remake(self.root, self.pipeline)

    def all_notes(self) -> Path:
        """Join the notes of all jobs in one file and return its path."""
        return noting.all_notes(self.folder)

    def mark(self, job: Ref, state: str) -> endings.Completed:
        """Mark a job as ``finished`` (``succeeded``) or ``failed`` by hand."""
        if state.lower() not in _MARKS:
            raise InputError(f"a job is marked as {', '.join(_MARKS)}; not as {state!r}")
        return endings.mark(self.folder, self._find(job).name, _MARKS[state.lower()])

    # Taking away and bringing back

    def plan_delete(self, *jobs: Ref) -> trash.DeletePlan:
        """Return what deleting these jobs would take along."""
        return trash.plan_delete(self.folder, self._names(jobs))

    def delete(self, *jobs: Ref, yes: bool = False) -> trash.DeletePlan:
        """Move jobs to the Trash.

        Parameters
        ----------
        *jobs
            The jobs.
        yes
            Whether the jobs that depend on them may go too; without it they are refused.
        """
        return removing.delete(self.folder, self._names(jobs), yes=yes)

    def trashed(self) -> list[restoring.TrashedJob]:
        """Return the deleted jobs that can come back."""
        return restoring.list_trash(self.folder)

    def undelete(self, *jobs: Ref, whole_group: bool = False) -> removing.BroughtBack:
        """Bring deleted jobs back, or cleaned files of jobs that are there.

        Parameters
        ----------
        *jobs
            Jobs by path or number.
        whole_group
            Bring back every job of the same delete too.
        """
        refs = [_text(job) or "" for job in jobs]
        return removing.undelete(self.folder, refs, whole_group=whole_group)

    def trash_size(self) -> int:
        """Return how many bytes the Trash holds."""
        return size_below(self.folder.trash)[1]

    def empty_trash(self) -> int:
        """Remove the Trash for good and return how many bytes that were."""
        return removing.empty_trash(self.folder)

    def plan_clean(self, *jobs: Ref, harsh: bool = False) -> list[CleanPlan]:
        """Return what cleaning these jobs (none: every succeeded one) would move to the Trash."""
        names = self._names(jobs) if jobs else None
        return removing.plan_clean(self.folder, names, harsh=harsh)

    def clean(self, *jobs: Ref, harsh: bool = False) -> list[CleanPlan]:
        """Move intermediate files of these jobs to the Trash and return what was moved.

        Parameters
        ----------
        *jobs
            Succeeded jobs.
        harsh
            Also move what other jobs could use.
        """
        if not jobs:
            raise InputError("say which jobs to clean; clean_all cleans every one")
        return self.apply_clean(self.plan_clean(*jobs, harsh=harsh))

    def clean_all(self, *, harsh: bool = False) -> list[CleanPlan]:
        """Clean every succeeded job; those protected by NO_HARSH_CLEAN are left alone."""
        return self.apply_clean(self.plan_clean(harsh=harsh))

    def apply_clean(self, plans: Sequence[CleanPlan]) -> list[CleanPlan]:
        """Do what `plan_clean` said."""
        return removing.clean(self.folder, plans)

    # Repair

    def repair(
        self, how: Literal["backup", "rebuild"] = "backup", *, force: bool = False
    ) -> repair.RepairReport:
        """Make a lost or corrupted pipeline file anew.

        Parameters
        ----------
        how
            From the newest backup, or only from what each job folder holds.
        force
            Remove a lock whose owner cannot be judged too.
        """
        return repair.repair(self.folder, how, force=force)

    def change_form(self, form: Form) -> Path | None:
        """Write the pipeline file in the form of another RELION.

        Parameters
        ----------
        form
            ``"3.1"``, ``"4.0"`` or ``"5.0"``.

        Returns
        -------
        Path | None
            The copy of the old file; None where the project has that form already.
        """
        self._need_writable()
        return upgrade.upgrade(self.folder, form)

    def export_scheduled(self, name: str) -> Path:
        """Write all scheduled jobs to ``ExportJobs/NAME`` and return that folder."""
        self._need_writable()
        return exchange.export_scheduled(self.folder, name)

    def import_scheduled(self, path: Path | str) -> list[Job]:
        """Add the jobs of an export as scheduled jobs with new numbers, and return them."""
        self._need_writable()
        return [self.job(one.name) for one in exchange.import_scheduled(self.folder, Path(path))]

    def unlock(self, *, force: bool = False) -> lock.Owner | None:
        """Remove the lock of a process that died; return whose it was."""
        self._need_writable()
        return lock.break_stale_lock(self.root, force=force)

    # Within

    def _find(self, job: Ref) -> Process:
        return self.pipeline.find(job.name if isinstance(job, Job) else job)

    def _names(self, jobs: Sequence[Ref]) -> list[str]:
        """Return the folders of jobs; all that do not exist are told at once."""
        names, wrong = [], []
        for job in jobs:
            try:
                names.append(self._find(job).name)
            except ProjectError as error:
                wrong.append(str(error))
        if wrong:
            raise ProjectError("\n".join(wrong))
        return names

    def _need_writable(self) -> None:
        if self.read_only:
            raise ProjectError(f"{self.root} was opened read-only; nothing was changed.")

    def _launch(
        self,
        plan: Plan,
        *,
        background: bool,
        echo: Callable[[str], None] | None,
        on_progress: Callable[[Report], None] | None,
    ) -> None:
        if plan.is_interactive:
            launch.open_interactive(self.root, plan.name)
            return
        try:
            launch.start(
                self.root,
                plan.name,
                plan.options,
                mode="background" if background else "foreground",
                echo=echo,
                on_progress=on_progress,
            )
        finally:
            self.refresh()


def _mode(continue_job: Ref | None, overwrite: Ref | None) -> Mode:
    if continue_job is not None and overwrite is not None:
        raise InputError("a job is continued or overwritten, not both")
    if continue_job is not None:
        return Mode.CONTINUE
    return Mode.NEW if overwrite is None else Mode.OVERWRITE


def _text(job: Ref | None) -> str | int | None:
    return job.name if isinstance(job, Job) else job
