"""vitreous: cryo-EM single-particle structure determination in Python.

Names are loaded when they are first used, so that `import vitreous` takes no time
and never loads torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vitreous._version import __version__

if TYPE_CHECKING:
    from vitreous.actions import Project
    from vitreous.io import read_star, read_volume, write_star, write_volume

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
