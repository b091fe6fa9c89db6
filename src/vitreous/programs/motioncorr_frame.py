"""What motion correction with our own engine and with MotionCor2 have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from vitreous.dataset.motion_table import Corrected, MovieRow
from vitreous.errors import FormatError
from vitreous.jobs.context import Run
from vitreous.jobs.motioncorr import MotionCorr
from vitreous.programs.micrograph_list import Work
from vitreous.programs.motioncorr_files import Files
from vitreous.programs.motioncorr_inputs import Detector
from vitreous.programs.motioncorr_settings import Extra

Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")


@dataclass(frozen=True)
class Task:
    """What a job is asked for and where it works.

    Parameters
    ----------
    options, extra
        Of the job.
    run
        The job, for warnings and to be stopped.
    files
        Where everything goes.
    detector
        Opens movies and knows their gain.
    publish
        Writes the joint list.
    """

    options: MotionCorr
    extra: Extra
    run: Run
    files: Files
    detector: Detector
    publish: Callable[[Sequence[Corrected]], None]


class Correction(Work[MovieRow, Loaded, Computed, Corrected]):
    """Movies, and where what is left of each is kept."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def name(self, unit: MovieRow) -> str:
        """Return the file of the movie."""
        return unit.name

    def restore(self, unit: MovieRow) -> Corrected | None:
        """Return what an earlier run left of a movie."""
        return self.task.files.restore(unit)

    def publish(self, results: Sequence[Corrected]) -> None:
        """Write the list of micrographs."""
        self.task.publish(results)


def refuse_problem(unit: MovieRow) -> None:
    """Raise what was found wrong with the row of a movie when the list was read."""
    if unit.problem:
        raise FormatError(unit.problem)
