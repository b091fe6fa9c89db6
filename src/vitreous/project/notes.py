"""Notes: `note.txt` of a job, the notes of the project, and all of them in one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vitreous.io.atomic import write_text
from vitreous.project.folder import ProjectFolder, cannot_write
from vitreous.project.pipeline import Process

NOTE: Final = "note.txt"
PROJECT_NOTE: Final = "project_note.txt"


def append_commands(job_dir: Path, commands: Sequence[str], now: time.struct_time) -> None:
    """Append what a start of the job executes, in RELION's form.

    Parameters
    ----------
    job_dir
        Folder of the job.
    commands
        One command per line, as they are executed.
    now
        Local time of the start.
    """
    lines = (
        "",
        f" ++++ Executing new job on {time.asctime(now)}",
        " ++++ with the following command(s): ",
        *commands,
        " ++++ ",
    )
    try:
        with (job_dir / NOTE).open("a", encoding="utf-8") as stream:
            stream.write("\n".join(lines) + "\n")
    except OSError as error:
        raise cannot_write(job_dir / NOTE, error) from error


def read_note(job_dir: Path) -> str:
    """Return the note of a job, empty if it has none."""
    return _read(job_dir / NOTE)


def write_note(job_dir: Path, text: str) -> None:
    """Replace the note of a job."""
    _write(job_dir / NOTE, text)


def read_project_note(folder: ProjectFolder) -> str:
    """Return the notes of the project, empty if there are none."""
    return _read(folder.root / PROJECT_NOTE)


def write_project_note(folder: ProjectFolder, text: str) -> None:
    """Replace the notes of the project."""
    _write(folder.root / PROJECT_NOTE, text)


def write_all_notes(folder: ProjectFolder) -> Path:
    """Join the notes of all jobs, in the order of the jobs, in one file and return its path."""
    sections = []
    for process in folder.read():
        note = read_note(folder.job_dir(process.name))
        sections.append(f"{_header(process)}\n{note.rstrip()}\n\n")
    path = folder.root / f"{folder.name}_all_notes.txt"
    _write(path, "".join(sections))
    return path


def _header(process: Process) -> str:
    title = f" {process.name}"
    if process.alias:
        title += f" ({process.alias})"
    rule = " " + "#" * (len(title) + 1)
    return f"{rule}\n{title}\n{rule}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise cannot_write(path, error) from error
