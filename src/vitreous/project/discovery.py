"""Jobs that are on disk and not in the pipeline: made by other programs, or lost.

RELION and the CCP-EM pipeliner write the pipeline file themselves, so their jobs appear when
it is read again. A job run from the shell, or one whose entry was lost, is found by its
folder `Type/jobNNN` and by what lies in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitreous.errors import InputError, ProjectError
from vitreous.io.star import read_star
from vitreous.project import process_types
from vitreous.project.folder import TRASH, ProjectFolder
from vitreous.project.job_files import JOB_PIPELINE
from vitreous.project.markers import read_marker
from vitreous.project.output_nodes import FILE as OUTPUT_NODES
from vitreous.project.outputs import add_listed_outputs
from vitreous.project.pipeline import Pipeline, Process, Status, job_folder, job_number
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.trash import DELETED_PIPELINE

_NO_TYPE_FOLDERS: Final = {TRASH, "Schemes", "Schedules", "ExportJobs"}
# Any of these shows that a folder is a job, not something else that is called so.
_SIGNS: Final = (
    "job.star",
    "run.job",
    JOB_PIPELINE,
    OUTPUT_NODES,
    "note.txt",
    "run.out",
    "RELION_JOB_EXIT_SUCCESS",
    "RELION_JOB_EXIT_FAILURE",
    "RELION_JOB_EXIT_ABORTED",
    "PIPELINER_JOB_EXIT_SUCCESS",
    "PIPELINER_JOB_EXIT_FAILED",
    "PIPELINER_JOB_EXIT_ABORTED",
)
_RUN_JOB_TYPE: Final = re.compile(r"^job_type == (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """A job found in its folder.

    Parameters
    ----------
    process
        The job with the state that its folder shows.
    source
        Its own small pipeline, None where it has none.
    """

    process: Process
    source: Pipeline | None


def discover(folder: ProjectFolder) -> list[Process]:
    """Add the jobs on disk that the pipeline lacks, and return them.

    Nothing is locked or written where there are none.
    """
    if not find_unlisted(folder, folder.read()):
        return []
    with folder.edit("adding jobs found in their folders") as pipeline:
        return adopt(folder, pipeline, find_unlisted(folder, pipeline))


def find_unlisted(folder: ProjectFolder, pipeline: Pipeline) -> list[Found]:
    """Return the jobs on disk that the pipeline lacks, by number. Nothing is written."""
    listed = pipeline.processes
    names = [n for n in job_folders(folder.root) if n not in listed and _is_job(folder.job_dir(n))]
    aliases = aliases_on_disk(folder.root) if names else {}
    return [look_at(folder, name, aliases) for name in names]


def adopt(folder: ProjectFolder, pipeline: Pipeline, jobs: list[Found]) -> list[Process]:
    """Add found jobs with their inputs and outputs to a pipeline being edited."""
    taken = {process.alias for process in pipeline}
    for job in jobs:
        clash = job.process.alias in taken
        pipeline.put_process(_without_alias(job.process) if clash else job.process)
    for job in jobs:
        name = job.process.name
        for node in job.source.outputs(name) if job.source else ():
            pipeline.add_output(name, node.name, node.type_label, node.depth)
        add_listed_outputs(folder, pipeline, name)
    for job in jobs:
        name = job.process.name
        for node in job.source.inputs(name) if job.source else ():
            pipeline.add_input(name, node.name, node.type_label)
    return [pipeline.processes[job.process.name] for job in jobs]


def look_at(folder: ProjectFolder, name: str, aliases: dict[str, str]) -> Found:
    """Read what a job's folder tells about it: type, state, alias, inputs and outputs.

    Parameters
    ----------
    folder
        The project.
    name
        The job's folder.
    aliases
        What `aliases_on_disk` found, for a job whose own record has no alias.
    """
    job_dir = folder.job_dir(name)
    source = _own_pipeline(job_dir / JOB_PIPELINE, name)
    recorded = source.processes[name] if source else None
    label = job_type_label(job_dir) or (recorded.type_label if recorded else None)
    status = read_marker(job_dir) or (recorded.status if recorded else Status.RUNNING)
    alias = (recorded.alias if recorded else None) or aliases.get(name)
    folder_label = process_types.from_folder(name.split("/", maxsplit=1)[0])
    return Found(Process(name, alias, label or folder_label, status), source)


def job_folders(root: Path) -> list[str]:
    """Return every folder ``Type/jobNNN/`` of a project by number, alias symlinks left out."""
    found = [name for type_dir in _type_folders(root) for name in _jobs_in(type_dir)]
    return sorted(found, key=lambda name: (job_number(name), name))


def aliases_on_disk(root: Path) -> dict[str, str]:
    """Return the alias of each job that a symlink ``Type/alias`` points at."""
    found: dict[str, str] = {}
    for type_dir in _type_folders(root):
        with os.scandir(type_dir.path) as entries:
            links = sorted(entry.name for entry in entries if entry.is_symlink())
        for link in links:
            target = Path(type_dir.path, link).readlink().name
            if job_number(target) >= 0:
                found.setdefault(f"{type_dir.name}/{target}/", f"{type_dir.name}/{link}/")
    return found


def job_type_label(job_dir: Path) -> str | None:
    """Return the type that `job.star` or the old `run.job` of a job names, None without one."""
    try:
        table = read_star(job_dir / "job.star").get("job")
    except InputError:
        table = None
    if table is not None:
        if "rlnJobTypeLabel" in table:
            return str(table.value("rlnJobTypeLabel"))
        if "rlnJobType" in table:
            return process_types.from_number(int(table.value("rlnJobType")))
    try:
        match = _RUN_JOB_TYPE.search((job_dir / "run.job").read_text(errors="replace"))
    except OSError:
        return None
    return process_types.from_number(int(match[1])) if match else None


def _type_folders(root: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(root) as entries:
        for entry in entries:
            hidden = entry.name.startswith(".") or entry.name in _NO_TYPE_FOLDERS
            if not hidden and entry.is_dir():
                yield entry


def _jobs_in(type_dir: os.DirEntry[str]) -> Iterator[str]:
    try:
        entries = os.scandir(type_dir.path)
    except OSError:
        return
    with entries:
        for entry in entries:
            number = job_number(entry.name)
            if number >= 0 and entry.is_dir(follow_symlinks=False):
                name = job_folder(type_dir.name, number)
                if name.endswith(f"/{entry.name}/"):
                    yield name


def _is_job(job_dir: Path) -> bool:
    """Tell whether a folder is a job; one on its way to the Trash is none."""
    if (job_dir / DELETED_PIPELINE).exists():
        return False
    return any((job_dir / sign).exists() for sign in _SIGNS)


def _own_pipeline(path: Path, name: str) -> Pipeline | None:
    try:
        part = read_pipeline(path)
    except (ProjectError, OSError):
        return None
    return part if name in part.processes else None


def _without_alias(process: Process) -> Process:
    return Process(process.name, None, process.type_label, process.status)
