"""Jobs: the list, one job, what it found, and what can be done to it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from vitreous.gui.models.common import Answer, Json, ProblemRow, Question

Status = Literal["Running", "Scheduled", "Succeeded", "Failed", "Aborted"]


class ProgressRow(Answer):
    """How far a running job is; `total` is 0 and `seconds_left` null where nobody knows."""

    phase: str
    done: int
    total: int
    unit: str
    rate: float
    seconds_left: float | None


class HeadlineRow(Answer):
    """A number that a job is judged by."""

    name: str
    label: str
    value: float | int | str | None
    unit: str


class JobRow(Answer):
    """One job of the list. Times are ISO 8601 in UTC."""

    n: int
    name: str
    alias: str | None
    word: str
    gui_name: str
    family: str
    type: str
    status: Status
    waits_for_you: bool
    queued_since: str | None
    queue_id: str | None
    host: str | None
    reason: str
    created: str | None
    started: str | None
    ended: str | None
    progress: ProgressRow | None
    headline: list[HeadlineRow]
    n_warnings: int
    inputs: list[int] = Field(description="Jobs whose output it reads, by number.")
    outputs: list[int] = Field(description="Jobs that read its output, by number.")
    note_first_line: str


class OptionRow(Answer):
    """One option of a job as it was set."""

    name: str
    key: str
    label: str
    tab: str
    value: Any
    text: str
    default: str
    changed: bool
    used: bool


class NodeRow(Answer):
    """A file between jobs; `what` is what people call it, `count` its rows where it is a list."""

    path: str
    type: str
    what: str
    job: int | None
    exists: bool
    count: int | None = None
    box_px: int | None = None
    pixel_size_A: float | None = None
    n_bytes: int | None = None
    modified: str | None = None
    used_by: list[int] = Field(default_factory=list)


class Reason(Answer):
    """Why a job failed or was stopped, and what can be done, the best first."""

    cause: str
    remedies: list[str]
    last_lines: list[str]


class JobDetail(JobRow):
    """Everything about one job."""

    folder: str
    about: str
    options: list[OptionRow]
    unknown: dict[str, str]
    input_nodes: list[NodeRow]
    output_nodes: list[NodeRow]
    process: Json | None = Field(description="process.json, where the job has one.")
    commands: list[str]
    timing: list[Json]
    warning_list: list[Json]
    plots: list[Json]
    failure: Reason | None
    can: list[str] = Field(
        description="What may be done: continue, overwrite, abort, mark, clean, harsh_clean, "
        "delete, start, edit."
    )


class Neighbour(Answer):
    """A job next to another one, through these files."""

    n: int
    name: str
    alias: str | None
    gui_name: str
    family: str
    status: str
    nodes: list[NodeRow]


class Neighbours(Answer):
    """The jobs before or after a job; `outside` are files that no job made."""

    n: int
    jobs: list[Neighbour]
    outside: list[NodeRow]


class FileRow(Answer):
    """One file or folder below a job."""

    path: str
    is_folder: bool
    n_bytes: int
    modified: str
    kind: str


class FileList(Answer):
    """Files of a folder, folders first."""

    path: str
    files: list[FileRow]
    n_all: int
    parent: str | None


class LogText(Answer):
    """A part of run.out or run.err; read on from byte `next`. `size` is the whole file."""

    n: int
    stream: Literal["out", "err"]
    start: int
    next: int
    size: int
    text: str


class NewJob(Question):
    """A job to make, go on with or make again.

    `values` are by our name or RELION's key. A second request with the same `request_id` gets
    the answer of the first and does nothing.
    """

    word: str = Field(max_length=100)
    values: dict[str, Any] = Field(default_factory=dict)
    mode: Literal["run", "schedule", "continue", "overwrite"] = "run"
    job: int | None = Field(None, description="The job that is continued or overwritten.")
    alias: str | None = Field(None, max_length=200)
    schedule: bool = Field(False, description="Only schedule what is continued or overwritten.")
    request_id: str = Field(min_length=8, max_length=100)


class MadeJob(Answer):
    """The job that was made."""

    n: int
    name: str
    status: Status
    waits_for_you: bool
    warnings: list[ProblemRow]


class Alias(Question):
    """A new alias; null takes it away."""

    alias: str | None = Field(max_length=200)


class Mark(Question):
    """What a job is marked as by hand."""

    state: Literal["finished", "failed"]


class Clean(Question):
    """How to clean; with `dry_run` nothing moves."""

    harsh: bool = False
    dry_run: bool = True


class CleanedJob(Answer):
    """What cleaning moves, or moved, from one job; `refused` says why it is left alone."""

    n: int
    name: str
    alias: str | None
    gui_name: str
    harsh: bool
    n_files: int
    n_bytes: int
    n_bytes_before: int
    files: list[tuple[str, int]] = Field(description="The first 500: path and bytes.")
    kept: list[tuple[str, str]] = Field(description="The first 500: path and why it stays.")
    refused: str | None


class CleanReport(Answer):
    """What cleaning moves to the Trash."""

    dry_run: bool
    n_files: int
    n_bytes: int
    jobs: list[CleanedJob]


class Delete(Question):
    """With `dry_run` nothing moves; without it jobs that depend on this one go only if `yes`."""

    dry_run: bool = True
    yes: bool = False


class DeletedJob(Answer):
    """One job that goes to the Trash; `because_of` names the job whose output it reads."""

    n: int
    name: str
    alias: str | None
    gui_name: str
    status: str
    n_files: int
    n_bytes: int
    because_of: str | None


class DeleteReport(Answer):
    """What a delete moves to the Trash; `blocked` says what stands against it."""

    dry_run: bool
    jobs: list[DeletedJob]
    n_files: int
    n_bytes: int
    blocked: list[str]


class Undelete(Question):
    """Jobs to bring back by their folder, with all of the same delete if `whole_group`."""

    names: list[str] = Field(min_length=1, max_length=10_000)
    whole_group: bool = False


class Undeleted(Answer):
    """What came back."""

    jobs: list[int]
    files: list[str]
    warnings: list[str]


class GraphNode(Answer):
    """A job in the graph; `x`, `y` (its centre) and the layer where a layout was asked for."""

    n: int
    name: str
    alias: str | None
    word: str
    gui_name: str
    family: str
    status: str
    waits_for_you: bool
    layer: int | None = None
    x: float | None = None
    y: float | None = None


class GraphEdge(Answer):
    """Files that go from one job to another."""

    source: int
    target: int
    nodes: list[str]
    what: str
    count: int | None = None


class Graph(Answer):
    """All jobs and what passes between them."""

    jobs: list[GraphNode]
    edges: list[GraphEdge]
    width: float | None = None
    height: float | None = None
