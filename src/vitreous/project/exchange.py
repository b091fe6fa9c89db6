"""Export and import of scheduled jobs: a chain of prepared jobs for another project.

The folder `ExportJobs/NAME` is that of RELION 3.1, whose names of jobs become `Type/expNNN/`.
RELION leaves `job.star` out, so that the options are lost; here it is part of the export
(pipeline.md section 9).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from vitreous.errors import InputError
from vitreous.io.atomic import write_text
from vitreous.io.star import Star, format_star, read_star
from vitreous.io.star_table import Table
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.job_files import JOB_PIPELINE
from vitreous.project.pipeline import Pipeline, Process, Status
from vitreous.project.pipeline_columns import NAME
from vitreous.project.pipeline_file import parse_pipeline

FOLDER: Final = "ExportJobs"
LIST: Final = "exported.star"
_TEXTS: Final = ("job.star", "run.job", "note.txt", JOB_PIPELINE)


def export_scheduled(folder: ProjectFolder, name: str) -> Path:
    """Write all scheduled jobs of a project to ``ExportJobs/NAME`` and return that folder.

    Raises
    ------
    InputError
        There is no scheduled job, one has an alias, or the export exists; nothing is written.
    """
    scheduled = [process for process in folder.read() if process.status is Status.SCHEDULED]
    target = folder.root / FOLDER / name
    _check_export(scheduled, target, name)
    names = {
        process.name: f"{process.type_folder}/exp{number:03d}/"
        for number, process in enumerate(scheduled, 1)
    }
    try:
        for process in scheduled:
            _copy_texts(folder.job_dir(process.name), target / names[process.name], names)
        table = Table.from_columns("exported", {NAME: list(names.values())})
        write_text(target / LIST, format_star(Star([table])))
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise cannot_write(target, error) from error
    return target


def import_scheduled(folder: ProjectFolder, path: Path) -> list[Process]:
    """Add the jobs of an export as scheduled jobs with new numbers, and return them.

    Parameters
    ----------
    folder
        The project that gets them.
    path
        Folder of the export, or its `exported.star`.

    Raises
    ------
    InputError
        It is no export, or a part of it is missing; nothing is changed.
    """
    source = path.parent if path.name == LIST else path
    parts = {name: _exported_part(source, name) for name in _exported_names(source)}
    made: list[Path] = []
    try:
        with folder.edit(f"importing {source.name}") as pipeline:
            names: dict[str, str] = {}
            for old, part in parts.items():
                label = part.processes[old].type_label
                process = pipeline.add_process(old.split("/")[0], label, Status.SCHEDULED)
                names[old] = process.name
            for old, part in parts.items():
                _add_nodes(pipeline, part, old, names)
                made.append(folder.job_dir(names[old]))
                _copy_texts(source / old, made[-1], names)
            return [pipeline.processes[name] for name in names.values()]
    except OSError as error:
        _remove(made)
        raise cannot_write(folder.root, error) from error
    except BaseException:
        _remove(made)
        raise


def _check_export(scheduled: list[Process], target: Path, name: str) -> None:
    problems = []
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        problems.append("the name may hold letters, digits, '_', '-' and dots inside")
    if not scheduled:
        problems.append("the project has no scheduled job; `vitreous run --schedule` makes one")
    named = [f"{process.name} ({process.alias})" for process in scheduled if process.alias]
    if named:
        problems.append(f"these jobs have an alias, remove it first: {', '.join(named)}")
    if target.exists():
        problems.append(f"{target} exists; choose another name")
    if problems:
        raise InputError(f"export '{name}': {'; '.join(problems)}.")


def _exported_names(source: Path) -> list[str]:
    table = read_star(source / LIST).first
    if NAME not in table:
        raise InputError(f"{source / LIST}: it has no column _{NAME}, so it lists no jobs.")
    names = [str(name) for name in table[NAME].tolist()]
    wrong = [name for name in names if not re.fullmatch(r"[^./][^/]*/exp\d{3,}/", name)]
    missing = [name for name in names if not (source / name / JOB_PIPELINE).exists()]
    if wrong or missing:
        raise InputError(
            f"{source / LIST}: these are no exported jobs with a {JOB_PIPELINE}: "
            f"{', '.join(dict.fromkeys([*wrong, *missing]))}. Export them again."
        )
    return names


def _exported_part(source: Path, name: str) -> Pipeline:
    path = source / name / JOB_PIPELINE
    part = parse_pipeline(path.read_bytes(), str(path))
    if name not in part.processes:
        raise InputError(f"{path}: the job {name} is not in it. Export it again.")
    return part


def _add_nodes(pipeline: Pipeline, part: Pipeline, old: str, names: Mapping[str, str]) -> None:
    for node in part.outputs(old):
        pipeline.add_output(names[old], _renamed(node.name, names), node.type_label, node.depth)
    for node in part.inputs(old):
        pipeline.add_input(names[old], _renamed(node.name, names), node.type_label)


def _copy_texts(source: Path, target: Path, names: Mapping[str, str]) -> None:
    target.mkdir(parents=True)
    for file in _TEXTS:
        if (source / file).exists():
            text = (source / file).read_text(encoding="utf-8", errors="surrogateescape")
            (target / file).write_text(
                _renamed(text, names), encoding="utf-8", errors="surrogateescape"
            )


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Return a text with the names of jobs replaced where a path begins with them."""
    found = "|".join(re.escape(name) for name in names)
    return re.sub(rf"(?<![\w./-])({found})", lambda match: names[match[1]], text)


def _remove(folders: list[Path]) -> None:
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
