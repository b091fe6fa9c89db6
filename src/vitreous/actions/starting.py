"""Making a job and starting it, in the order of jobs.md section 4.

Checks come first and write nothing. Then, under the lock: the graph is read again and the
checks repeated, the settings are written, old markers go, the job enters the graph. Only then
its process is started. Where a write fails the new folder is taken away again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from vitreous.actions.planning import REFINEMENTS, Mode, Plan, Request, make_plan
from vitreous.errors import VitreousError
from vitreous.jobs import evaluate, job_star
from vitreous.jobs.declare import Options
from vitreous.project import job_files, markers, outputs, trash
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.moving import Moves
from vitreous.project.pipeline import Pipeline, Status
from vitreous.running import record


def create(folder: ProjectFolder, request: Request, environ: Mapping[str, str]) -> Plan:
    """Put a job in the graph and on disk, ready to be started.

    Parameters
    ----------
    folder
        The project.
    request
        What is wanted.
    environ
        The environment, which gives a site's defaults.

    Returns
    -------
    Plan
        The job, with the number that it got.

    Raises
    ------
    OptionError, InputError, ProjectError
        It cannot be made; nothing was written and the counter has not moved.
    """
    make_plan(folder.root, folder.read(), request, environ)  # refuse without taking the lock
    status = Status.SCHEDULED if request.schedule else Status.RUNNING
    try:
        with ExitStack() as undo, folder.edit(f"adding a job ({request.mode})") as pipeline:
            plan = make_plan(folder.root, pipeline, request, environ)
            name = _enter(folder, pipeline, plan, status, undo)
            plan = _with_name(plan, name, folder.root)
            _write_settings(folder.root, pipeline, plan)
            if status is Status.RUNNING:
                record.announce(folder.root / name)
            _connect(folder, pipeline, plan)
            if plan.mode is Mode.CONTINUE:  # a new job gets its own when the graph is written
                job_files.write_job_pipeline(folder.root, pipeline, name)
    except OSError as error:
        if isinstance(error, VitreousError):
            raise
        raise cannot_write(folder.root, error) from error
    return plan


def restart(folder: ProjectFolder, name: str) -> Options:
    """Make a scheduled job a running one; its folder and settings are there.

    Returns
    -------
    Options
        Its options.
    """
    file = job_star.read_job(folder.root / name)
    with folder.edit(f"starting {name}") as pipeline:
        record.announce(folder.root / name)
        pipeline.set_status(name, Status.RUNNING)
        markers.clear_markers(folder.root / name)
        job_files.write_job_pipeline(folder.root, pipeline, name)
    return file.options


def _enter(
    folder: ProjectFolder, pipeline: Pipeline, plan: Plan, status: Status, undo: ExitStack
) -> str:
    """Give the job its place in the graph and its folder, and return its name."""
    if plan.target is None:
        process = pipeline.add_process(plan.job_type.folder, plan.label, status, plan.alias)
        undo.enter_context(_removed_on_failure(folder.root / process.name))
        (folder.root / process.name).mkdir(parents=True)
        return process.name
    name = plan.target.name
    if plan.mode is Mode.OVERWRITE:
        moves = undo.enter_context(_undone_on_failure())
        undo.enter_context(_removed_on_failure(folder.root / name))
        trash.overwrite(folder, pipeline, moves, name, plan.label, status)
    pipeline.set_type(name, plan.label)
    pipeline.set_alias(name, plan.alias)
    pipeline.set_status(name, status)
    return name


@contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    """Take a new job folder away where the block fails."""
    try:
        yield
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.parent.rmdir()
        raise


@contextmanager
def _undone_on_failure() -> Iterator[Moves]:
    """Put what was moved to the Trash back where the block fails."""
    moves = Moves()
    try:
        yield moves
    except BaseException:
        moves.undo()
        raise


def _with_name(plan: Plan, name: str, root: Path) -> Plan:
    """Give a plan the folder that its job really got."""
    made = evaluate.output_nodes(plan.options, name, plan.file.is_continue, root)
    return replace(plan, name=name, outputs=tuple(made))


def _write_settings(root: Path, pipeline: Pipeline, plan: Plan) -> None:
    job_star.write_last_used(root, replace(plan.file, is_continue=False), pipeline.form)
    job_star.write_job(root / plan.name, plan.file, pipeline.form)
    markers.clear_markers(root / plan.name)


def _connect(folder: ProjectFolder, pipeline: Pipeline, plan: Plan) -> None:
    """Add the edges; a continued refinement first loses the outputs that it never wrote."""
    if plan.mode is Mode.CONTINUE and plan.job_type.word in REFINEMENTS:
        outputs.drop_missing_outputs(folder, pipeline, plan.name)
    for path, node_type in plan.inputs:
        pipeline.add_input(plan.name, path, node_type)
    for output in plan.outputs:
        if not output.late:
            pipeline.add_output(plan.name, output.path, output.node_type)
