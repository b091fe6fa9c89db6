"""Paths that a browser names: inside the project, or below a folder that was listed at the start.

A path is taken as it lies after all symbolic links: a link that leads out of the project is
followed only into a listed folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from vitreous.gui.refusals import RefusedError, not_found
from vitreous.project.paths import Reach


class Confinement:
    """What may be read.

    Parameters
    ----------
    root
        The project folder.
    data
        Folders outside of it that links in the project may lead into.
    """

    def __init__(self, root: Path, data: Sequence[Path] = ()) -> None:
        self.root = root
        self.reach = Reach(root, *data)

    def path(self, text: str) -> Path:
        """Return the file or folder of a path below the project.

        Parameters
        ----------
        text
            Relative to the project.

        Raises
        ------
        RefusedError
            It is not there, or lies where nobody may look (404 in both cases).
        """
        if "\0" in text:
            raise RefusedError(400, "A path with a NUL character is no path.")
        parts = Path(text).parts
        if not parts or os.path.isabs(text) or ".." in parts:
            raise not_found(f"{text!r}: wanted a path below the project folder, without '..'.")
        path = self.root / text
        real = os.path.realpath(path)
        if not self.reach.holds(real):
            raise not_found(_outside(text, self.root))
        if not os.path.exists(real):
            raise not_found(f"{text}: there is no such file in the project.")
        return path


def _outside(text: str, root: Path) -> str:
    path = root
    for part in Path(text).parts:
        path /= part
        if path.is_symlink():
            break
    name = os.path.relpath(path, root)
    return (
        f"{text}: {name} is a link out of the project. To show such data, start the server with "
        "`vitreous gui --data FOLDER`, once for each folder that holds them."
    )
