"""Stopping a job, one with a process and one that a person works in."""

from __future__ import annotations

from vitreous.errors import ProjectError
from vitreous.project import markers
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status
from vitreous.running import record, stop


def abort(folder: ProjectFolder, name: str) -> None:
    """Stop a running or queued job; an interactive one, which has no process, ends at once.

    Parameters
    ----------
    folder
        The project.
    name
        Job folder with its slash.

    Raises
    ------
    ProjectError
        It is not running.
    """
    process = folder.read().find(name)
    if process.status is Status.SCHEDULED:
        raise ProjectError(
            f"{process.shown_name} is scheduled and does not run: there is nothing to stop. "
            f"`vitreous delete {process.number}` takes it away."
        )
    job_dir = folder.job_dir(name)
    stop.abort(folder.root, name)
    known = record.read_process(job_dir)
    if known is not None and known.state == "interactive":
        markers.clear_markers(job_dir)
        markers.write_marker(job_dir, Status.ABORTED)
        record.update_process(job_dir, state="aborted", ended=record.now())
