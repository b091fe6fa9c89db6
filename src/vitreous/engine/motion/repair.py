"""Bad pixels: which they are, and what takes their place (preprocessing.md section 2).

A bad pixel gets the value of a good neighbour drawn at random, frame by frame, so that it has the
noise of its surroundings. Only pixels that were good from the start are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

HOT_DEVIATIONS = 6.0
_FEWEST_NEIGHBOURS = 6


@dataclass(frozen=True)
class Repair:
    """How the bad pixels of a movie are replaced.

    Parameters
    ----------
    bad
        ``(b,)``, flat indices of the bad pixels.
    neighbours
        ``(b, k)``, flat indices around each, the good ones first.
    n_good
        ``(b,)``, how many are good; 0 where there are too few to draw from.
    mean, deviation
        Of a pixel of one frame, for bad pixels without neighbours.
    seed
        Of the drawing.
    """

    bad: Int64[Tensor, " b"]
    neighbours: Int64[Tensor, "b k"]
    n_good: Int64[Tensor, " b"]
    mean: float
    deviation: float
    seed: int


def hot_pixels(total: Float[Tensor, "y x"]) -> tuple[Bool[Tensor, "y x"], float, float]:
    """Find pixels that count far more than others.

    Parameters
    ----------
    total
        Sum of the frames as they are, gain applied.

    Returns
    -------
    tuple
        True where hot; mean and standard deviation of the sum.
    """
    mean = _mean(total)
    deviation = _mean((total - mean).square_()) ** 0.5
    return total > mean + HOT_DEVIATIONS * deviation, mean, deviation


def _mean(image: Float[Tensor, "y x"]) -> float:
    """Return the mean, of rows in their own precision and of these in double."""
    return float(image.mean(1).mean(dtype=torch.float64))


def plan(
    bad: Bool[Tensor, "y x"],
    n_frames: int,
    mean: float,
    deviation: float,
    *,
    reach: int = 2,
    seed: int = 0,
) -> Repair:
    """Prepare the repair of all frames of a movie.

    Parameters
    ----------
    bad
        True where a pixel is not to be used.
    n_frames
        Frames in the sum that `mean` and `deviation` were measured on.
    mean, deviation
        Of the sum of the frames.
    reach
        Neighbours are at most so many pixels away along each axis; 2, for EER 4.
    seed
        Of the drawing, for instance made of the movie's name.
    """
    ny, nx = bad.shape
    y, x = torch.nonzero(bad, as_tuple=True)
    steps = torch.arange(-reach, reach + 1, device=bad.device)
    rows = (y[:, None, None] + steps[:, None]).expand(-1, -1, len(steps)).flatten(1)
    columns = (x[:, None, None] + steps).expand(-1, len(steps), -1).flatten(1)
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    flat = rows.clamp(0, ny - 1) * nx + columns.clamp(0, nx - 1)
    good = inside & ~bad.flatten()[flat]
    order = torch.sort(good.to(torch.uint8), dim=1, descending=True, stable=True).indices
    count = good.sum(1)
    return Repair(
        y * nx + x,
        flat.gather(1, order),
        torch.where(count > _FEWEST_NEIGHBOURS, count, 0),
        mean / max(1, n_frames),
        deviation / max(1, n_frames) ** 0.5,
        seed,
    )


def repair_(frame: Float[Tensor, "y x"], how: Repair, number: int) -> None:
    """Replace the bad pixels of a frame; the same number gives the same values again.

    Parameters
    ----------
    frame
        Changed in place.
    how
        From `plan`.
    number
        Of the frame in the movie.
    """
    n_bad = len(how.bad)
    if n_bad == 0:
        return
    generator = torch.Generator().manual_seed(how.seed * 65536 + number)
    drawn = torch.rand(n_bad, generator=generator).to(frame.device)
    pick = (drawn * how.n_good).to(torch.int64).clamp(min=0)
    pick = torch.minimum(pick, (how.n_good - 1).clamp(min=0))
    flat = frame.view(-1)
    value = flat[how.neighbours.gather(1, pick[:, None])[:, 0]]
    alone = how.n_good == 0
    if alone.any():
        noise = torch.randn(n_bad, generator=generator).to(frame.device)
        value = torch.where(alone, how.mean + how.deviation * noise, value)
    flat[how.bad] = value
