"""Picking of blobs by the Laplacian of Gaussian (preprocessing.md section 6).

Each diameter d answers with ``q^2 exp(-q^2 / 2)``, ``q = 2 d k``; a pixel keeps its best answer and
the diameter that gave it. RELION's picks and figures of merit come out of the same steps. NumPy
holds the plane of pixels that are still free, which the greedy choice visits one by one.

On request answers are taken in the contrast of their surroundings first: each less the mean around
it, over the deviation around it. On carbon everything varies more than in a hole, noise answers the
narrowest diameters and the edge of the film the widest, so that particles there are otherwise lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.picking.preparation import Coarse, shell_radius
from vitreous.errors import InputError

_BELOW = (5, 4, 3, 2)
_ABOVE = (2, 3, 4, 5)
NO_UPPER_LIMIT = 99999.0
# Of answers in local contrast, found on simulated carbon and crystals (see benchmark_picking):
_LOCAL_THRESHOLD = 1.6  # deviations from which on a peak is a particle
_OTHER_DIAMETERS = 0.5  # what an answer to a diameter that is not wanted counts
_SURROUNDINGS = 0.75  # deviation of the Gaussian of the surroundings, in wanted diameters
_CLIP_SIGMA = 5.0  # what sticks out more does not spoil its surroundings
_LEAST_VARIANCE = 0.05


@dataclass(frozen=True)
class BlobSearch:
    """What blobs are searched.

    Parameters
    ----------
    min_diameter_A, max_diameter_A
        Blobs whose best diameter lies between them are particles.
    threshold_sigma, upper_sigma
        A peak is a particle from ``mean + threshold_sigma * sigma`` up to ``mean + upper_sigma *
        sigma`` of the answers of such blobs.
    neighbour
        Two particles are at least the mean of the found and the smallest diameter apart, times
        this.
    max_search
        The widest and narrowest diameters tried are so many times larger and smaller.
    skip_side_px
        Border of the micrograph that is left out; at least half of the smallest diameter is.
    local_contrast
        Take answers in the contrast of their surroundings; the threshold is then 1.6 deviations of
        them, plus `threshold_sigma`.
    """

    min_diameter_A: float
    max_diameter_A: float
    threshold_sigma: float = 0.0
    upper_sigma: float = NO_UPPER_LIMIT
    neighbour: float = 1.0
    max_search: float = 5.0
    skip_side_px: int = 0
    local_contrast: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.min_diameter_A <= self.max_diameter_A:
            raise InputError(
                f"The smallest diameter is {self.min_diameter_A:g} A and the largest "
                f"{self.max_diameter_A:g} A; wanted 0 < smallest <= largest."
            )

    def diameters_A(self) -> list[float]:
        """Return the diameters that are tried, narrowest first."""
        low, high = self.min_diameter_A, self.max_diameter_A
        narrow = [float(int(low / n + 0.5)) for n in _BELOW if n <= self.max_search]
        wide = [float(int(high * n + 0.5)) for n in _ABOVE if n <= self.max_search]
        return [*(d for d in narrow if d > 0), low, (low + high) / 2, high, *wide]


@dataclass(frozen=True)
class Answers:
    """The best answer of every pixel.

    Parameters
    ----------
    merit
        ``v u``, on the work grid.
    diameter_A
        ``v u``; which diameter gave it.
    """

    merit: Float[Tensor, "v u"]
    diameter_A: Float[Tensor, "v u"]


@dataclass(frozen=True)
class Blobs:
    """What was picked, best first.

    Parameters
    ----------
    places_px
        ``n 2``, x y in pixels of the micrograph.
    merit
        ``n``
    threshold
        Figure of merit from which on a peak was taken.
    """

    places_px: Float[Tensor, "n c"]
    merit: Float[Tensor, " n"]
    threshold: float


def answers(
    transformed: Complex[Tensor, "v uh"],
    sampling: Coarse,
    search: BlobSearch,
    *,
    white: bool = False,
) -> Answers:
    """Filter a micrograph with all diameters.

    Parameters
    ----------
    transformed
        From `preparation.transform`, of a normalised micrograph.
    search
        Which diameters, and whether in local contrast.
    white
        Particles are brighter than the ice.
    """
    diameters_A = torch.tensor(search.diameters_A(), device=transformed.device)
    k, filters = _filters(sampling, tuple(search.diameters_A()), transformed.device)
    signed = transformed if white else -transformed
    every = fourier.inverse(signed * filters, 2, sampling.work)
    if search.local_contrast:
        every = _in_local_contrast(every, k, diameters_A, sampling, search)
    merit, which = every.max(0)
    return Answers(merit, diameters_A[which])


@lru_cache(maxsize=2)
def _filters(
    sampling: Coarse, diameters_A: tuple[float, ...], device: torch.device
) -> tuple[Float[Tensor, "v uh"], Float[Tensor, "d v uh"]]:
    """Return frequencies in 1/A and the filter of each diameter; micrographs share them."""
    k = shell_radius(sampling, device) / sampling.pixel_size_A
    q2 = (2 * k) ** 2 * torch.tensor(diameters_A, device=device)[:, None, None] ** 2
    return k, q2 * torch.exp(-q2 / 2)


def _in_local_contrast(
    every: Float[Tensor, "d v u"],
    k_per_A: Float[Tensor, "v uh"],
    diameters_A: Float[Tensor, " d"],
    sampling: Coarse,
    search: BlobSearch,
) -> Float[Tensor, "d v u"]:
    """Return answers in deviations of their surroundings; less of diameters not wanted."""
    around_A = _SURROUNDINGS * (search.min_diameter_A + search.max_diameter_A) / 2
    window = torch.exp(-2 * (torch.pi * around_A * k_per_A) ** 2)

    def mean_around(values: Tensor) -> Tensor:
        return fourier.inverse(fourier.forward(values, 2) * window, 2, sampling.work)

    flat = every.flatten(1)
    centred = flat - flat.median(1, keepdim=True).values
    spread = 1.4826 * centred.abs().median(1, keepdim=True).values
    scaled = (centred / spread.clamp(min=1e-12)).reshape(every.shape)
    clipped = scaled.clamp(-_CLIP_SIGMA, _CLIP_SIGMA)
    mean = mean_around(clipped)
    variance = mean_around(clipped.square()) - mean.square()
    contrast = (scaled - mean) / variance.clamp(min=_LEAST_VARIANCE).sqrt()
    wanted = (diameters_A >= search.min_diameter_A) & (diameters_A <= search.max_diameter_A)
    return contrast * torch.where(wanted, 1.0, _OTHER_DIAMETERS)[:, None, None]


def pick_blobs(found: Answers, sampling: Coarse, search: BlobSearch) -> Blobs:
    """Take the best peak, erase its neighbourhood, and so on down to the threshold.

    The border counts with an answer of 0 in the statistics of the threshold, as in RELION.
    """
    wanted = (found.diameter_A >= search.min_diameter_A) & (
        found.diameter_A <= search.max_diameter_A
    )
    inside = _inside(sampling, search, wanted.device)
    merit = torch.where(inside, found.merit, 0.0)
    of_wanted = merit[wanted].to(torch.float64)
    empty = torch.zeros(0, dtype=torch.float64)
    if not len(of_wanted):
        return Blobs(empty.reshape(0, 2), empty, 0.0)
    mean, deviation = float(of_wanted.mean()), float(of_wanted.std(correction=0))
    if search.local_contrast:  # deviations already, whatever is in the micrograph
        mean, deviation = _LOCAL_THRESHOLD, 1.0
    threshold = mean + search.threshold_sigma * deviation
    upper = mean + search.upper_sigma * deviation
    keep = wanted & inside & (merit > threshold)
    places, merits = _greedy(merit, found.diameter_A, keep, sampling, search)
    below = merits < upper
    return Blobs(sampling.to_micrograph(places[below]), merits[below], threshold)


def _inside(sampling: Coarse, search: BlobSearch, device: torch.device) -> Bool[Tensor, "v u"]:
    border_px = max(search.skip_side_px, int(0.5 * search.min_diameter_A / sampling.pixel_size_A))
    rows = []
    for scale, side in zip(sampling.scale[::-1], sampling.work, strict=True):
        border = int(border_px * scale + 0.5)
        index = torch.arange(side, device=device)
        rows.append((index >= border) & (index < side - border))
    return rows[0][:, None] & rows[1]


def _greedy(
    merit: Tensor, diameter_A: Tensor, keep: Tensor, sampling: Coarse, search: BlobSearch
) -> tuple[Tensor, Tensor]:
    """Return places x y on the work grid and merits, best first, of peaks that do not touch."""
    rows, columns = torch.nonzero(keep, as_tuple=True)
    values = merit[keep]
    order = torch.argsort(values, descending=True, stable=True)
    y, x = rows[order].tolist(), columns[order].tolist()
    scale = (sampling.scale[0] * sampling.scale[1]) ** 0.5
    radii = (diameter_A[keep][order].to(torch.float64) + search.min_diameter_A) / 2
    radii = radii * search.neighbour * scale / sampling.pixel_size_A
    erased = (radii + 0.5).to(torch.int64).tolist()
    free = torch.ones(merit.shape, dtype=torch.bool).numpy()
    taken = []
    for number, (row, column, radius) in enumerate(zip(y, x, erased, strict=True)):
        if not free[row, column]:
            continue
        taken.append(number)
        low_y, low_x = max(0, row - radius), max(0, column - radius)
        window = free[low_y : row + radius + 1, low_x : column + radius + 1]
        window &= ~_disc(radius)[
            low_y - row + radius : low_y - row + radius + window.shape[0],
            low_x - column + radius : low_x - column + radius + window.shape[1],
        ]
    chosen = order[taken]
    places = torch.stack([columns[chosen], rows[chosen]], -1).to(torch.float64).cpu()
    return places, values[chosen].to(torch.float64).cpu()


@cache
def _disc(radius: int) -> NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    squared = y * y + x * x
    return np.asarray((squared < radius * radius) | (squared == 0), np.bool_)
