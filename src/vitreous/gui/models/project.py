"""The project, its Trash, its runs of scheduled jobs, drafts, and what a search finds."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vitreous.gui.models.common import Answer, Bytes, Question


class Disk(Answer):
    """Space of the file system that the project is on, in bytes."""

    free: int
    total: int


class Lock(Answer):
    """Who holds the project, and why."""

    owner: str
    reason: str


class ProjectInfo(Answer):
    """What every page shows of the project."""

    name: str
    root: str
    host: str
    user: str
    version: str
    read_only: bool
    form: Literal["3.1", "4.0", "5.0"]
    n_jobs: int
    next_number: int
    note: str
    disk: Disk
    trash: Bytes
    settings: dict[str, Any] = Field(description="The draft `settings`: display settings kept.")
    problems: list[str] = Field(description="What was wrong in the pipeline file and survived.")
    front_end: bool = Field(description="Whether the pages themselves are part of this install.")


class NoteBody(Answer):
    """A note, and the version that a change must name."""

    text: str
    version: str


class NoteConflict(NoteBody):
    """Somebody else changed the note meanwhile: what it says now."""

    error: str


class NoteChange(Question):
    """A new text for a note; `version` is that of the text it is based on, empty to force."""

    text: str = Field(max_length=1_000_000)
    version: str = ""


class TrashedJobRow(Answer):
    """A deleted job that can come back; `group` are all jobs of the same delete."""

    n: int
    name: str
    alias: str | None
    word: str
    gui_name: str
    family: str
    status: str
    group: list[str]
    n_files: int
    n_bytes: int


class CleanedRow(Answer):
    """Files that were cleaned from a job that is there."""

    n: int
    name: str
    n_files: int
    n_bytes: int


class TrashInfo(Answer):
    """The Trash."""

    n_files: int
    n_bytes: int
    jobs: list[TrashedJobRow]
    cleaned: list[CleanedRow]


class Rhythm(Question):
    """How scheduled jobs are run; RELION's dialogue has the same fields and defaults."""

    jobs: list[int] = Field(min_length=1, max_length=10_000)
    name: str = Field("schedule1", min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")
    times: int = Field(1, ge=1, le=1_000_000)
    wait_before_min: float = Field(0.0, ge=0, le=1e6)
    wait_between_min: float = Field(15.0, ge=0, le=1e6)
    wait_after_s: float = Field(10.0, ge=0.2, le=1e6)


class AutorunRow(Answer):
    """One run of scheduled jobs; `log` are its last lines."""

    name: str
    is_running: bool
    log: list[str]


class StopAutorun(Question):
    """Which run of scheduled jobs to end."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_.-]+$")


class DraftBody(Answer):
    """What was kept under a key; version 0 and no value where there is nothing."""

    key: str
    value: Any = None
    version: int = 0
    saved: str | None = None
    by: str | None = None


class DraftChange(Question):
    """A new value; `version` is that of the value it is based on (0: there was none)."""

    value: Any
    version: int = Field(0, ge=0)
    by: str | None = Field(None, max_length=100, description="Who: the name of a window.")


class DraftConflict(Answer):
    """Somebody else changed it meanwhile: what is kept now."""

    error: str
    theirs: DraftBody


class Hit(Answer):
    """One thing that a search found; `target` says where to go: a job number, word, path or act."""

    kind: Literal["job", "type", "node", "action"]
    title: str
    detail: str
    target: str
    score: float


class SearchResult(Answer):
    """What fits, best first."""

    query: str
    hits: list[Hit]
