"""What an AutoPick job tells of its picks: numbers, plots, pictures of picks over micrographs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.picking_list import PickingList
from vitreous.errors import VitreousError
from vitreous.io import read_image
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.programs.autopick_work import BINS, Result
from vitreous.programs.micrograph_list import Outcome
from vitreous.programs.pdf_log import write_log

_SHOWN = 8
_PICTURE_PX = 384


def report(run: Run, outcome: Outcome[Result], listed: PickingList, options: AutoPick) -> None:
    """Hand in numbers and plots, and draw the log."""
    done = outcome.done
    counts = np.array([len(one.merit) for one in done])
    run.headline("picks", int(counts.sum()), "", "Picked particles")
    run.headline("picks_per_micrograph", float(np.median(counts)), "", "Median per micrograph")
    for one in done:
        if not len(one.merit):
            run.warn("Nothing was picked in some micrographs.", one.micrograph)
    axes = {"x": {"label": "Micrograph", "unit": ""}, "y": {"label": "Picks", "unit": ""}}
    series = {
        "name": "picks",
        "x": list(range(1, len(done) + 1)),
        "y": counts.tolist(),
        "style": "points",
    }
    names = [one.micrograph for one in done]
    run.plot(
        "picks", "line", "Picks of every micrograph",
        {"axes": axes, "series": [series], "names": names},
    )  # fmt: skip
    _histogram(run, done)
    _pictures(run, done, listed, options)
    write_log(run.path)


def _histogram(run: Run, done: list[Result]) -> None:
    merit = np.concatenate([one.merit for one in done]).astype(np.float64)
    counts, edges = np.histogram(merit, BINS) if len(merit) else (np.zeros(1), np.zeros(2))
    axes = {"x": {"label": "Figure of merit", "unit": ""}, "y": {"label": "Picks", "unit": ""}}
    series = [{"name": "picks", "edges": edges.tolist(), "counts": counts.tolist()}]
    run.plot(
        "fom", "histogram", "Distribution of the figure of merit", {"axes": axes, "series": series}
    )


def _pictures(run: Run, done: list[Result], listed: PickingList, options: AutoPick) -> None:
    """Draw the picks of some micrographs, evenly spread over the list."""
    sizes = {one.name: one.pixel_size_A for one in listed.micrographs}
    chosen = [done[i] for i in np.unique(np.linspace(0, len(done) - 1, _SHOWN).astype(int))]
    panels = []
    for one in chosen:
        try:
            panels.append(_panel(run, one, _radius_A(options) / max(sizes[one.micrograph], 1e-3)))
        except (VitreousError, OSError):
            continue  # gone since it was picked
    if panels:
        note = f"{len(panels)} of {len(done)} micrographs" if len(panels) < len(done) else ""
        run.plot(
            "micrographs", "image", "Picks over micrographs",
            {"panels": panels, "colour": "grey", "note": note},
        )  # fmt: skip


def _radius_A(options: AutoPick) -> float:
    if options.use_log:
        return (options.log_min_diameter_A + options.log_max_diameter_A) / 4
    return options.min_distance_A / 2


def _panel(run: Run, one: Result, radius_px: float) -> dict[str, Any]:
    image, step = small_picture(read_image(run.project / one.micrograph).data, _PICTURE_PX)
    x, y = (one.places_px / step).T
    low, high = np.percentile(image, [0.5, 99.5])
    greys = (image - low) * (255 / max(high - low, 1e-6))
    circles = {
        "name": "picks",
        "x": np.round(x, 1).tolist(),
        "y": np.round(y, 1).tolist(),
        "radius": radius_px / step,
    }
    return {
        "title": one.micrograph.rpartition("/")[2],
        "image": np.clip(np.rint(greys), 0, 255).astype(np.uint8),
        "low": 0,
        "high": 255,
        "series": [circles],
    }


def small_picture(image: NDArray[np.float32], longest_px: int) -> tuple[NDArray[np.float32], float]:
    """Average a micrograph to a picture; return it, normalised, and its scale."""
    step = max(1, -(-max(image.shape) // longest_px))
    y, x = (side // step * step for side in image.shape)
    rows = image[:y, :x].reshape(y // step, step, x).mean(1)
    small = rows.reshape(y // step, x // step, step).mean(2)
    spread = float(small.std()) or 1.0
    return ((small - small.mean()) / spread).astype(np.float32), float(step)
