"""Deleting jobs: they and all that depend on them move to the Trash, and can come back.

`plan_delete` says what would go; `delete` does it (pipeline.md section 6). `undelete` is in
`undelete`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vitreous.errors import ProjectError
from vitreous.io.atomic import write_text
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.job_files import JOB_PIPELINE, write_job_pipeline
from vitreous.project.moving import Moves, merge_folder, size_below
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.project.pipeline_text import format_pipeline

DELETED_PIPELINE: Final = "deleted_pipeline.star"


@dataclass(frozen=True)
class DeletedJob:
    """One job that a delete moves to the Trash.

    Parameters
    ----------
    process
        The job.
    n_files, n_bytes
        What is in its folder.
    because_of
        The job whose output it reads, None for a job that was asked for.
    """

    process: Process
    n_files: int
    n_bytes: int
    because_of: str | None = None


@dataclass(frozen=True)
class DeletePlan:
    """What a delete would do; show it before doing it."""

    jobs: tuple[DeletedJob, ...]

    @property
    def names(self) -> list[str]:
        """The jobs in the order of the pipeline."""
        return [job.process.name for job in self.jobs]

    @property
    def running(self) -> list[str]:
        """Jobs among them that still run: deleting does not stop them, so abort them first."""
        return [j.process.name for j in self.jobs if j.process.status is Status.RUNNING]

    @property
    def n_bytes(self) -> int:
        """How much moves to the Trash; the disk has it back when the Trash is emptied."""
        return sum(job.n_bytes for job in self.jobs)


def plan_delete(folder: ProjectFolder, refs: Iterable[str | int]) -> DeletePlan:
    """Return the jobs that deleting `refs` takes along: they and, recursively, all users."""
    pipeline = folder.read()
    names = [pipeline.find(ref).name for ref in refs]
    return DeletePlan(tuple(_look_at(folder, pipeline, names, {})))


def delete(folder: ProjectFolder, plan: DeletePlan) -> DeletePlan:
    """Move the jobs of a plan to the Trash and take them out of the pipeline.

    The removed part of the graph, with true states, goes to `deleted_pipeline.star` in the
    folder of the first job. Jobs that came to depend on them since the plan was made go too.
    If anything fails all folders are put back and the pipeline stays as it was.

    Returns
    -------
    DeletePlan
        What was deleted.
    """
    moves = Moves()
    try:
        with folder.edit(f"deleting {', '.join(plan.names[:3])}") as pipeline:
            known = {job.process.name: job for job in plan.jobs}
            names = [name for name in plan.names if name in pipeline.processes]
            done = DeletePlan(tuple(_look_at(folder, pipeline, names, known)))
            _leave_records(folder, pipeline, done.names)
            for name in done.names:
                to_trash(folder, moves, name)
            pipeline.remove(done.names)
    except OSError as error:
        _put_back(folder, moves, plan)
        raise cannot_write(folder.root, error) from error
    except BaseException:
        _put_back(folder, moves, plan)
        raise
    return done


def _put_back(folder: ProjectFolder, moves: Moves, plan: DeletePlan) -> None:
    """Bring the folders back after a delete that failed, without the record of it."""
    moves.undo()
    for name in plan.names:
        with contextlib.suppress(OSError):
            (folder.job_dir(name) / DELETED_PIPELINE).unlink()


def overwrite(
    folder: ProjectFolder,
    pipeline: Pipeline,
    moves: Moves,
    name: str,
    type_label: str,
    status: Status,
) -> Process:
    """Replace a job by a new one of the same number, in a pipeline being edited.

    The old job moves to the Trash; its children stay and keep their inputs, which the new job
    is to make again. The counter is not moved.

    Parameters
    ----------
    folder, pipeline
        The project and its graph, inside `ProjectFolder.edit`.
    moves
        Undone by the caller where the edit fails.
    name
        The job to replace.
    type_label, status
        Of the new job; its folder and alias are those of the old one.
    """
    old = pipeline.find(name)
    _leave_records(folder, pipeline, [old.name])
    to_trash(folder, moves, old.name)
    pipeline.remove(old.name)
    folder.job_dir(old.name).mkdir(parents=True)
    return pipeline.add_process(old.type_folder, type_label, status, old.alias, number=old.number)


def empty_trash(folder: ProjectFolder) -> int:
    """Remove the Trash for good and return how many bytes that were."""
    if folder.read_only:
        raise ProjectError(f"{folder.root} was opened read-only; the Trash was not emptied.")
    _, n_bytes = size_below(folder.trash)
    try:
        if folder.trash.is_symlink():
            for entry in folder.trash.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        elif folder.trash.exists():
            shutil.rmtree(folder.trash)
    except OSError as error:
        raise cannot_write(folder.trash, error) from error
    return n_bytes


def to_trash(folder: ProjectFolder, moves: Moves, name: str) -> None:
    """Move a job's folder to the Trash, where files cleaned from it may lie already.

    Both come back when the job is undeleted. A whole older job of that number (one that was
    overwritten) is set aside.
    """
    source, target = folder.job_dir(name), folder.trash / name
    if not source.is_dir():
        return
    cleaned = None
    if target.exists():
        aside = moves.set_aside(target)
        cleaned = None if is_whole_job(aside) else aside
    moves.move(source, target)
    if cleaned is not None:
        merge_folder(moves, cleaned, target)


def is_whole_job(trashed: Path) -> bool:
    """Tell whether a folder in the Trash is a deleted job, not just files cleaned from one."""
    return (trashed / JOB_PIPELINE).exists()


def _look_at(
    folder: ProjectFolder, pipeline: Pipeline, names: list[str], known: dict[str, DeletedJob]
) -> Iterator[DeletedJob]:
    """Look at jobs and all that depend on them; `known` saves the walk through a large folder."""
    going = pipeline.descendants(names)
    for name in going:
        if name in known:
            yield replace(known[name], process=pipeline.processes[name])
            continue
        because = None
        if name not in names:
            because = next((p for p in pipeline.parents(name) if p in going), None)
        n_files, n_bytes = size_below(folder.job_dir(name))
        yield DeletedJob(pipeline.processes[name], n_files, n_bytes, because)


def _leave_records(folder: ProjectFolder, pipeline: Pipeline, names: list[str]) -> None:
    """Write into the folders what undelete needs: the removed part, and each job as it is now.

    A job whose folder somebody removed by hand has no place for it.
    """
    there = [name for name in names if folder.job_dir(name).is_dir()]
    for name in there:
        write_job_pipeline(folder.root, pipeline, name)
    if there:
        text = format_pipeline(pipeline.part(names))
        write_text(folder.job_dir(there[0]) / DELETED_PIPELINE, text)
