"""Runs of scheduled jobs, and passing schedules on to other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from pydantic import Field

from vitreous.actions import autorun as running
from vitreous.gui.context import Here
from vitreous.gui.models.common import Done, Question
from vitreous.gui.models.project import AutorunRow, Rhythm, StopAutorun
from vitreous.gui.rows import job_names

router = APIRouter(prefix="/api", tags=["autorun"])
_LINES: Final = 20
_TAIL_BYTES: Final = 8000


class ExportName(Question):
    """Name of an export of scheduled jobs."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")


class ImportPath(Question):
    """Where an export is, below the project."""

    path: str = Field(min_length=1, max_length=4000)


@router.get("/autorun")
def get_autoruns(server: Here) -> list[AutorunRow]:
    """Return the runs of scheduled jobs that go on, and those that left a log."""
    root = server.project.root
    names = {
        path.name.removeprefix(running.STOP_FILE) for path in root.glob(f"{running.STOP_FILE}*")
    }
    names |= {path.stem.removeprefix("pipeline_") for path in root.glob("pipeline_*.log")}
    return [_row(root, name) for name in sorted(names) if name]


@router.post("/autorun", status_code=201)
def start_autorun(server: Here, rhythm: Rhythm) -> Done:
    """Run scheduled jobs one after the other in a process of its own."""
    server.writable()
    names = job_names(server.project.pipeline, rhythm.jobs)
    running.autorun_in_background(
        server.project,
        names,
        running.Rhythm(
            times=rhythm.times,
            wait_min=rhythm.wait_between_min,
            wait_before_min=rhythm.wait_before_min,
            poll_s=rhythm.wait_after_s,
        ),
        name=rhythm.name,
    )
    server.changed("jobs")
    return Done(message=f"{len(names)} scheduled jobs run as {rhythm.name}.")


@router.post("/autorun/stop")
def stop_autorun(server: Here, which: StopAutorun) -> Done:
    """End a run of scheduled jobs; the job that is running goes on."""
    server.project.stop_autorun(which.name)
    server.changed("jobs")
    return Done(message=f"{which.name} ends; the job that is running goes on.")


@router.post("/autorun/export", status_code=201)
def export_scheduled(server: Here, what: ExportName) -> Done:
    """Write all scheduled jobs to ExportJobs/NAME."""
    with server.writing:
        folder = server.project.export_scheduled(what.name)
    return Done(message=f"The scheduled jobs are in {folder.relative_to(server.project.root)}.")


@router.post("/autorun/import", status_code=201)
def import_scheduled(server: Here, what: ImportPath) -> Done:
    """Add the jobs of an export as scheduled jobs with new numbers."""
    path = server.files.path(what.path)
    with server.writing:
        jobs = server.project.import_scheduled(path)
    server.changed("jobs", "graph")
    return Done(message=f"Added: {', '.join(job.name for job in jobs)}")


def _row(root: Path, name: str) -> AutorunRow:
    return AutorunRow(
        name=name,
        is_running=(root / f"{running.STOP_FILE}{name}").exists(),
        log=_tail(root / running.LOG.format(name=name)),
    )


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            return stream.read().decode(errors="replace").splitlines()[-_LINES:]
    except OSError:
        return []
