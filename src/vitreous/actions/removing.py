"""Taking away and bringing back: delete, undelete, clean, empty the Trash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitreous.actions.report import job_type_of
from vitreous.errors import InputError, ProjectError, VitreousError
from vitreous.jobs import evaluate, job_star
from vitreous.project import cleaning, trash
from vitreous.project import undelete as restoring
from vitreous.project.cleaning import CleanPlan, Cleanup
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Process, Status
from vitreous.project.trash import DeletePlan


def delete(folder: ProjectFolder, refs: Sequence[str | int], *, yes: bool) -> DeletePlan:
    """Move jobs to the Trash.

    Parameters
    ----------
    folder
        The project.
    refs
        Which jobs.
    yes
        Whether the jobs that use their outputs may go too.

    Raises
    ------
    InputError
        Other jobs depend on them and `yes` is off, or one of them is running; nothing changed.
    """
    plan = trash.plan_delete(folder, refs)
    _refuse_running(plan)
    users = [job for job in plan.jobs if job.because_of]
    if users and not yes:
        asked = ", ".join(job.process.shown_name for job in plan.jobs if not job.because_of)
        lines = [
            f"  {job.process.shown_name} ({job.process.status}) uses {job.because_of}"
            for job in users
        ]
        count = f"{len(users)} other jobs depend" if len(users) > 1 else "another job depends"
        raise InputError(
            f"{asked} was not deleted, because {count} on it:\n"
            + "\n".join(lines)
            + "\nTo delete all of them confirm it (--yes, in Python yes=True). They go to the "
            "Trash and can be undeleted."
        )
    return trash.delete(folder, plan)


def _refuse_running(plan: DeletePlan) -> None:
    if plan.running:
        names = ", ".join(plan.running)
        raise InputError(
            f"nothing was deleted, because {names} still runs; stop it first "
            f"(`vitreous abort {plan.running[0].rstrip('/')}`)"
        )


@dataclass(frozen=True)
class BroughtBack:
    """What an undelete brought back.

    Parameters
    ----------
    jobs
        Deleted jobs that are in the project again.
    files
        Cleaned files of jobs that were never deleted, relative to the project.
    warnings
        Aliases that others have now, inputs whose job is still deleted.
    """

    jobs: tuple[Process, ...]
    files: tuple[str, ...]
    warnings: tuple[str, ...]


def undelete(folder: ProjectFolder, refs: Sequence[str | int], *, whole_group: bool) -> BroughtBack:
    """Bring jobs back from the Trash, or the cleaned files of jobs that are there.

    Parameters
    ----------
    folder
        The project.
    refs
        Which jobs.
    whole_group
        Bring back every job of the same delete too.
    """
    pipeline = folder.read()
    there, gone = [], []
    for ref in refs:
        try:
            there.append(pipeline.find(ref))
        except ProjectError:
            gone.append(ref)
    files = [name for process in there for name in cleaning.restore_cleaned(folder, process)]
    if there and not (files or gone):
        raise InputError("\n".join(_why_not_back(folder, process) for process in there))
    done = restoring.undelete(folder, gone, whole_group=whole_group) if gone else None
    return BroughtBack(
        jobs=done.processes if done else (),
        files=tuple(files),
        warnings=done.warnings if done else (),
    )


def _why_not_back(folder: ProjectFolder, process: Process) -> str:
    if (folder.trash / process.name).is_dir():
        return (
            f"{process.shown_name} was overwritten, and its number is in use; what it made before "
            f"is in {folder.trash / process.name}: copy from there what you need"
        )
    return f"{process.shown_name} was not deleted, and no cleaned file of it is in the Trash"


def plan_clean(
    folder: ProjectFolder, refs: Sequence[str | int] | None, *, harsh: bool
) -> list[CleanPlan]:
    """Return what cleaning would move to the Trash, job by job.

    Parameters
    ----------
    folder
        The project.
    refs
        Which jobs; None for every succeeded job, those that are never cleaned left out.
    harsh
        Remove also what other jobs could use.

    Raises
    ------
    InputError
        A job that was named cannot be cleaned; all of those are told at once.
    """
    pipeline = folder.read()
    if refs is None:
        jobs = [process for process in pipeline if process.status is Status.SUCCEEDED]
    else:
        jobs = [pipeline.find(ref) for ref in refs]
    rules = {job.name: _rules(folder, job) for job in jobs}
    plans = [
        cleaning.plan_clean(folder, pipeline, job, rules[job.name], harsh=harsh)
        for job in jobs
        if refs is not None or not rules[job.name].refused
    ]
    refused = [plan.refused for plan in plans if plan.refused]
    if refs is not None and refused:
        raise InputError("\n".join(refused))
    return plans


def clean(folder: ProjectFolder, plans: Sequence[CleanPlan]) -> list[CleanPlan]:
    """Move the files of plans to the Trash and return what was moved."""
    return [cleaning.apply(folder, plan) for plan in plans if plan.files]


def _rules(folder: ProjectFolder, process: Process) -> Cleanup:
    """Return what cleaning removes from a job; nothing for types and settings we cannot read."""
    try:
        return evaluate.cleanup(job_star.read_job(folder.root / process.name).options)
    except VitreousError:
        job_type = job_type_of(process.type_label)
        return evaluate.cleanup(job_type.new({}, {})) if job_type else Cleanup()


def empty_trash(folder: ProjectFolder) -> int:
    """Remove the Trash for good and return how many bytes that were."""
    if folder.read_only:
        raise ProjectError(f"{folder.root} was opened read-only; the Trash was not emptied.")
    return trash.empty_trash(folder)
