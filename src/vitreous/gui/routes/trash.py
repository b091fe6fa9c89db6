"""The Trash, and cleaning of all jobs at once."""

from __future__ import annotations

from fastapi import APIRouter

from vitreous.gui.book import family
from vitreous.gui.context import Here
from vitreous.gui.models.common import Done
from vitreous.gui.models.jobs import Clean, CleanReport, Undelete, Undeleted
from vitreous.gui.models.project import CleanedRow, TrashedJobRow, TrashInfo
from vitreous.gui.routes.job_actions import clean_report
from vitreous.gui.rows import short_alias, title_of
from vitreous.project import process_types
from vitreous.project.moving import size_below

router = APIRouter(prefix="/api", tags=["trash"])


@router.get("/trash")
def get_trash(server: Here) -> TrashInfo:
    """Return the deleted jobs that can come back, and the files cleaned from others."""
    project = server.project
    jobs = []
    for one in project.trashed():
        folder = process_types.to_folder(one.process.type_label) or one.process.type_folder
        jobs.append(
            TrashedJobRow(
                n=one.process.number,
                name=one.process.name,
                alias=short_alias(one.process.alias),
                word=folder.lower(),
                gui_name=title_of(one.process),
                family=family(folder),
                status=one.process.status.value,
                group=list(one.group),
                n_files=one.n_files,
                n_bytes=one.n_bytes,
            )
        )
    deleted = {job.name for job in jobs}
    cleaned = []
    for process in project.pipeline:
        folder_in_trash = project.folder.trash / process.name
        if process.name not in deleted and folder_in_trash.is_dir():
            count, n_bytes = size_below(folder_in_trash)
            cleaned.append(
                CleanedRow(n=process.number, name=process.name, n_files=count, n_bytes=n_bytes)
            )
    n_files, total = size_below(project.folder.trash)
    return TrashInfo(n_files=n_files, n_bytes=total, jobs=jobs, cleaned=cleaned)


@router.post("/trash/undelete")
def undelete(server: Here, what: Undelete) -> Undeleted:
    """Bring deleted jobs back, or the files that were cleaned from a job."""
    with server.writing:
        back = server.project.undelete(*what.names, whole_group=what.whole_group)
    server.changed("jobs", "graph", "trash")
    return Undeleted(
        jobs=[process.number for process in back.jobs],
        files=list(back.files),
        warnings=list(back.warnings),
    )


@router.post("/trash/empty")
def empty_trash(server: Here) -> Done:
    """Remove the Trash for good."""
    with server.writing:
        n_bytes = server.project.empty_trash()
    server.changed("trash", "project")
    return Done(message=f"The Trash is empty; {n_bytes:,} bytes are free again.")


@router.post("/project/clean-all")
def clean_all(server: Here, how: Clean) -> CleanReport:
    """Clean every finished job, or say what would go."""
    plans = server.project.plan_clean(harsh=how.harsh)
    return clean_report(server, plans, dry_run=how.dry_run)
