"""vitreous: cryo-EM single-particle structure determination in Python.

Names are loaded when they are first used, so that `import vitreous` takes no time
and never loads torch.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from vitreous._version import __version__

if TYPE_CHECKING:
    from vitreous.actions import Project
    from vitreous.io import read_star, read_volume, write_star, write_volume

# NumPy asks the system for pages of 2 MiB. Where its memory is scattered these have to be put
# together first, which took four times as long as filling an array; unless you say otherwise.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

__all__ = [
    "Project",
    "__version__",
    "read_star",
    "read_volume",
    "write_star",
    "write_volume",
]

_HOME = {
    "Project": "vitreous.actions",
    "read_star": "vitreous.io",
    "write_star": "vitreous.io",
    "read_volume": "vitreous.io",
    "write_volume": "vitreous.io",
}


def __getattr__(name: str) -> object:
    """Load a public name from where it lives."""
    if name not in _HOME:
        message = f"module 'vitreous' has no attribute '{name}'"
        raise AttributeError(message)
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
