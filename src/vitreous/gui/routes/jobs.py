"""Jobs: the list, one job, what it found, its files and its neighbours; making one."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response

from vitreous.actions import Job, failures, report
from vitreous.actions.planning import REFINEMENTS
from vitreous.errors import InputError, Problem
from vitreous.gui.book import headline
from vitreous.gui.context import Here, Server
from vitreous.gui.models.common import Json
from vitreous.gui.models.forms import Check
from vitreous.gui.models.jobs import (
    FileList,
    FileRow,
    JobDetail,
    JobRow,
    MadeJob,
    Neighbour,
    Neighbours,
    NewJob,
    NodeRow,
    OptionRow,
    Reason,
)
from vitreous.gui.refusals import not_found, problem_rows
from vitreous.gui.routes.nodes import kind_of_file
from vitreous.gui.routes.types import find_type, request_of
from vitreous.gui.rows import bare_job, node_row, time_text
from vitreous.project.pipeline import Process, Status, job_number
from vitreous.running import record

router = APIRouter(prefix="/api/jobs", tags=["jobs"])
_MOST_FILES: Final = 5000
_GO_ON: Final = REFINEMENTS | {"motioncorr", "ctffind", "autopick", "extract", "import"}


@router.get("", response_model=list[JobRow])
def get_jobs(server: Here) -> Response:
    """Return every job by number."""
    return Response(server.book.encoded(), media_type="application/json")


@router.post("", status_code=201)
def make_job(server: Here, new: NewJob) -> MadeJob:
    """Make a job and start it, schedule it, go on with one, or make one again."""
    server.writable()
    return server.once.do(new.request_id, lambda: _make(server, new))


@router.get("/{n}")
def get_job(server: Here, n: int) -> JobDetail:
    """Return everything about a job."""
    job = server.job(n)
    told = server.project.show(job)
    process = job.process
    row = server.book.row(process)
    root, pipeline = server.project.root, server.project.pipeline
    failure = failures.explain(
        job.path, Status(row["status"]), row["reason"], goes_on=row["word"] in _GO_ON
    )
    job_type = report.job_type_of(process.type_label)
    headlines = [headline(one) for one in told["headline"]]  # a row has only the first of them
    return JobDetail(
        **row | {"headline": headlines},
        folder=str(job.path),
        about=job_type.title if job_type else "",
        options=[OptionRow(**_plain(one)) for one in told["options"]],
        unknown=told["unknown"],
        input_nodes=[node_row(root, pipeline, node) for node in pipeline.inputs(job.name)],
        output_nodes=[node_row(root, pipeline, node) for node in pipeline.outputs(job.name)],
        process=_json_file(job, record.PROCESS),
        commands=told["commands"],
        timing=record.plain(told["timing"]),
        warning_list=record.plain(told["warning_list"]),
        plots=record.plain(told["plots"]),
        failure=Reason(
            cause=failure.cause,
            remedies=list(failure.remedies),
            last_lines=list(failure.last_lines),
        )
        if failure
        else None,
        can=_can(server, process, row),
    )


@router.get("/{n}/results")
def get_results(server: Here, n: int) -> Json:
    """Return what a job found so far: headline, timing, plots, warnings."""
    found: Json = record.plain(record.read_results(server.job(n).path))
    return found


@router.get("/{n}/plots/{name}")
def get_plot(server: Here, n: int, name: str) -> Json:
    """Return the data of a plot, with its kind, title and axes."""
    job = server.job(n)
    listed = record.read_results(job.path).get("plots", [])
    about = next((one for one in listed if one.get("name") == name), None)
    if about is None:
        there = ", ".join(str(one.get("name")) for one in listed) or "none"
        raise not_found(f"Job {n} has no plot {name!r}; it has: {there}.")
    return {**record.plain(record.read_plot(job.path, name)), **record.plain(about)}


@router.get("/{n}/files")
def get_job_files(
    server: Here, n: int, under: Annotated[str, Query(max_length=4000)] = ""
) -> FileList:
    """Return the files of a job, or of a folder of it, with all that lies below."""
    job = server.job(n)
    folder = server.files.path(job.name + under)
    if not folder.is_dir():
        raise not_found(f"{job.name}{under} is not a folder.")
    rows: list[FileRow] = []
    n_all = 0
    for base, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            n_all += 1
            if len(rows) < _MOST_FILES:
                rows += _file_rows(server, os.path.join(base, name))
    return FileList(path=f"{job.name}{under}", files=rows, n_all=n_all, parent=None)


@router.get("/{n}/inputs")
def get_inputs(server: Here, n: int) -> Neighbours:
    """Return the jobs whose output a job reads, and the files that go between."""
    job, pipeline = server.job(n), server.project.pipeline
    root = server.project.root
    by_job: dict[str, list[NodeRow]] = {}
    outside = []
    for node in pipeline.inputs(job.name):
        producer = pipeline.producer(node.name)
        row = node_row(root, pipeline, node)
        if producer in pipeline.processes and producer is not None:
            by_job.setdefault(producer, []).append(row)
        else:
            outside.append(row)
    return Neighbours(n=n, jobs=_neighbours(server, by_job), outside=outside)


@router.get("/{n}/outputs")
def get_outputs(server: Here, n: int) -> Neighbours:
    """Return the jobs that read an output of a job, and the files that go between."""
    job, pipeline = server.job(n), server.project.pipeline
    by_job: dict[str, list[NodeRow]] = {}
    for node in pipeline.outputs(job.name):
        row = node_row(server.project.root, pipeline, node)
        for name in pipeline.consumers(node.name):
            by_job.setdefault(name, []).append(row)
    return Neighbours(n=n, jobs=_neighbours(server, by_job), outside=[])


def _make(server: Server, new: NewJob) -> MadeJob:
    job_type = find_type(new.word)
    check = Check(values=new.values, alias=new.alias, schedule=_is_scheduled(new))
    if new.mode in ("continue", "overwrite"):
        if new.job is None:
            raise InputError(f"say which job to {new.mode}")
        server.settled(new.job)
        field = "continue_job" if new.mode == "continue" else "overwrite_job"
        check = check.model_copy(update={field: new.job})
    request = request_of(server, job_type, check)
    warnings: list[Problem] = []
    with server.writing:
        job = server.project.make(
            request, background=not request.schedule, on_warning=warnings.append
        )
    server.changed("jobs", "graph")
    state = job.state
    return MadeJob(
        n=job.number,
        name=job.name,
        status=state.status.value,
        waits_for_you=job.is_interactive,
        warnings=problem_rows(warnings),
    )


def _is_scheduled(new: NewJob) -> bool:
    return new.mode == "schedule" or new.schedule


def _plain(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a typed dict
    return dict(row)


def _json_file(job: Job, name: str) -> Json | None:
    try:
        found = json.loads((job.path / name).read_text())
    except (OSError, ValueError):
        return None
    return record.plain(found) if isinstance(found, dict) else None


def _can(server: Server, process: Process, row: dict[str, Any]) -> list[str]:
    """Return what may be done with a job in its state; the acts themselves check again."""
    job_type = report.job_type_of(process.type_label)
    built = job_type is not None and job_type.is_built()
    status, acts = Status(row["status"]), ["delete"]
    if built and (status is not Status.RUNNING or row["waits_for_you"]):
        acts.append("continue")
    if built and status is not Status.RUNNING:
        acts.append("overwrite")
    if status is Status.RUNNING:
        acts.remove("delete")
        acts += ["abort", "mark"]
    if status in (Status.FAILED, Status.ABORTED):
        acts.append("mark")
    if status is Status.SCHEDULED:
        acts += ["start", "mark"]
    if status is Status.SUCCEEDED:
        acts += ["mark", "clean", "harsh_clean"]
    return acts


def _file_rows(server: Server, path: str) -> list[FileRow]:
    try:
        found = os.stat(path)
    except OSError:
        return []
    name = os.path.relpath(path, server.project.root)
    return [
        FileRow(
            path=name,
            is_folder=False,
            n_bytes=found.st_size,
            modified=time_text(found.st_mtime),
            kind=kind_of_file(name),
        )
    ]


def _neighbours(server: Server, by_job: dict[str, list[NodeRow]]) -> list[Neighbour]:
    processes = server.project.pipeline.processes
    rows = []
    for name in sorted(by_job, key=job_number):
        if name not in processes:
            continue
        about = bare_job(processes[name])
        rows.append(
            Neighbour(
                n=about.n,
                name=about.name,
                alias=about.alias,
                gui_name=about.gui_name,
                family=about.family,
                status=about.status,
                nodes=by_job[name],
            )
        )
    return rows
