"""Aliases: a second, meaningful name of a job, kept as a symlink beside its folder.

The rules are RELION's (pipeline.md section 6). `Type/alias` points to `../Type/jobNNN/`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from vitreous.errors import InputError
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Pipeline, Process

FORBIDDEN: Final = '*?()/"\\|#<>&%{}$'
_SHORTEST: Final = 2


def set_alias(folder: ProjectFolder, ref: str | int, alias: str | None) -> Process:
    """Give a job an alias, change it, or take it away.

    Parameters
    ----------
    folder
        The project.
    ref
        Which job.
    alias
        The new name without folder; None or an empty text removes the alias. A leading
        ``Type/`` of the job's own folder is accepted.

    Raises
    ------
    InputError
        The alias breaks the rules; all that is wrong with it is told at once, and nothing
        was changed.
    """
    with folder.edit(f"alias of {ref}") as pipeline:
        process = pipeline.find(ref)
        stored = checked_alias(pipeline, process, alias)
        _refuse_taken_path(folder.root, process, stored)
        return pipeline.set_alias(process.name, stored)


def checked_alias(pipeline: Pipeline, process: Process, alias: str | None) -> str | None:
    """Return an alias as it is stored (``Type/alias/``), None for an empty one.

    Raises
    ------
    InputError
        It breaks the rules; the message lists all of them that it breaks.
    """
    text = (alias or "").strip().removeprefix(f"{process.type_folder}/").rstrip("/")
    text = text.replace(" ", "_")
    if not text or text == "None":
        return None
    stored = f"{process.type_folder}/{text}/"
    problems = list(_broken_rules(text))
    owner = next((p for p in pipeline if p.alias == stored and p.name != process.name), None)
    if owner:
        problems.append(f"{owner.name} has it already; choose another, such as '{text}_2'")
    if problems:
        raise InputError(f"alias '{alias}' for {process.name}: {'; '.join(problems)}.")
    return stored


def _broken_rules(text: str) -> list[str]:
    problems = []
    if len(text) < _SHORTEST:
        problems.append(f"it needs at least {_SHORTEST} characters")
    if text.startswith("job"):
        problems.append("it must not start with 'job', which is how job folders start")
    found = [character for character in FORBIDDEN if character in text]
    if found:
        clean = "".join(c for c in text if c not in FORBIDDEN)
        problems.append(f"it must not hold {' '.join(found)}; '{clean}' would do")
    if any(not c.isprintable() for c in text):
        problems.append("it must not hold control characters")
    if text in {".", ".."} or text.startswith("."):
        problems.append("it must not start with a dot, which hides the folder")
    return problems


def _refuse_taken_path(root: Path, process: Process, stored: str | None) -> None:
    """Refuse a name that a real file or folder has: the symlink could not be made."""
    if stored is None:
        return
    path = root / stored.rstrip("/")
    if os.path.lexists(path) and not path.is_symlink():
        raise InputError(
            f"alias '{stored}' for {process.name}: there is a file or folder of that name already; "
            f"choose another."
        )
