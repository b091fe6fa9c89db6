"""Checks that follow from the declaration of an option alone: needed, typed, in range, there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vitreous.errors import Problem, VitreousError
from vitreous.jobs import codec
from vitreous.jobs import when as rules
from vitreous.jobs.declare import Options, Start
from vitreous.jobs.job_type import hard_limits, value_of
from vitreous.jobs.needs import wanted_file
from vitreous.jobs.spec import OptionSpec, Value
from vitreous.project import node_types

if TYPE_CHECKING:
    from vitreous.project.pipeline import Pipeline


def check_values(options: Options, start: Start) -> Iterator[Problem]:
    """Yield what is wrong with single values, option by option.

    Parameters
    ----------
    options
        Options of a job.
    start
        How it is started.
    """
    for spec in options.job_type.options.values():
        value, text = value_of(options, spec), options.texts.get(spec.name, "")
        if not matters(options, spec, start):
            continue
        yield from _needed(spec, value)
        wrong = list(_readable(spec, text, value)) or list(hard_limits(spec, value, text))
        yield from wrong or _suggested(spec, value, text)


def check_files(options: Options, start: Start) -> Iterator[Problem]:
    """Yield what is wrong with the files that become input nodes: missing, or of a wrong type.

    A file that an unfinished job is to write counts as there. Nothing is looked at where
    `start` has no project.
    """
    if start.project is None:
        return
    pipeline = _pipeline(start.project)
    for item in options.inputs(start):
        spec = options.job_type.options[item.option]
        path = str(value_of(options, spec))
        if path and not codec.is_variable(path):
            wanted = item.node_type or spec.reads
            yield from _node(spec, path, wanted, start.project, pipeline)


def matters(options: Options, spec: OptionSpec, start: Start) -> bool:
    """Tell whether an option has an effect: its rule holds, and it belongs to this start."""
    if spec.on_continue == "only" and start.is_new:
        return False
    return rules.holds(spec.when, options.value)


def _needed(spec: OptionSpec, value: Value) -> Iterator[Problem]:
    if spec.required and value in ("", None):
        yield Problem(spec.name, f"is empty; give {wanted_file(spec.reads)}")


def _readable(spec: OptionSpec, text: str, value: Value) -> Iterator[Problem]:
    try:
        if text:
            codec.from_text(spec, text)
        elif spec.choices:
            codec.from_text(spec, str(value))
    except codec.TextError as error:
        if value == spec.default or not text:
            yield Problem(spec.name, str(error))


def _suggested(spec: OptionSpec, value: Value, text: str) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float) or codec.is_variable(text):
        return
    if value in (spec.off, spec.default) or spec.low is None or spec.high is None:
        return
    if not spec.low <= value <= spec.high:
        yield Problem(
            spec.name,
            f"is {value:g}; {spec.low:g} to {spec.high:g} is usual",
            severity="warning",
        )


def _pipeline(project: Path) -> Pipeline | None:
    from vitreous.project.folder import ProjectFolder

    try:
        return ProjectFolder.open(project).read()
    except VitreousError:
        return None


def _node(
    spec: OptionSpec, path: str, wanted: str, project: Path, pipeline: Pipeline | None
) -> Iterator[Problem]:
    node = pipeline.nodes.get(pipeline.resolve(path)) if pipeline else None
    if node is not None and not node_types.accepts(wanted, node.type_label):
        yield Problem(
            spec.name,
            f"is {path}, which holds {node.type_label}; give {wanted_file(wanted)}",
        )
    elif not _is_there(project, path) and not _is_coming(path, pipeline):
        near = _like(path, wanted, pipeline)
        yield Problem(spec.name, f"is {path}, which does not exist{near}")


def _is_there(project: Path, path: str) -> bool:
    """Tell whether a file is there, or any that fits a pattern below the project."""
    if "*" in path and not path.startswith("/"):
        return next(project.glob(path), None) is not None
    return (project / path).exists()


def _is_coming(path: str, pipeline: Pipeline | None) -> bool:
    """Tell whether a job that has not ended is to write the file."""
    producer = pipeline.producer(pipeline.resolve(path)) if pipeline else None
    if pipeline is None or producer is None:
        return False
    return pipeline.processes[producer].status in ("Scheduled", "Running")


def _like(path: str, wanted: str, pipeline: Pipeline | None) -> str:
    import difflib

    nodes = pipeline.nodes.values() if pipeline else ()
    fitting = [node.name for node in nodes if node_types.accepts(wanted, node.type_label)]
    near = difflib.get_close_matches(path, fitting, n=1, cutoff=0.4) or fitting[-1:]
    return f"; did you mean {near[0]}?" if near else f"; give {wanted_file(wanted)}"
