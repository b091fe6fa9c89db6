"""What a check found: a text that says what is wrong and what it may cost, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that does not stop a job and that its user should know.

    Parameters
    ----------
    what
        What was found, what was expected, what it may cost. Equal texts are counted together.
    unit
        The row, file or optics group that it happened to.
    """

    what: str
    unit: str = ""


def name_a_few(names: Sequence[object], n_shown: int = 3) -> str:
    """Return ``a, b, c and 17 more``."""
    shown = ", ".join(str(name) for name in names[:n_shown])
    rest = len(names) - n_shown
    return f"{shown} and {rest:,} more" if rest > 0 else shown
