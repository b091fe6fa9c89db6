"""What a local-resolution job tells and shows."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vitreous.jobs.context import Run
from vitreous.programs.maps import central_slices
from vitreous.programs.pdf_log import write_log

_BINS = 60
_INSIDE = 0.5


def report(
    run: Run, resolution_A: Tensor, mask: Tensor | None, filtered: Tensor | None = None
) -> None:
    """Hand in numbers and plots of a map of local resolution; draw them into ``histogram.pdf``.

    Parameters
    ----------
    run
        The job.
    resolution_A
        ``z y x`` in ångström, 0 where nothing is known.
    mask
        Only what is inside is counted; None counts all that is known.
    filtered
        The filtered map, where there is one.
    """
    inside = resolution_A > 0
    if mask is not None:
        inside &= mask > _INSIDE
    values = resolution_A[inside].double()
    if len(values) == 0:
        run.warn("No voxel inside the mask has a local resolution, so there is no histogram.")
        return
    ends = torch.quantile(_thinned(values), torch.tensor([0.005, 0.5, 0.995]).double())
    best, median, worst = ends.tolist()
    run.headline("median_resolution", median, "Å", "Median local resolution")
    run.headline("best_resolution", float(values.min()), "Å", "Best local resolution")
    where = "inside the mask" if mask is not None else "of the box"
    run.say(
        f"Local resolution of {len(values):,} voxels {where}: median {median:.2f} Å, 99 % between "
        f"{best:.2f} and {worst:.2f} Å"
    )
    counts, edges = np.histogram(values.numpy(), _BINS)
    run.plot(
        "histogram",
        "histogram",
        "Distribution of local resolution",
        {
            "axes": {
                "x": {"label": "Local resolution", "unit": "Å"},
                "y": {"label": "Voxels", "unit": ""},
            },
            "series": [
                {"name": "local resolution", "edges": edges.tolist(), "counts": counts.tolist()}
            ],
            "note": f"Median {median:.2f} Å.",
        },
    )
    shown = torch.where(inside, resolution_A, worst)
    run.plot(
        "resolution_slices",
        "image",
        "Local resolution, central slices",
        {
            "axes": {"c": {"label": "Local resolution", "unit": "Å"}},
            "colour": "ramp",
            "bar": True,
            "panels": central_slices(shown, best, max(worst, best + 1e-3)),
        },
    )
    if filtered is not None:
        run.plot(
            "filtered_slices",
            "image",
            "Locally filtered map, central slices",
            {"colour": "grey", "panels": central_slices(filtered)},
        )
    write_log(run.path).replace(run.path / "histogram.pdf")


def _thinned(values: Tensor) -> Tensor:
    """Return at most a million of the values: torch's quantiles take no more than 16 million."""
    return values[:: -(-len(values) // 1_000_000)]
