"""What the pages of all refinements show: the plots that their four job types share."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.jobs.declare import Result


def by_iteration() -> Iterator[Result]:
    """Yield the plots that every refinement makes."""
    yield Result("plot", "changes", "Changes of class and orientation by iteration")
    yield Result("plot", "resolution", "Resolution by iteration")
    yield Result("plot", "accuracies", "Accuracies and steps by iteration")
    yield Result("plot", "certainty", "Certainty of poses")
    yield Result("plot", "times", "Time and speed by iteration")
    yield Result("plot", "iterations", "Iterations")


def signal() -> Result:
    """Return the plot of the spectra of classes, where data are not split in two."""
    return Result("plot", "signal", "Signal of the references")
