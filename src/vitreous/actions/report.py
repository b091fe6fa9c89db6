"""What `status` and `show` tell, as plain dicts whose fields are fixed."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from vitreous.errors import InputError, VitreousError
from vitreous.jobs import evaluate, job_star, registry
from vitreous.jobs.declare import Start
from vitreous.jobs.job_type import JobType
from vitreous.project import markers, notes
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.running import record
from vitreous.running.state import job_state

SCHEMA = 1
INTERACTIVE = "interactive"
_MARKERS = {
    Status.SUCCEEDED: markers.SUCCESS,
    Status.FAILED: markers.FAILURE,
    Status.ABORTED: markers.ABORTED,
}


class ProgressRow(TypedDict):
    """What a running job does now."""

    phase: str
    done: int
    total: int
    unit: str
    rate: float
    seconds_left: float | None


class HeadlineRow(TypedDict):
    """A number that a job is judged by."""

    name: str
    label: str
    value: float | str
    unit: str


class JobRow(TypedDict):
    """One job of the list."""

    number: int
    name: str
    alias: str | None
    type: str
    word: str
    title: str
    status: str
    interactive: bool
    since: str | None
    queued_since: str | None
    queue_id: str | None
    host: str | None
    reason: str
    headline: list[HeadlineRow]
    progress: ProgressRow | None
    warnings: int


class StatusReport(TypedDict):
    """The project and all its jobs."""

    schema: int
    project: str
    form: str
    next_number: int
    jobs: list[JobRow]


class OptionValue(TypedDict):
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


class NodeRow(TypedDict):
    """One file that a job reads or makes."""

    path: str
    type: str
    exists: bool
    job: str | None
    used_by: list[str]


class JobReport(JobRow):
    """Everything about one job."""

    folder: str
    options: list[OptionValue]
    unknown: dict[str, str]
    inputs: list[NodeRow]
    outputs: list[NodeRow]
    plots: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    warning_list: list[dict[str, Any]]
    commands: list[str]
    note: str


def status_report(folder: ProjectFolder, pipeline: Pipeline) -> StatusReport:
    """Return the jobs of a project in the order of their numbers.

    Parameters
    ----------
    folder, pipeline
        The project.
    """
    processes = sorted(pipeline, key=lambda process: process.number)
    return {
        "schema": SCHEMA,
        "project": str(folder.root),
        "form": pipeline.form,
        "next_number": pipeline.counter,
        "jobs": [job_row(folder.root, process) for process in processes],
    }


def job_row(root: Path, process: Process) -> JobRow:
    """Return one line of the list of jobs."""
    path = f"{root}/{process.name}"
    known = _json(path + record.PROCESS)
    results = _json(path + record.RESULTS)
    status, queued_since = process.status, None
    is_of_this_end = known.get("state") in (status.lower(), "running")  # as `reason_of` of a record
    reason = known.get("exit_reason") if is_of_this_end else ""
    if status is Status.RUNNING:
        state = job_state(root, process)
        status, reason = state.status, state.reason
        queued_since = state.since if state.is_queued else None
    job_type = job_type_of(process.type_label)
    return {
        "number": process.number,
        "name": process.name,
        "alias": process.alias,
        "type": process.type_label,
        "word": job_type.word if job_type else process.type_folder,
        "title": job_type.gui_name if job_type else process.type_folder,
        "status": status.value,
        "interactive": known.get("state") == INTERACTIVE and status is Status.RUNNING,
        "since": _since(path, process, known),
        "queued_since": queued_since,
        "queue_id": known.get("queue_id") or None,
        "host": known.get("host") or None,
        "reason": reason or "",
        "headline": results.get("headline", []),
        "progress": _progress(Path(path))
        if status is Status.RUNNING and not queued_since
        else None,
        "warnings": sum(int(one.get("count", 1)) for one in results.get("warnings", [])),
    }


def job_report(folder: ProjectFolder, pipeline: Pipeline, process: Process) -> JobReport:
    """Return everything that is known of one job."""
    path = folder.root / process.name
    results = _json(path / record.RESULTS)
    known = _json(path / record.PROCESS)
    options, unknown = options_of(path)
    return {
        **job_row(folder.root, process),
        "folder": str(path),
        "options": options,
        "unknown": unknown,
        "inputs": _nodes(folder.root, pipeline, process, makes=False),
        "outputs": _nodes(folder.root, pipeline, process, makes=True),
        "plots": results.get("plots", []),
        "timing": results.get("timing", []),
        "warning_list": results.get("warnings", []),
        "commands": list(known.get("command", [])),
        "note": notes.read_note(path),
    }


@cache
def job_type_of(label: str) -> JobType | None:
    """Return the job type of a label, or None for one that is not ours (tomography)."""
    try:
        return registry.find(label)
    except InputError:
        return None


def _json(path: Path | str) -> dict[str, Any]:
    """Read a file of the job's contract; nothing where it is not there or damaged.

    A list of jobs reads two of them for each job, so that microseconds count.
    """
    try:
        with open(path, "rb", buffering=0) as stream:
            found = json.loads(stream.read())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _since(path: str, process: Process, known: Mapping[str, Any]) -> str | None:
    """Return when the job came into its state, ISO 8601 in UTC."""
    if process.status.is_finished:
        told = known.get("ended")
        marker = path + _MARKERS[process.status]
    else:
        told = known.get("started") or known.get("submitted")
        marker = path + job_star.JOB_STAR
    if told:
        return str(told)
    try:
        when = datetime.fromtimestamp(os.stat(marker).st_mtime, UTC)
    except OSError:
        return None
    return when.isoformat(timespec="seconds").replace("+00:00", "Z")


def _progress(path: Path) -> ProgressRow | None:
    with contextlib.suppress(OSError):
        lines, _ = record.read_progress(path)
        if lines:
            last = lines[-1]
            return {
                "phase": str(last.get("phase", "")),
                "done": int(last.get("done") or 0),
                "total": int(last.get("total") or 0),
                "unit": str(last.get("unit", "")),
                "rate": float(last.get("rate") or 0.0),
                "seconds_left": last.get("left_s"),
            }
    return None


def options_of(path: Path) -> tuple[list[OptionValue], dict[str, str]]:
    """Return the options of a job and what else its settings hold; nothing where they are gone."""
    try:
        file = job_star.read_job(path)
    except VitreousError:
        try:
            return [], dict(job_star.read_raw(path).texts)
        except VitreousError:
            return [], {}
    return list(_option_values(file)), dict(file.unknown)


def _option_values(file: job_star.JobFile) -> Iterator[OptionValue]:
    from vitreous.jobs import codec
    from vitreous.jobs.checks import matters

    texts = evaluate.to_text(file.options)
    start = Start(is_continue=file.is_continue)
    for spec, value in evaluate.option_items(file.options):
        default = codec.to_text(spec, spec.default)
        yield {
            "name": spec.name,
            "key": spec.key,
            "label": spec.label.strip().rstrip(":"),
            "tab": spec.tab,
            "value": value,
            "text": texts.get(spec.key, ""),
            "default": default,
            "changed": value != spec.default,
            "used": matters(file.options, spec, start),
        }


def _nodes(root: Path, pipeline: Pipeline, process: Process, *, makes: bool) -> list[NodeRow]:
    nodes = pipeline.outputs(process.name) if makes else pipeline.inputs(process.name)
    return [
        {
            "path": node.name,
            "type": node.type_label,
            "exists": (root / node.name).exists(),
            "job": pipeline.producer(node.name),
            "used_by": pipeline.consumers(node.name),
        }
        for node in nodes
    ]
