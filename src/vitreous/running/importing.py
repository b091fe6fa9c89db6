"""Import the program of a job, with the settings that libraries read while they are loaded."""

from __future__ import annotations

import gc
import importlib
import importlib.abc
import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, Final

_LATER: Final = frozenset({"torch._meta_registrations"})
"""Modules that only compilers of programs need: a third of the time that torch takes to load."""


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
    """Is asked for each of the hundreds of modules that an import brings along."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Look, and leave the module to others, or for later."""
        del path, target
        self._look()
        return spec_from_loader(fullname, _Later()) if fullname in _LATER else None


class _Later(importlib.abc.Loader):
    """Leaves a module empty."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the empty module."""
        return _Unloaded(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Load nothing."""


class _Unloaded(ModuleType):
    """A module that is loaded when something in it is asked for."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)
