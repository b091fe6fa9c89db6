"""Memory of micrographs that were worked on, which others are read into.

The system clears the pages of new memory when they are first touched; for a micrograph that costs
more than reading it.
"""

from __future__ import annotations

import queue
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.io import read_image


class ReusedMemory:
    """Reads micrographs, in any thread, into memory that was given back."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[NDArray[np.float32]] = queue.SimpleQueue()

    def read(self, path: Path) -> NDArray[np.float32]:
        """Return the pixels of a micrograph ``(y, x)``."""
        try:
            memory = self._free.get_nowait()
        except queue.Empty:
            memory = None
        return read_image(path, memory=memory).data

    def give_back(self, micrograph: NDArray[np.float32]) -> None:
        """Take back what `read` returned and nobody will look at any more."""
        if micrograph.flags.c_contiguous and micrograph.dtype == np.float32:
            self._free.put(micrograph)
