"""2D classification."""

from __future__ import annotations

from vitreous.jobs.class2d import Class2D
from vitreous.jobs.context import Run
from vitreous.programs.refine.program import refine


def run(options: Class2D, run: Run) -> None:
    """Sort particles into two-dimensional class averages."""
    refine(options, run)
