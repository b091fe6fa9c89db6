"""The inner loop that reads and writes rows: compiled where it was built, else plain Python."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from mmap import mmap
from typing import Any, Protocol

import numpy as np

from vitreous.io import star_rows
from vitreous.io.star_rows import Rows, Trouble


class Kernel(Protocol):
    """Two functions; `star_rows` says what they do."""

    def parse_rows(
        self, content: bytes | mmap, start: int, kinds: str, permissive: bool, release: bool = False
    ) -> Rows:
        """Read the rows of a loop."""

    def format_rows(
        self,
        columns: Sequence[np.ndarray],
        kinds: str,
        comments: np.ndarray | None,
        begin: int,
        end: int,
    ) -> bytes:
        """Write some rows of a loop."""


class Plain:
    """The reference."""

    parse_rows = staticmethod(star_rows.parse_rows)
    format_rows = staticmethod(star_rows.format_rows)


class Compiled:
    """The functions of `_star.cpp`, with named results."""

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - a module without type information
        self._module = module
        self.format_rows = module.format_rows

    def parse_rows(
        self, content: bytes | mmap, start: int, kinds: str, permissive: bool, release: bool = False
    ) -> Rows:
        """Read the rows of a loop."""
        columns, end, n_lines, comments, troubles = self._module.parse_rows(
            content, start, kinds, permissive, release
        )
        return Rows(columns, end, n_lines, comments, [Trouble(*trouble) for trouble in troubles])


def compiled() -> Compiled | None:
    """Return the compiled kernel, or None where the package was built without one."""
    try:
        return Compiled(importlib.import_module("vitreous.io._star"))
    except ImportError:
        return None


#: What readers and writers use.
active: Kernel = compiled() or Plain()
