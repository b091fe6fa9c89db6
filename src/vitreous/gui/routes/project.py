"""The project: what every page shows of it, its note, its repair."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from vitreous._version import __version__
from vitreous.gui.context import Here, Right, Server
from vitreous.gui.drafts import kept_settings
from vitreous.gui.models.common import Bytes, Done, Question
from vitreous.gui.models.project import Disk, NoteBody, NoteChange, NoteConflict, ProjectInfo
from vitreous.gui.refusals import not_found
from vitreous.gui.routes.pages import STATIC
from vitreous.project.moving import size_below

router = APIRouter(prefix="/api/project", tags=["project"])


@router.get("")
def get_project(server: Here, right: Right) -> ProjectInfo:
    """Return what every page shows of the project."""
    project = server.project
    pipeline = project.pipeline
    usage = shutil.disk_usage(project.root)
    n_files, n_bytes = size_below(project.folder.trash)
    return ProjectInfo(
        name=project.root.name,
        root=str(project.root),
        host=socket.gethostname(),
        user=_user(),
        version=__version__,
        read_only=project.read_only or right != "all",
        form=pipeline.form,
        n_jobs=len(pipeline.processes),
        next_number=pipeline.counter,
        note=project.note(),
        disk=Disk(free=usage.free, total=usage.total),
        trash=Bytes(n_files=n_files, n_bytes=n_bytes),
        settings=kept_settings(server.drafts),
        problems=list(pipeline.problems),
        front_end=(STATIC / "index.html").is_file(),
    )


@router.get("/note")
def get_project_note(server: Here) -> NoteBody:
    """Return the note of the project."""
    text = server.project.note()
    return NoteBody(text=text, version=note_version(text))


@router.put("/note", response_model=NoteBody, responses={409: {"model": NoteConflict}})
def put_project_note(server: Here, change: NoteChange) -> NoteBody | Response:
    """Replace the note of the project; 409 with theirs where somebody else changed it."""
    server.writable()
    answer = change_note(server, None, change)
    server.changed("project")
    return answer


@router.get("/notes", response_class=PlainTextResponse)
def get_all_notes(server: Here) -> PlainTextResponse:
    """Return the notes of all jobs as one text, for reading and printing; nothing is written."""
    parts = []
    for process in server.project.pipeline:
        note = server.project.note(process.name)
        alias = f" ({process.alias})" if process.alias else ""
        parts.append(f"{process.name}{alias}\n{'-' * 60}\n{note.rstrip()}\n\n")
    return PlainTextResponse("".join(parts))


@router.post("/notes")
def write_all_notes(server: Here) -> Done:
    """Join the notes of all jobs in one file of the project."""
    with server.writing:
        path = server.project.all_notes()
    return Done(message=f"All notes are in {path.name}.")


@router.post("/reread")
def reread(server: Here) -> Done:
    """Look at all job folders and take up what others did."""
    changes = server.project.refresh(patient=False)
    server.changed("jobs", "graph", "project")
    found, ended = len(changes.found), len(changes.ended)
    return Done(
        message=f"{found} new jobs were found, {ended} had ended.", warnings=list(changes.warnings)
    )


@router.post("/remake-nodes")
def remake_nodes(server: Here) -> Done:
    """Make the .Nodes folder anew, which RELION's own window looks through."""
    with server.writing:
        count = server.project.remake_nodes()
    return Done(message=f".Nodes has {count:,} entries now.")


class Unlock(Question):
    """Whether to remove a lock whose owner cannot be judged."""

    force: bool = False


@router.post("/unlock")
def unlock(server: Here, how: Unlock) -> Done:
    """Remove the lock of a process that died."""
    owner = server.project.unlock(force=how.force)
    return Done(message=f"The lock of {owner} was removed." if owner else "There was no lock.")


@router.post("/stop-server")
def stop_server(server: Here, request: Request) -> Done:
    """End the server; running jobs go on."""
    stop = getattr(request.app.state, "stop", None)
    if stop is None:
        raise not_found("This server is part of another program, which stops it.")
    stop()
    return Done(message="The server stops. Running jobs go on; `vitreous gui` starts it again.")


def note_version(text: str) -> str:
    """Return a name for a text that changes with it."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]


def change_note(server: Server, job: str | None, change: NoteChange) -> NoteBody | Response:
    """Replace a note, unless somebody else changed it since it was read."""
    with server.writing:
        now = server.project.note(job)
        if change.version and change.version != note_version(now):
            message = "Somebody else changed this note meanwhile."
            theirs = NoteConflict(error=message, text=now, version=note_version(now))
            return JSONResponse(theirs.model_dump(), 409)
        text = server.project.note(job, change.text, replace=True)
    return NoteBody(text=text, version=note_version(text))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
