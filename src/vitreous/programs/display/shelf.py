"""What the worker has open: tables and images, kept while somebody looks at them."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import MissingFileError
from vitreous.io import Star, read_star
from vitreous.project.paths import Reach

T = TypeVar("T")
_TABLES_MIB: Final = 256
_PICTURES_MIB: Final = 384


class Kept:
    """Things that are dear to make, the last used ones, up to so many bytes.

    Parameters
    ----------
    most_MiB
        How much is kept.
    """

    def __init__(self, most_MiB: int) -> None:
        self._most = most_MiB << 20
        self._held = 0
        self._things: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what is kept under a key, or make it; two askers make it once."""
        with self._lock:
            if key in self._things:
                self._things.move_to_end(key)
                found: T = self._things[key][0]
                return found
            lock = self._making.setdefault(key, threading.Lock())
        with lock:
            with self._lock:
                if key in self._things:
                    return self._things[key][0]  # type: ignore[no-any-return]  # made meanwhile
            made = make()
            n_bytes = size(made)
            with self._lock:
                self._making.pop(key, None)
                self._things[key] = (made, n_bytes)
                self._held += n_bytes
                while self._held > self._most and len(self._things) > 1:
                    _, (_, gone) = self._things.popitem(last=False)
                    self._held -= gone
            return made


class Shelf:
    """The files of one project, as far as they may be looked at.

    Parameters
    ----------
    root
        The project folder, absolute.
    data
        Folders outside of it that links may lead into.
    """

    def __init__(self, root: Path, data: Sequence[Path] = ()) -> None:
        self.root = root
        self._reach = Reach(root, *data)
        self._tables = Kept(_TABLES_MIB)
        self.pictures = Kept(_PICTURES_MIB)

    def path(self, name: str) -> Path:
        """Return the file of a name below the project.

        Raises
        ------
        MissingFileError
            It is not there, or lies where nobody may look.
        """
        path = self.root / name
        if self.is_outside(name):
            raise MissingFileError(
                f"{name} lies outside the project. To show such data, start the server with "
                "`vitreous gui --data FOLDER`."
            )
        if not path.is_file():
            raise MissingFileError(f"{name}: there is no such file in the project.")
        return path

    def is_outside(self, name: str) -> bool:
        """Tell whether a file lies where nobody may look."""
        return not self._reach.holds(self.root / name)

    def version(self, name: str) -> str:
        """Return a text that changes whenever a file does."""
        found = os.stat(self.path(name))
        return f"{found.st_mtime_ns:x}-{found.st_size:x}-{found.st_ino:x}"

    def star(self, name: str) -> Star:
        """Return a STAR file."""
        path = self.path(name)
        key = (name, self.version(name))
        size = path.stat().st_size
        return self._tables.get(key, lambda: read_star(path), lambda _: 3 * size)


def bytes_of(arrays: Sequence[NDArray[Any]]) -> int:
    """Return how much memory arrays take; mapped files take none."""
    return sum(0 if isinstance(one, np.memmap) else one.nbytes for one in arrays)
