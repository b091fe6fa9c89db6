"""Checks of what a new job reads: is the file there, does its type fit, does it lie inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from vitreous.actions import paths
from vitreous.actions.nodes import noun, what_fits
from vitreous.errors import InputError, Problem
from vitreous.jobs.job_type import JobType
from vitreous.jobs.spec import OptionSpec
from vitreous.project.node_types import accepts
from vitreous.project.pipeline import Pipeline, Status, job_of_path


def with_stored_paths(
    root: Path, pipeline: Pipeline, job_type: JobType, values: Mapping[str, object]
) -> tuple[dict[str, object], list[Problem]]:
    """Turn the paths among given values into the form that a project stores.

    Parameters
    ----------
    root, pipeline
        The project.
    job_type
        What is to be made.
    values
        As given, by our name or RELION's key.

    Returns
    -------
    dict
        The values: aliases turned into ``jobNNN``, absolute paths into relative ones.
    list of Problem
        Paths that lie outside the project; a warning where the file may lie anywhere (gain
        reference, MTF, programs).
    """
    stored: dict[str, object] = {}
    problems: list[Problem] = []
    for key, value in values.items():
        stored[key] = value
        try:
            spec = job_type.spec(key)
        except InputError:
            continue  # told by the one who makes the options
        if not spec.is_file or not isinstance(value, str | Path):
            continue
        try:
            stored[key] = pipeline.resolve(paths.inside(root, str(value)))
        except paths.OutsideError as error:
            if _may_lie_outside(spec):
                stored[key] = str(Path(value).expanduser())
            else:
                problems.append(Problem(spec.name, str(error)))
    return stored, problems


def _may_lie_outside(spec: OptionSpec) -> bool:
    """Tell whether a file is no part of the graph: programs, scripts, gain, MTF, models."""
    return spec.kind == "file" and spec.directory in ("", ".") and not spec.key.startswith("fn_in")


def check_inputs(
    root: Path, pipeline: Pipeline, inputs: Mapping[str, tuple[str, str]], *, may_wait: bool
) -> Iterator[Problem]:
    """Yield what is wrong with the input nodes of a job.

    Parameters
    ----------
    root, pipeline
        The project.
    inputs
        By option: the path, and the type of node that is wanted.
    may_wait
        Whether a file that another job has yet to make is good enough (a scheduled job).
    """
    for option, (path, wanted) in inputs.items():
        if not path or path.startswith("$$"):
            continue
        node = pipeline.nodes.get(path)
        if node is not None and not accepts(wanted, node.type_label):
            found = noun(node.type_label)
            fits = what_fits(pipeline, root, wanted)
            yield Problem(option, f"{path} holds {found}, wanted {noun(wanted)}. {fits}")
        elif not (root / path).is_file():
            problem = _absent(root, pipeline, path, wanted, may_wait=may_wait)
            if problem:
                yield Problem(option, problem)


def _absent(root: Path, pipeline: Pipeline, path: str, wanted: str, *, may_wait: bool) -> str:
    if (root / path).is_dir():
        return f"{path} is a folder, wanted a file. {what_fits(pipeline, root, wanted)}"
    maker = pipeline.processes.get(pipeline.producer(path) or job_of_path(path) or "")
    if maker is not None and maker.status in {Status.RUNNING, Status.SCHEDULED}:
        if may_wait:
            return ""
        state = maker.status.value.lower()
        return (
            f"{path} is not there yet: {maker.shown_name} is {state}. Wait for it, or schedule "
            "this job to run after it (--schedule)"
        )
    close = paths.nearest(path, (name for name in pipeline.nodes if (root / name).is_file()), n=1)
    near = f"; did you mean {close[0]}?" if close else "."
    return f"there is no file {path}{near} {what_fits(pipeline, root, wanted)}"
