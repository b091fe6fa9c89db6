"""The outputs of a job when it ends, is marked by hand, or is about to continue."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitreous.errors import FormatError, ProjectError
from vitreous.project import node_types, process_types
from vitreous.project.folder import ProjectFolder
from vitreous.project.markers import read_marker, write_marker
from vitreous.project.output_nodes import read_output_nodes
from vitreous.project.pipeline import Pipeline, Process, Status

_REFINEMENTS: Final = {
    "relion.class2d": "class2d",
    "relion.class3d": "class3d",
    "relion.refine3d": "refine3d",
    "relion.initialmodel": "initialmodel",
}
# In list order: the first run, then continuations from iteration 1-9, 10-99, 100-999.
_ROOTS: Final = ("run_it*", "run_ct?_it*", "run_ct??_it*", "run_ct???_it*")


@dataclass(frozen=True)
class Completed:
    """A job whose end was noticed.

    Parameters
    ----------
    process
        The job with its new state.
    missing
        Outputs that were expected and are not there.
    warnings
        Other things worth telling, such as an unreadable list of output nodes.
    """

    process: Process
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_completion(folder: ProjectFolder) -> list[Completed]:
    """Set every running job whose exit marker is there to its final state.

    The program that ran the job may have been started by anybody: RELION, a queue, a shell.
    Nothing is locked or written while no marker is found.
    """
    running = [p.name for p in folder.read() if p.status is Status.RUNNING]
    if not any(read_marker(folder.job_dir(name)) for name in running):
        return []
    completed = []
    with folder.edit("noting which jobs have ended") as pipeline:
        for process in list(pipeline):
            status = read_marker(folder.job_dir(process.name))
            if process.status is Status.RUNNING and status:
                completed.append(finish(folder, pipeline, process.name, status))
    return completed


def finish(folder: ProjectFolder, pipeline: Pipeline, name: str, status: Status) -> Completed:
    """Set the final state of a job in a pipeline being edited, and add outputs that it listed."""
    process = pipeline.set_status(name, status)
    warnings: tuple[str, ...] = ()
    if status is Status.SUCCEEDED:
        warnings = add_listed_outputs(folder, pipeline, name)
    missing = missing_outputs(folder, pipeline, name) if status is Status.SUCCEEDED else ()
    return Completed(process, tuple(missing), warnings)


def mark(folder: ProjectFolder, ref: str | int, status: Status) -> Completed:
    """Mark a job as finished (succeeded) or failed by hand.

    A refinement gets the files of its last iteration as outputs; output nodes without a file
    are dropped (pipeline.md section 6).

    Raises
    ------
    ProjectError
        It is a refinement without a finished iteration: nothing could be used. It stays as
        it was.
    """
    with folder.edit(f"marking {ref} as {status.lower()}") as pipeline:
        process = pipeline.find(ref)
        if process_types.base_label(process.type_label) in _REFINEMENTS:
            add_last_iteration(folder, pipeline, process)
        warnings = add_listed_outputs(folder, pipeline, process.name)
        missing = drop_missing_outputs(folder, pipeline, process.name)
        marked = pipeline.set_status(process.name, status)
    _leave_marker(folder.job_dir(process.name), status)
    return Completed(marked, tuple(missing), warnings)


def _leave_marker(job_dir: Path, status: Status) -> None:
    """Leave the exit marker too: a pipeline rebuilt from the folders then knows the state."""
    with contextlib.suppress(OSError):
        write_marker(job_dir, status)


def add_listed_outputs(folder: ProjectFolder, pipeline: Pipeline, name: str) -> tuple[str, ...]:
    """Add what `RELION_OUTPUT_NODES.star` of a job lists; return what is wrong with it."""
    try:
        nodes = read_output_nodes(folder.job_dir(name))
    except FormatError as error:
        return (str(error),)
    for node in nodes:
        pipeline.add_output(name, node.name, node.type_label, node.depth)
    return ()


def add_last_iteration(folder: ProjectFolder, pipeline: Pipeline, process: Process) -> str:
    """Add the optimiser, data and maps of the last iteration as outputs; return its root."""
    job_dir = folder.job_dir(process.name)
    optimiser = last_optimiser(job_dir)
    if optimiser is None:
        raise ProjectError(
            f"{process.name}: no finished iteration (run_it*_optimiser.star) is there, so there "
            f"is nothing that another job could use. It stays {process.status}; delete it, or "
            f"run it again."
        )
    word = _REFINEMENTS[process_types.base_label(process.type_label)]
    root = optimiser.removesuffix("_optimiser.star")
    is_refine = word == "refine3d"
    maps = f"{root}_half1_class*.mrc" if is_refine else f"{root}_class*.mrc"
    found = [(optimiser, f"{node_types.OPTIMISER}.{word}")]
    found.append((f"{root}_data.star", f"{node_types.PARTICLES}.{word}"))
    for path in sorted(job_dir.glob(maps)):
        if re.fullmatch(r".*_class\d{3}\.mrc", path.name):
            kind = "halfmap." if is_refine else ""
            found.append((path.name, f"{node_types.DENSITY_MAP}.relion.{kind}{word}"))
    for file, label in found:
        pipeline.add_output(process.name, process.name + file, label)
    return root


def last_optimiser(job_dir: Path) -> str | None:
    """Return the name of the optimiser file of the last iteration, continuations last."""
    found: list[str] = []
    for root in _ROOTS:
        found += sorted(path.name for path in job_dir.glob(f"{root}_optimiser.star"))
    return found[-1] if found else None


def missing_outputs(folder: ProjectFolder, pipeline: Pipeline, name: str) -> list[str]:
    """Return the outputs of a job whose file does not exist."""
    return [n.name for n in pipeline.outputs(name) if not (folder.root / n.name).exists()]


def drop_missing_outputs(folder: ProjectFolder, pipeline: Pipeline, name: str) -> list[str]:
    """Remove output nodes without a file, and return them.

    Also done before a refinement continues: its expected last iteration may have changed. A
    node that another job reads stays, or that job would lose its input.
    """
    missing = missing_outputs(folder, pipeline, name)
    gone = [node for node in missing if not pipeline.consumers(node)]
    pipeline.remove_nodes(gone)
    return gone
