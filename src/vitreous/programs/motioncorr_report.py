"""What a motion correction job tells at its end: numbers, plots and the PDF log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from vitreous.dataset.motion_star import MovieMotion, read_motion
from vitreous.dataset.motion_table import Corrected, MovieRow
from vitreous.engine.motion import local
from vitreous.jobs.context import Run
from vitreous.programs.pdf_log import write_log

_MOST_DRAWN = 60
_GRID = 5
_BINS = 40


def report(done: Sequence[Corrected], run: Run) -> None:
    """Hand in headlines and plots, and draw the PDF log.

    Parameters
    ----------
    done
        All movies that were corrected.
    run
        The job.
    """
    run.headline("movies", len(done), label="Movies aligned")
    run.headline("total_motion", median(m.total_A for m in done), "Å", "Median total motion")
    run.headline(
        "early_motion", median(m.early_A for m in done), "Å", "Median motion in the first 4 e/Å²"
    )
    run.plot("total_motion", "histogram", "Total motion of every movie", _histogram(done))
    run.plot("early_late_motion", "scatter", "Early against late motion", _early_late(done))
    run.plot("drift", "vectors", "Path of the sample in each movie", _paths(done))
    write_log(run.path)


def warn_of_frame_counts(done: Sequence[Corrected], movies: Sequence[MovieRow], run: Run) -> None:
    """Name movies that have more or fewer frames than most: an exposure may have been cut short."""
    ((usual, _),) = Counter(one.n_frames for one in done).most_common(1)
    for one in done:
        if one.n_frames != usual:
            run.warn(
                "Some movies have more or fewer frames than most.",
                f"{movies[one.number].name}: {one.n_frames} frames, most have {usual}",
            )


def _histogram(done: Sequence[Corrected]) -> dict[str, object]:
    counts, edges = np.histogram([one.total_A for one in done], bins=_BINS)
    return {
        "axes": {"x": {"label": "Total motion", "unit": "Å"}, "y": {"label": "Movies", "unit": ""}},
        "series": [{"name": "movies", "edges": edges.tolist(), "counts": counts.tolist()}],
    }


def _early_late(done: Sequence[Corrected]) -> dict[str, object]:
    early = [one.early_A for one in done]
    late = [one.total_A - one.early_A for one in done]
    return {
        "axes": {
            "x": {"label": "Early motion", "unit": "Å"},
            "y": {"label": "Late motion", "unit": "Å"},
        },
        "series": [{"name": "movies", "x": early, "y": late}],
    }


def _paths(done: Sequence[Corrected]) -> dict[str, object]:
    """Return the paths at places of the field, of movies spread evenly over the list."""
    chosen = np.unique(np.linspace(0, len(done) - 1, min(len(done), _MOST_DRAWN)).astype(int))
    shown = [done[number] for number in chosen]
    motions = [read_motion(one.metadata) for one in shown]
    reach = max(_reach(motion) for motion in motions)
    height, width = motions[0].shape
    scale = float(np.round(max(1.0, 0.8 * min(height, width) / _GRID / max(reach, 1e-3)), 0))
    panels = [
        {"title": one.micrograph.rsplit("/", 1)[-1], **_tracks(motion), "scale": scale}
        for one, motion in zip(shown, motions, strict=True)
    ]
    note = "Paths of the specimen at places of the field of view, each from a dot outwards."
    if len(chosen) < len(done):
        note += f" {len(chosen)} of {len(done):,} movies, spread evenly over the list."
    axes = {"x": {"label": "x", "unit": "px"}, "y": {"label": "y", "unit": "px"}}
    return {"axes": axes, "panels": panels, "note": note}


def _tracks(motion: MovieMotion) -> dict[str, object]:
    height, width = motion.shape
    places, paths = _displacements(motion)
    tracks = [
        {
            "name": "",
            "x": np.round(path[:, 0], 2).tolist(),
            "y": np.round(path[:, 1], 2).tolist(),
            "at": [float(x), float(y)],
        }
        for (x, y), path in zip(places, paths, strict=True)
    ]
    return {"tracks": tracks, "width": width, "height": height}


def _reach(motion: MovieMotion) -> float:
    """Return how far the sample went at most along x or y."""
    paths = _displacements(motion)[1]
    return float((paths.max(axis=1) - paths.min(axis=1)).max())


def _displacements(
    motion: MovieMotion,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return places ``(p, 2)`` and paths ``(p, f, 2)`` of the specimen, in pixels."""
    used = np.flatnonzero(np.isfinite(motion.shift_px).all(1))
    whole = -motion.shift_px[used][None]
    height, width = motion.shape
    if motion.coefficients_px is None:
        return np.array([[width / 2, height / 2]]), whole
    middle = (np.arange(_GRID) + 0.5) / _GRID
    places = np.stack(np.meshgrid(middle * width, middle * height), -1).reshape(-1, 2)
    shift = local.shifts_at(
        torch.from_numpy(motion.coefficients_px),
        torch.from_numpy(places),
        torch.arange(len(used), dtype=torch.float64),
        motion.shape,
    )
    return places, whole - shift.numpy()
