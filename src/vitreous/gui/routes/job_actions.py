"""What can be done to a job: alias, note, abort, mark, clean, delete, start; and its log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from vitreous.gui.context import Here, Server
from vitreous.gui.models.common import Done
from vitreous.gui.models.jobs import (
    Alias,
    Clean,
    CleanedJob,
    CleanReport,
    Delete,
    DeletedJob,
    DeleteReport,
    LogText,
    Mark,
)
from vitreous.gui.models.project import NoteBody, NoteChange, NoteConflict
from vitreous.gui.routes.project import change_note, note_version
from vitreous.gui.rows import short_alias, title_of
from vitreous.project.cleaning import CleanPlan
from vitreous.project.moving import size_below
from vitreous.project.trash import DeletePlan
from vitreous.running import record

router = APIRouter(prefix="/api/jobs", tags=["job actions"])
_MOST_LOG: Final = 256 << 10
_SHOWN: Final = 500


@router.get("/{n}/log")
def get_log(
    server: Here,
    n: int,
    stream: Literal["out", "err"] = "out",
    start: Annotated[int, Query(alias="from")] = 0,
) -> LogText:
    """Return a part of run.out or run.err, at most 256 kB.

    `from` is the byte to begin with; a negative one counts from the end.
    """
    job = server.job(n)
    path = server.files.path(job.name) / (record.ERR if stream == "err" else record.OUT)
    return read_log(path, n, stream, start)


@router.post("/{n}/clear-errors")
def clear_errors(server: Here, n: int) -> Done:
    """Empty run.err, so that only new errors are seen."""
    server.writable()
    job = server.job(n)
    with record.locked(job.path):
        os.truncate(job.path / record.ERR, 0)
    server.changed("job", n=n)
    return Done(message=f"The errors of job {n} were cleared.")


@router.get("/{n}/note")
def get_note(server: Here, n: int) -> NoteBody:
    """Return the note of a job."""
    text = server.project.note(server.job(n))
    return NoteBody(text=text, version=note_version(text))


@router.put("/{n}/note", response_model=NoteBody, responses={409: {"model": NoteConflict}})
def put_note(server: Here, n: int, change: NoteChange) -> NoteBody | Response:
    """Replace the note of a job; 409 with theirs where somebody else changed it."""
    server.writable()
    answer = change_note(server, server.job(n).name, change)
    server.changed("job", n=n)
    return answer


@router.post("/{n}/alias")
def set_alias(server: Here, n: int, alias: Alias) -> Done:
    """Give a job an alias, or take it away."""
    job = server.settled(n)
    with server.writing:
        process = server.project.alias(job, alias.alias or None)
    server.changed("jobs", "graph")
    short = short_alias(process.alias)
    return Done(
        message=f"Job {n} is called {short} now." if short else f"Job {n} has no alias now."
    )


@router.post("/{n}/abort")
def abort(server: Here, n: int) -> Done:
    """Stop a running or queued job: ask, wait, insist, kill."""
    job = server.project.abort(server.settled(n))
    server.changed("jobs")
    return Done(message=f"Job {n} is {job.status.lower()}.")


@router.post("/{n}/start")
def start(server: Here, n: int) -> Done:
    """Start a scheduled job."""
    with server.writing:
        job = server.project.start(server.settled(n))
    server.changed("jobs")
    return Done(message=f"Job {n} is {job.status.lower()}.")


@router.post("/{n}/mark")
def mark(server: Here, n: int, how: Mark) -> Done:
    """Mark a job as finished or failed by hand."""
    job = server.settled(n)
    with server.writing:
        done = server.project.mark(job, how.state)
    server.changed("jobs", "graph")
    warnings = [f"{path} was expected and is not there" for path in done.missing]
    return Done(message=f"Job {n} is marked as {how.state}.", warnings=[*warnings, *done.warnings])


@router.post("/{n}/clean")
def clean(server: Here, n: int, how: Clean) -> CleanReport:
    """Move intermediate files of a job to the Trash, or say which would go."""
    job = server.settled(n)
    plans = server.project.plan_clean(job, harsh=how.harsh)
    return clean_report(server, plans, dry_run=how.dry_run)


@router.post("/{n}/delete")
def delete(server: Here, n: int, how: Delete) -> DeleteReport:
    """Move a job and all that depend on it to the Trash, or say which would go."""
    job = server.settled(n)
    if how.dry_run:
        plan = server.project.plan_delete(job)
    else:
        with server.writing:
            plan = server.project.delete(job, yes=how.yes)
        server.changed("jobs", "graph", "trash")
    return _delete_report(plan, dry_run=how.dry_run)


def read_log(path: Path, n: int, stream: Literal["out", "err"], start: int) -> LogText:
    """Read a part of a log; letters of several bytes are never cut."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            begin = min(start, size) if start >= 0 else max(0, size + start)
            file.seek(begin)
            data = file.read(_MOST_LOG)
    except FileNotFoundError:
        return LogText(n=n, stream=stream, start=0, next=0, size=0, text="")
    if start < 0 and begin:
        skipped = data.find(b"\n") + 1
        begin, data = begin + skipped, data[skipped:]
    whole = data[: _whole(data)]
    return LogText(
        n=n,
        stream=stream,
        start=begin,
        next=begin + len(whole),
        size=size,
        text=whole.decode(errors="replace"),
    )


def clean_report(server: Server, plans: list[CleanPlan], *, dry_run: bool) -> CleanReport:
    """Do what plans say, unless nothing is to move, and tell it."""
    before = {
        plan.process.name: size_below(server.project.root / plan.process.name)[1] for plan in plans
    }
    if not dry_run:
        with server.writing:
            plans = server.project.apply_clean(plans)
        server.changed("jobs", "trash")
    jobs = [_cleaned(plan, before[plan.process.name]) for plan in plans]
    return CleanReport(
        dry_run=dry_run,
        n_files=sum(job.n_files for job in jobs),
        n_bytes=sum(job.n_bytes for job in jobs),
        jobs=jobs,
    )


def _cleaned(plan: CleanPlan, before: int) -> CleanedJob:
    return CleanedJob(
        n=plan.process.number,
        name=plan.process.name,
        alias=short_alias(plan.process.alias),
        gui_name=title_of(plan.process),
        harsh=plan.harsh,
        n_files=len(plan.files),
        n_bytes=plan.n_bytes,
        n_bytes_before=before,
        files=list(plan.files[:_SHOWN]),
        kept=list(plan.kept[:_SHOWN]),
        refused=plan.refused,
    )


def _delete_report(plan: DeletePlan, *, dry_run: bool) -> DeleteReport:
    blocked = [f"{name.rstrip('/')} still runs: stop it first." for name in plan.running if dry_run]
    jobs = [
        DeletedJob(
            n=job.process.number,
            name=job.process.name,
            alias=short_alias(job.process.alias),
            gui_name=title_of(job.process),
            status=job.process.status.value,
            n_files=job.n_files,
            n_bytes=job.n_bytes,
            because_of=job.because_of,
        )
        for job in plan.jobs
    ]
    return DeleteReport(
        dry_run=dry_run,
        jobs=jobs,
        n_files=sum(job.n_files for job in jobs),
        n_bytes=plan.n_bytes,
        blocked=blocked,
    )


def _whole(data: bytes) -> int:
    """Return how many bytes end with a whole letter."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return len(data)
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) if back >= length else len(data) - back
    return len(data)
