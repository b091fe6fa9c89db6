"""3D classification."""

from __future__ import annotations

from vitreous.jobs.class3d import Class3D
from vitreous.jobs.context import Run
from vitreous.programs.refine.program import refine


def run(options: Class3D, run: Run) -> None:
    """Sort particles into three-dimensional classes."""
    refine(options, run)
