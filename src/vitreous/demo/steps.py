"""Run each step of a script once: what is done stays, what was broken off goes on.

A step is known by the alias of its job. So a script can be stopped in any way, and run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from vitreous.actions.job import Job
from vitreous.actions.planning import Mode, Request
from vitreous.actions.project import Project
from vitreous.errors import ComputeError, OptionError
from vitreous.project.pipeline import Status
from vitreous.running.progress import Report


@dataclass
class Steps:
    """Runs the steps of a script in a project.

    Parameters
    ----------
    project
        The project.
    tell
        Takes a line for each step.
    on_progress
        Takes reports of how far the running job is.
    began_again
        Aliases of the steps that had been broken off.
    """

    project: Project
    tell: Callable[[str], None] = print
    on_progress: Callable[[Report], None] | None = None
    began_again: list[str] = field(default_factory=list)

    def __call__(self, alias: str, job_type: str, **options: object) -> Job:
        """Return the job of this alias, which has succeeded; run it, or the rest of it, before.

        Raises
        ------
        ComputeError
            It failed; the message says why.
        """
        began = time.monotonic()
        self.project.refresh()
        job = self._known(alias)
        if job is not None and job.status is Status.SUCCEEDED:
            self.tell(f"{job.name} {alias}: done before")
            return job
        if job is None:
            job = self._run(Request(job_type, options, alias=alias))
        else:
            self.tell(f"{job.name} {alias}: goes on")
            self.began_again.append(alias)
            job = self._finish(job, job_type, options)
        if job.status is Status.ABORTED:
            raise ComputeError(f"{job.name} ({alias}) was stopped. Run this again to go on.")
        if job.status is not Status.SUCCEEDED:
            raise ComputeError(
                f"{job.name} ({alias}) {job.status.lower()}: {job.state.reason}. `vitreous log "
                f"{job.number} --err` shows all of it; run this again to go on from here."
            )
        self.tell(f"{job.name} {alias}: {time.monotonic() - began:.0f} s")
        return job

    def _known(self, alias: str) -> Job | None:
        """Return the job with this alias, if there is one."""
        for job in self.project.jobs:
            if job.alias is not None and job.alias.rstrip("/").endswith(f"/{alias}"):
                return job
        return None

    def _finish(self, job: Job, job_type: str, options: dict[str, object]) -> Job:
        """Wait for a job that runs still; go on with one that stopped, or begin it again."""
        try:
            job.wait()
        except KeyboardInterrupt:
            self.project.abort(job)
            raise
        if job.status is Status.SUCCEEDED:
            return job
        try:
            return self._run(Request(mode=Mode.CONTINUE, target=job.name))
        except OptionError:  # it had not come so far that there is something to go on from
            return self._run(Request(job_type, options, mode=Mode.OVERWRITE, target=job.name))

    def _run(self, request: Request) -> Job:
        return self.project.make(
            request,
            echo=_nothing,
            on_progress=self.on_progress,
            on_warning=lambda problem: self.tell(f"  note: {problem}"),
        )


def _nothing(line: str) -> None:
    """Leave what a job prints in its log."""
