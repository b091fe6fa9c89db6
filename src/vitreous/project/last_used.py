"""Where the options that a job type was last run with are kept: `.gui_<x>job.star`."""

from __future__ import annotations

from pathlib import Path


def last_used_path(root: Path, hidden_prefix: str) -> Path:
    """Return the file with the last used options of a job type.

    Parameters
    ----------
    root
        Project folder.
    hidden_prefix
        As the job type declares it: ``.gui_class2d`` (or ``class2d``).
    """
    prefix = hidden_prefix if hidden_prefix.startswith(".gui_") else f".gui_{hidden_prefix}"
    return root / f"{prefix}job.star"
