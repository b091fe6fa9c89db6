"""Paths inside the project: how they are stored, and which ones are refused."""

from __future__ import annotations

import os
from pathlib import Path

from vitreous.errors import ProjectError


def check_inside(root: Path, path: str) -> str:
    """Return a stored path if it stays inside the project.

    Parameters
    ----------
    root
        Project folder.
    path
        As a pipeline file has it: relative to the project.

    Raises
    ------
    ProjectError
        It is absolute or climbs out with ``..``: a pipeline file must never make us touch
        anything else.
    """
    normal = os.path.normpath(path)
    if path.startswith("/") or normal in {".", ".."} or normal.startswith("../"):
        raise ProjectError(
            f"{root}: '{path}' lies outside the project. Only paths inside it are used; "
            f"link or copy what you need into the project folder."
        )
    return path


def relative_path(root: Path, path: str) -> str:
    """Return a path that a user gave as it is stored: relative to the project.

    An absolute path into the project is made relative. Symlinks are not followed: a link in
    the project to data elsewhere is the usual way to bring data in.

    Raises
    ------
    ProjectError
        The path leads out of the project.
    """
    if path.startswith("/"):
        for base in (root, root.resolve()):
            if Path(path).is_relative_to(base):
                return str(Path(path).relative_to(base)) + ("/" if path.endswith("/") else "")
    return check_inside(root, path)


class Reach:
    """Folders that files may be read from, whatever links lead there.

    Parameters
    ----------
    *folders
        The project, and folders outside of it that links in the project may lead into.
    """

    def __init__(self, *folders: Path | str) -> None:
        self.folders = tuple(os.path.realpath(folder) for folder in folders)

    def holds(self, path: Path | str) -> bool:
        """Tell whether a path, after all symbolic links, lies in one of the folders."""
        real = os.path.realpath(path)
        return any(
            real == base or real.startswith(base.rstrip(os.sep) + os.sep) for base in self.folders
        )
