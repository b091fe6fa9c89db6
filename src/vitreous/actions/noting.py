"""Names and notes: alias, note of a job, notes of the project."""

from __future__ import annotations

from pathlib import Path

from vitreous.errors import ProjectError
from vitreous.project import notes
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Process


def add_note(folder: ProjectFolder, process: Process | None, text: str) -> str:
    """Append text to the note of a job, or of the project, and return the whole note."""
    before = read_note(folder, process)
    gap = "" if not before or before.endswith("\n") else "\n"
    return set_note(folder, process, f"{before}{gap}{text.rstrip()}\n")


def set_note(folder: ProjectFolder, process: Process | None, text: str) -> str:
    """Replace the note of a job, or of the project, and return it."""
    if folder.read_only:
        raise ProjectError(f"{folder.root} was opened read-only; the note was not changed.")
    if process is None:
        notes.write_project_note(folder, text)
    else:
        notes.write_note(folder.job_dir(process.name), text)
    return text


def read_note(folder: ProjectFolder, process: Process | None) -> str:
    """Return the note of a job, or of the project where `process` is None."""
    if process is None:
        return notes.read_project_note(folder)
    return notes.read_note(folder.job_dir(process.name))


def all_notes(folder: ProjectFolder) -> Path:
    """Join all notes in one file and return its path."""
    if folder.read_only:
        raise ProjectError(f"{folder.root} was opened read-only; no file was written.")
    return notes.write_all_notes(folder)
