"""Moving files between the project and its Trash, and back if something fails on the way."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


class Moves:
    """Moves that are done one by one and can be undone together.

    Nothing that is in the way is lost: a file or folder at the destination is set aside.
    """

    def __init__(self) -> None:
        self._done: list[tuple[Path, Path]] = []

    def move(self, source: Path, target: Path) -> None:
        """Move a file, folder or symlink; the folder of the target is made."""
        if os.path.lexists(target):
            self.set_aside(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _rename(source, target)
        self._done.append((source, target))

    def replace(self, source: Path, target: Path) -> None:
        """Move a file over an older one of that name; a folder of that name is set aside."""
        if target.is_dir() and not target.is_symlink():
            self.set_aside(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _rename(source, target)
        self._done.append((source, target))

    def set_aside(self, path: Path) -> Path:
        """Give a file or folder that is in the way the first free name ``NAME.old1``, ...."""
        number = 1
        while os.path.lexists(free := path.with_name(f"{path.name}.old{number}")):
            number += 1
        _rename(path, free)
        self._done.append((path, free))
        return free

    def undo(self) -> None:
        """Put everything back where it was, last one first."""
        while self._done:
            source, target = self._done.pop()
            source.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                _rename(target, source)


def merge_folder(moves: Moves, source: Path, target: Path) -> list[Path]:
    """Move the files below `source` to the same places below `target`.

    A file that `target` has already stays, and the one in `source` too.

    Returns
    -------
    list[Path]
        The files in `target` that came.
    """
    moved = []
    for path in list(files_below(source)):
        wanted = target / path.relative_to(source)
        if not os.path.lexists(wanted):
            moves.move(path, wanted)
            moved.append(wanted)
    remove_empty_folders(source)
    return moved


def files_below(folder: Path) -> Iterator[Path]:
    """Iterate over all files and symlinks below a folder, at any depth, without following links."""
    for base, folders, names in os.walk(folder):
        for name in sorted(names):
            yield Path(base, name)
        for name in sorted(folders):
            if (path := Path(base, name)).is_symlink():
                yield path


def size_below(folder: Path) -> tuple[int, int]:
    """Return the number of files below a folder and their size in bytes."""
    count = total = 0
    for path in files_below(folder):
        count += 1
        total += path.lstat().st_size
    return count, total


def remove_empty_folders(folder: Path) -> None:
    """Remove a folder and those below it, as far as they are empty."""
    for base, _, _ in os.walk(folder, topdown=False):
        try:
            Path(base).rmdir()
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT}:
                raise


def _rename(source: Path, target: Path) -> None:
    """Rename, or copy and remove where the Trash is on another file system."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(source, target)
