"""Bringing deleted jobs back from the Trash: one, or all of a delete, as they were.

True states: RELION restores a single job with the state it had when it started. Here the
state at deletion counts, else the exit marker in the folder (pipeline.md section 6).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vitreous.errors import InputError, ProjectError
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.job_files import JOB_PIPELINE
from vitreous.project.markers import read_marker
from vitreous.project.moving import Moves, size_below
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.trash import DELETED_PIPELINE


@dataclass(frozen=True)
class TrashedJob:
    """A deleted job that can come back.

    Parameters
    ----------
    process
        The job with its true state.
    group
        All jobs of the same delete that are still in the Trash, this one included.
    n_files, n_bytes
        What is in its folder.
    """

    process: Process
    group: tuple[str, ...]
    n_files: int
    n_bytes: int


@dataclass(frozen=True)
class Restored:
    """What an undelete did.

    Parameters
    ----------
    processes
        The jobs that are back.
    warnings
        Aliases that were given to other jobs meanwhile, inputs whose job is still deleted.
    """

    processes: tuple[Process, ...]
    warnings: tuple[str, ...]


def list_trash(folder: ProjectFolder) -> list[TrashedJob]:
    """Return the deleted jobs in the Trash by number."""
    found = []
    parts = _parts(folder)
    for name, part in parts.items():
        group = tuple(other for other in part.processes if other in parts)
        n_files, n_bytes = size_below(folder.trash / name)
        found.append(TrashedJob(part.processes[name], group, n_files, n_bytes))
    return sorted(found, key=lambda job: (job.process.number, job.process.name))


def undelete(
    folder: ProjectFolder, refs: Iterable[str | int], *, whole_group: bool = False
) -> Restored:
    """Bring jobs back: their folders with all files, cleaned ones too, states and edges.

    Parameters
    ----------
    folder
        The project.
    refs
        Jobs by path or number.
    whole_group
        Bring back every job of the same delete too.

    Raises
    ------
    InputError
        A job is not in the Trash; the message says what is.
    ProjectError
        A job or folder of that name exists.
    """
    parts = _parts(folder)
    names = [_find(folder, parts, ref) for ref in refs]
    if whole_group:
        names = [n for name in names for n in parts[name].processes if n in parts]
    names = sorted(set(names), key=lambda n: (parts[n].processes[n].number, n))
    moves = Moves()
    try:
        with folder.edit(f"undeleting {', '.join(names[:3])}") as pipeline:
            warnings = []
            for name in names:
                _refuse_existing(folder, pipeline, name)
                moves.move(folder.trash / name, folder.job_dir(name))
                # A delete that was cut off left the job in the pipeline.
                if name not in pipeline.processes:
                    warnings += _merge_job(pipeline, parts[name], name)
            warnings += _missing_parents(folder, pipeline, names)
            restored = tuple(pipeline.processes[name] for name in names)
    except OSError as error:
        moves.undo()
        raise cannot_write(folder.root, error) from error
    except BaseException:
        moves.undo()
        raise
    _hand_on_records(folder, parts, names)
    return Restored(restored, tuple(warnings))


def _parts(folder: ProjectFolder) -> dict[str, Pipeline]:
    """Return for each job in the Trash the graph it was deleted with, with true states."""
    parts: dict[str, Pipeline] = {}
    for path in sorted(folder.trash.glob(f"*/job*/{DELETED_PIPELINE}")):
        part = _readable(path)
        for name in part.processes if part else ():
            if part and _is_in_trash(folder, name):
                parts[name] = part
    for path in sorted(folder.trash.glob(f"*/job*/{JOB_PIPELINE}")):
        name = f"{path.parent.relative_to(folder.trash)}/"
        part = None if name in parts else _readable(path)
        if part and name in part.processes:
            part.processes[name] = _true_state(path.parent, part.processes[name])
            parts[name] = part
    return parts


def _readable(path: Path) -> Pipeline | None:
    """Return a pipeline, None for a file that is no whole one: other jobs still come back."""
    try:
        return read_pipeline(path)
    except ProjectError:
        return None


def _is_in_trash(folder: ProjectFolder, name: str) -> bool:
    return (folder.trash / name).is_dir()


def _true_state(trashed: Path, process: Process) -> Process:
    """Correct a state that may be the one at the start, which is all that RELION records."""
    if process.status.is_finished:
        return process
    marker = read_marker(trashed)
    if marker is None and process.status is Status.RUNNING:
        marker = Status.FAILED
    return replace(process, status=marker or process.status)


def _hand_on_records(folder: ProjectFolder, parts: dict[str, Pipeline], names: list[str]) -> None:
    """Give the record of a delete to a job of it that is still in the Trash, else remove it."""
    for name in names:
        record = folder.job_dir(name) / DELETED_PIPELINE
        left = [n for n in parts[name].processes if n not in names and _is_in_trash(folder, n)]
        if record.exists() and left:
            record.replace(folder.trash / left[0] / DELETED_PIPELINE)
        record.unlink(missing_ok=True)


def _find(folder: ProjectFolder, parts: dict[str, Pipeline], ref: str | int) -> str:
    listed = Pipeline(processes={name: part.processes[name] for name, part in parts.items()})
    try:
        return listed.find(ref).name
    except ProjectError as error:
        names = ", ".join(parts) or "nothing"
        raise InputError(f"{folder.trash}: no deleted job '{ref}'. There is {names}.") from error


def _refuse_existing(folder: ProjectFolder, pipeline: Pipeline, name: str) -> None:
    if folder.job_dir(name).exists():
        raise ProjectError(
            f"{name} cannot come back: a job of that name exists. Delete it first, or rename "
            f"its folder if it is not a job."
        )


def _merge_job(pipeline: Pipeline, part: Pipeline, name: str) -> list[str]:
    """Add one job of `part` to the pipeline; a clashing alias becomes None."""
    warnings = []
    process = part.processes[name]
    owner = next((p for p in pipeline if process.alias and p.alias == process.alias), None)
    if owner:
        warnings.append(
            f"{name} comes back without its alias {process.alias}, which {owner.name} has now."
        )
        process = replace(process, alias=None)
    pipeline.put_process(process)
    for node in part.outputs(name):
        pipeline.add_output(name, node.name, node.type_label, node.depth)
    for node in part.inputs(name):
        pipeline.add_input(name, node.name, node.type_label)
    return warnings


def _missing_parents(folder: ProjectFolder, pipeline: Pipeline, names: list[str]) -> list[str]:
    return [
        f"{name} reads {node.name}, whose job is not there; bring that job back too."
        for name in names
        for node in pipeline.inputs(name)
        if pipeline.producer(node.name) is None and not (folder.root / node.name).exists()
    ]
