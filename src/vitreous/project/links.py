"""The symlink of an alias: `Type/alias` -> `../Type/jobNNN/`, beside the job's folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vitreous.errors import ProjectError
from vitreous.project.paths import check_inside
from vitreous.project.pipeline import Pipeline


def make_link(root: Path, alias: str, name: str) -> None:
    """Point an alias at its job; a link that points elsewhere is replaced.

    Parameters
    ----------
    root
        Project folder.
    alias, name
        ``Class2D/good/`` and ``Class2D/job007/``.
    """
    path = root / check_inside(root, alias.rstrip("/"))
    target = os.path.relpath(root / check_inside(root, name), path.parent)
    # RELION writes the way through the folder above, and the trailing slash.
    if path.parent.name and target == Path(name).name:
        target = f"../{path.parent.name}/{target}"
    if path.is_symlink():
        if path.readlink() == Path(target):
            return
        path.unlink()
    elif path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(f"{target}/")


def remove_link(root: Path, alias: str, name: str) -> None:
    """Remove the symlink of an alias, if it is one and points at this job."""
    path = root / check_inside(root, alias.rstrip("/"))
    if path.is_symlink() and path.readlink().name == Path(name).name:
        path.unlink()


def remake_missing(root: Path, pipeline: Pipeline) -> list[str]:
    """Make every alias symlink that is missing, and return the aliases.

    RELION does so each time it reads the pipeline. A folder that cannot be written is left.
    """
    made = []
    for process in pipeline:
        if process.alias and not os.path.lexists(root / process.alias.rstrip("/")):
            with contextlib.suppress(OSError, ProjectError):
                make_link(root, process.alias, process.name)
                made.append(process.alias)
    return made
