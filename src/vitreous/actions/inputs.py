"""Checks of what a new job reads: is the file there, does its type fit, does it lie inside."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from vitreous.actions import paths
from vitreous.actions.nodes import noun, what_fits
from vitreous.errors import InputError, Problem
from vitreous.jobs.checks import matters
from vitreous.jobs.declare import Options, Start
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
        Paths that lie outside the project; programs, and files that are no part of the graph
        (gain reference, MTF), may lie anywhere.
    """
    stored: dict[str, object] = {}
    problems: list[Problem] = []
    for key, value in values.items():
        stored[key] = value
        try:
            spec = job_type.spec(key)
        except InputError:
            continue  # told by the one who makes the options
        if not spec.is_file or not isinstance(value, str | Path) or is_program(spec):
            continue
        try:
            stored[key] = pipeline.resolve(paths.inside(root, str(value)))
        except paths.OutsideError as error:
            if not _may_lie_outside(spec):
                problems.append(Problem(spec.name, str(error)))
    return stored, problems


def _may_lie_outside(spec: OptionSpec) -> bool:
    """Tell whether a file is no part of the graph: gain, MTF, defects, trained models."""
    return spec.kind == "file" and spec.directory in ("", ".") and not spec.key.startswith("fn_in")


def is_program(spec: OptionSpec) -> bool:
    """Tell whether a file is a program or a script, which a site puts where it likes."""
    return spec.kind == "file" and (spec.default_env != "" or spec.key == "fn_exe")


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
        elif not _is_there(root, path):
            problem = _absent(root, pipeline, path, wanted, may_wait=may_wait)
            if problem:
                yield Problem(option, problem)


def _is_there(root: Path, path: str) -> bool:
    """Tell whether a file is there, or any that fits a pattern."""
    return (root / path).is_file() or (
        glob.has_magic(path) and next(glob.iglob(path, root_dir=root), None) is not None
    )


def _absent(root: Path, pipeline: Pipeline, path: str, wanted: str, *, may_wait: bool) -> str:
    if glob.has_magic(path):
        return f"no file matches {path}{_similar(root, path)}"
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


def check_files(options: Options, start: Start, *, may_wait: bool) -> Iterator[Problem]:
    """Yield the files that are named and are not there, input nodes and programs apart.

    Parameters
    ----------
    options, start
        The job and how it is started.
    may_wait
        Whether files may come later (a scheduled job).
    """
    root = start.project
    if root is None or may_wait:
        return
    nodes = {item.option for item in options.inputs(start)}
    for spec in options.job_type.options.values():
        text = str(options.value(spec.name) or "")
        if spec.kind != "file" or spec.name in nodes or is_program(spec) or not text:
            continue
        if text.startswith("$$") or not matters(options, spec, start):
            continue
        if not _is_there(root, text):
            what = "no file matches" if glob.has_magic(text) else "there is no file"
            yield Problem(spec.name, f"{what} {text}{_similar(root, text)}")


def _similar(root: Path, text: str) -> str:
    """Return a hint: what lies in the folder that was named, or where the way ends."""
    folder = (root / text).parent
    shown = folder.relative_to(root) if folder.is_relative_to(root) else folder
    if glob.has_magic(str(folder)):
        return ""
    if not folder.is_dir():
        return f": there is no folder {shown}"
    endings = Counter(path.suffix for path in folder.iterdir() if path.is_file() and path.suffix)
    if not endings:
        return f": the folder {shown} holds no files"
    ending, count = endings.most_common(1)[0]
    files = "file that ends" if count == 1 else "files that end"
    return f": {shown} has {count} {files} in {ending}"
