"""Import the program of a job, with the settings that libraries read while they are loaded."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import os
import sys
from collections.abc import Callable
from typing import Any


def set_up_libraries(n_threads: int) -> None:
    """Tell libraries what they read once, when they are loaded."""
    os.environ["OMP_NUM_THREADS"] = str(n_threads)
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages for torch: fewer faults


def load_program(dotted: str, check_abort: Callable[[], None]) -> Callable[..., Any]:
    """Import a program; where the job is asked to stop meanwhile, that ends the import."""
    module, _, name = dotted.partition(":")
    looking = _LookAround(check_abort)
    sys.meta_path.insert(0, looking)
    gc.disable()  # an import leaves nothing to collect, and looking takes a sixth of its time
    try:
        program: Callable[..., Any] = getattr(importlib.import_module(module), name)
    finally:
        gc.freeze()
        gc.enable()
        sys.meta_path.remove(looking)
    return program


class _LookAround(importlib.abc.MetaPathFinder):
    """Finds no module, but is asked for each of the hundreds that an import brings along."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        """Look, and leave the module to others."""
        del fullname, path, target
        self._look()
