"""3D auto-refine."""

from __future__ import annotations

from vitreous.jobs.context import Run
from vitreous.jobs.refine3d import Refine3D
from vitreous.programs.refine.program import refine


def run(options: Refine3D, run: Run) -> None:
    """Refine one map to the highest resolution, in two independent halves."""
    refine(options, run)
