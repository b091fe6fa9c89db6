"""Bringing the graph up to date with what the job folders show.

Jobs that others made, jobs that ended, jobs whose process died. Looking needs no lock; the
project is locked and written only where something changed.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Final

from vitreous.errors import FormatError, LockedError
from vitreous.project import discovery, links, markers, outputs
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.running import record
from vitreous.running.state import JobState, job_state

HURRY_S: Final = 2.0


@dataclass(frozen=True)
class Changes:
    """What was noticed.

    Parameters
    ----------
    found
        Jobs that others made, or whose entry was lost.
    ended
        Jobs that are not running any more, with their new state.
    warnings
        Expected outputs that are not there, lists of outputs that cannot be read.
    """

    found: tuple[Process, ...] = ()
    ended: tuple[Process, ...] = ()
    warnings: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything changed."""
        return bool(self.found or self.ended)


def refresh(folder: ProjectFolder, *, patient: bool = True) -> Changes:
    """Look at all job folders and write what changed.

    Parameters
    ----------
    folder
        The project. One that is read-only is left as it is.
    patient
        Whether to wait for the lock as long as a change does, and to fail without it. Whoever
        only looks waits two seconds, and then does without.
    """
    if patient:
        return _refresh(folder)
    hurried = ProjectFolder(
        folder.root,
        name=folder.name,
        read_only=folder.read_only,
        policy=replace(folder.policy, timeout_s=min(folder.policy.timeout_s, HURRY_S)),
    )
    try:
        return _refresh(hurried)
    except LockedError as error:
        return Changes(warnings=(f"what became of the jobs was not written: {error}",))


def _refresh(folder: ProjectFolder) -> Changes:
    pipeline = folder.read()
    unlisted = discovery.find_unlisted(folder, pipeline)
    if folder.read_only or not os.access(folder.root, os.W_OK):
        return Changes()
    links.remake_missing(folder.root, pipeline)
    if not unlisted and not _over(folder, pipeline):
        return Changes()
    with folder.edit("noting what became of the jobs") as fresh:
        found = discovery.adopt(folder, fresh, discovery.find_unlisted(folder, fresh))
        over = _over(folder, fresh)
        done = [outputs.finish(folder, fresh, name, state.status) for name, state in over.items()]
    for name, state in over.items():
        _leave_reason(folder, name, state)
    return Changes(
        found=tuple(found),
        ended=tuple(one.process for one in done),
        warnings=tuple(_warnings(done)),
    )


def _over(folder: ProjectFolder, pipeline: Pipeline) -> dict[str, JobState]:
    """Return the jobs that the graph has as running and that are not."""
    states = {
        process.name: job_state(folder.root, process)
        for process in pipeline
        if process.status is Status.RUNNING
    }
    return {name: state for name, state in states.items() if state.status.is_finished}


def _leave_reason(folder: ProjectFolder, name: str, state: JobState) -> None:
    """Write why a job is over into its folder where its process could not do it."""
    job_dir = folder.job_dir(name)
    with contextlib.suppress(OSError, FormatError):
        if markers.read_marker(job_dir) is None:
            markers.write_marker(job_dir, state.status)
        known = record.read_process(job_dir)
        if known is not None and not known.is_over and state.status is Status.FAILED:
            record.update_process(
                job_dir, state="failed", ended=record.now(), exit_reason=state.reason
            )


def _warnings(done: list[outputs.Completed]) -> list[str]:
    missing = [
        f"{one.process.name}: {path} was expected and is not there"
        for one in done
        for path in one.missing
    ]
    return missing + [text for one in done for text in one.warnings]
