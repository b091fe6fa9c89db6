"""Repair of a lost or corrupted pipeline file: from the newest backup, or from the folders.

Each job folder holds a copy of the whole pipeline as it was when the job was added, and a small
pipeline of the job itself. The backup alone is what RELION's users copy back by hand; here it
is brought up to date with what the folders show (pipeline.md section 7).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitreous.errors import LockedError, ProjectError
from vitreous.io.atomic import write_text
from vitreous.project import lock
from vitreous.project.discovery import (
    adopt,
    aliases_on_disk,
    find_unlisted,
    job_folders,
    look_at,
)
from vitreous.project.folder import HAS_CHANGED, ProjectFolder, cannot_write
from vitreous.project.markers import read_marker
from vitreous.project.outputs import add_listed_outputs
from vitreous.project.pipeline import Form, Pipeline, Status, job_number
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.pipeline_text import format_pipeline


@dataclass(frozen=True)
class RepairReport:
    """What a repair found and did.

    Parameters
    ----------
    source
        The backup that was used, None where the pipeline was built from the folders.
    kept_broken
        Where the broken file was put, None where there was none.
    n_jobs, n_nodes, counter
        What the new pipeline holds, and the number of the next job.
    adopted
        Jobs that were newer than the backup and were read from their folders.
    dropped
        Jobs of the backup that were deleted since: their folder is not there.
    restated
        Jobs whose state the exit marker corrected: job, old, new.
    renamed
        Aliases that were younger than the backup and came from their symlinks.
    doubtful
        Jobs without an exit marker whose state could not be made sure.
    lock
        Whose stale lock was removed, None if there was none.
    """

    source: str | None
    kept_broken: str | None
    n_jobs: int
    n_nodes: int
    counter: int
    adopted: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    restated: tuple[tuple[str, Status, Status], ...] = ()
    renamed: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()
    lock: lock.Owner | None = None

    def lines(self) -> list[str]:
        """Return the report for a person, one sentence a line."""
        told = [
            f"The pipeline was taken from {self.source}."
            if self.source
            else "The pipeline was built anew from the job folders.",
            f"It has {_counted(self.n_jobs, 'job')} and {_counted(self.n_nodes, 'node')}; the next "
            f"job is {self.counter}.",
        ]
        if self.adopted:
            newer = "Newer than the backup, read" if self.source else "Read"
            told.append(f"{newer} from their folders: {_list(self.adopted)}.")
        if self.dropped:
            told.append(f"In the backup but deleted since, left out: {_list(self.dropped)}.")
        if self.restated:
            changes = [f"{name} {old} -> {new}" for name, old, new in self.restated]
            told.append(f"States corrected by exit markers: {_list(changes)}.")
        if self.renamed:
            told.append(f"Aliases taken from their symlinks: {_list(self.renamed)}.")
        if self.doubtful:
            told.append(f"Without an exit marker, check their state: {_list(self.doubtful)}.")
        if self.kept_broken:
            told.append(f"The broken file is kept as {self.kept_broken}.")
        if self.lock:
            told.append(f"The lock of {self.lock} was removed.")
        return told


def repair(
    folder: ProjectFolder, how: Literal["backup", "rebuild"] = "backup", *, force: bool = False
) -> RepairReport:
    """Make the pipeline file anew.

    Parameters
    ----------
    folder
        The project.
    how
        ``backup`` starts from the newest whole backup and falls back to ``rebuild``, which
        uses only what each job's own folder holds.
    force
        Remove a lock whose owner cannot be judged too; ask the user first.

    Raises
    ------
    LockedError
        Somebody alive holds the project.
    ProjectError
        There is nothing to make a pipeline from, or it cannot be written.
    """
    if folder.read_only:
        raise ProjectError(f"{folder.root} was opened read-only; nothing was repaired.")
    owner = _remove_stale_lock(folder, force=force)
    with lock.locked(folder.root, "repairing the pipeline", policy=folder.policy):
        path, pipeline = newest_backup(folder) if how == "backup" else (None, None)
        if pipeline is None:
            pipeline = Pipeline(form=_form_of_parts(folder))
        dropped = _drop_deleted(folder, pipeline)
        adopted = adopt(folder, pipeline, find_unlisted(folder, pipeline))
        if not pipeline.processes:
            raise ProjectError(
                f"{folder.root}: no job folder holds anything to make a pipeline from. "
                f"In an empty project `vitreous init` makes one."
            )
        renamed = _bring_up_to_date(folder, pipeline)
        restated, doubtful = _correct_states(folder, pipeline)
        _raise_counter(folder, pipeline)
        kept_broken = _write(folder, pipeline)
    return RepairReport(
        source=str(path.relative_to(folder.root)) if path else None,
        kept_broken=kept_broken,
        n_jobs=len(pipeline.processes),
        n_nodes=len(pipeline.nodes),
        counter=pipeline.counter,
        adopted=tuple(process.name for process in adopted),
        dropped=tuple(dropped),
        restated=tuple(restated),
        renamed=tuple(renamed),
        doubtful=tuple(doubtful),
        lock=owner,
    )


def newest_backup(folder: ProjectFolder) -> tuple[Path | None, Pipeline | None]:
    """Return the whole backup in the job folder with the highest number, and its content."""
    for name in reversed(job_folders(folder.root)):
        path = folder.job_dir(name) / folder.file.name
        try:
            return path, read_pipeline(path)
        except (ProjectError, OSError):
            continue
    return None, None


def _remove_stale_lock(folder: ProjectFolder, *, force: bool) -> lock.Owner | None:
    """Remove a lock that can go; a live one makes `locked` wait and refuse."""
    try:
        return lock.break_stale_lock(folder.root, force=force)
    except LockedError:
        return None


def _form_of_parts(folder: ProjectFolder) -> Form:
    """Return the form that the newest readable job wrote, that of RELION 5 without one."""
    for name in reversed(job_folders(folder.root)):
        source = look_at(folder, name, {}).source
        if source:
            return source.form
    return "5.0"


def _drop_deleted(folder: ProjectFolder, pipeline: Pipeline) -> list[str]:
    gone = [name for name in pipeline.processes if not folder.job_dir(name).is_dir()]
    pipeline.remove(gone)
    return gone


def _bring_up_to_date(folder: ProjectFolder, pipeline: Pipeline) -> list[str]:
    """Add the outputs that jobs listed and the aliases they got after the backup was made."""
    on_disk, renamed = aliases_on_disk(folder.root), []
    taken = {process.alias for process in pipeline}
    for process in list(pipeline):
        add_listed_outputs(folder, pipeline, process.name)
        alias = on_disk.get(process.name)
        if alias and process.alias is None and alias not in taken:
            pipeline.set_alias(process.name, alias)
            renamed.append(alias)
    return renamed


def _correct_states(
    folder: ProjectFolder, pipeline: Pipeline
) -> tuple[list[tuple[str, Status, Status]], list[str]]:
    """Believe exit markers more than a backup, which is older than they are."""
    restated, doubtful = [], []
    for process in list(pipeline):
        marker = read_marker(folder.job_dir(process.name))
        if marker and marker is not process.status:
            pipeline.set_status(process.name, marker)
            restated.append((process.name, process.status, marker))
        elif marker is None and process.status is Status.RUNNING:
            doubtful.append(process.name)
    return restated, doubtful


def _raise_counter(folder: ProjectFolder, pipeline: Pipeline) -> None:
    """Never give a number again: not one on disk, and not one in the Trash."""
    trashed = [job_number(str(path)) for path in folder.trash.glob("*/job*")]
    on_disk = [job_number(name) for name in job_folders(folder.root)]
    pipeline.counter = max([pipeline.counter, *(n + 1 for n in (*trashed, *on_disk))])


def _write(folder: ProjectFolder, pipeline: Pipeline) -> str | None:
    kept = None
    try:
        if folder.file.exists():
            number = 1
            while (broken := folder.root / f"{folder.file.name}.broken{number}").exists():
                number += 1
            shutil.copy2(folder.file, broken)
            kept = broken.name
        write_text(folder.file, format_pipeline(pipeline))
        (folder.root / HAS_CHANGED).touch()
    except OSError as error:
        raise cannot_write(folder.root, error) from error
    return kept


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _list(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:10])
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
