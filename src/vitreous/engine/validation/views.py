"""How evenly views sample Fourier space, and what unevenness costs.

An image gives the coefficients on the plane across its view, so that the sampling of an axis k is
the number of views at right angles to it. Signal to noise in a shell goes with the harmonic mean
of the sampling over its directions: against even views it is multiplied by the sampling
compensation factor, ``SCF = 1 / <1 / S>`` with S scaled to mean 1 (Baldwin & Lyumkis, Prog.
Biophys. Mol. Biol. 150, 160 (2020); 160, 53 (2021)). Even views have 1, views from all sides
around one axis 8 / pi^2 = 0.81.

Where some directions have no view at all, the harmonic mean is 0 and no longer tells good from
bad. The map is zero there, and the factor here is that of the sampled part times its share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import healpix, symmetry
from vitreous.engine.geometry import view_direction

ORDER = 4
MOST_VIEWS = 40_000
_ROWS = 256


@dataclass(frozen=True)
class Sampling:
    """Sampling of Fourier space by views.

    Parameters
    ----------
    density
        ``p``, number of views that see each direction over the mean; by pixel of HEALPix order 4.
    factor
        SCF.
    unsampled
        Share of the directions that no view sees.
    by_chance
        SCF that as many even views would be expected to have: a few views never sample evenly.
    """

    density: Tensor
    factor: float
    unsampled: float
    by_chance: float


def sampling(views: Float[Tensor, "n 3"], thickness: float, point_group: str = "C1") -> Sampling:
    """Return how views sample Fourier space.

    Parameters
    ----------
    views
        Unit vectors of viewing directions.
    thickness
        Of the slice that an image fills, over its radius: resolution over particle diameter.
    point_group
        Symmetry that the map has. Of very many views (and their mates) 40,000 are looked at.
    """
    pixels = torch.arange(healpix.n_pixels(ORDER))
    towards = view_direction(healpix.directions(ORDER, pixels))
    counts = torch.zeros(len(towards), dtype=torch.float64)
    operators = symmetry.view_rotations(symmetry.operators(point_group))
    step = max(1, math.ceil(len(views) * len(operators) / MOST_VIEWS))
    used = views.to(torch.float32)[::step]
    half_width = thickness / 2
    opposite = (towards @ towards.T).argmin(1)
    first = torch.nonzero(torch.arange(len(towards)) < opposite)[:, 0]
    for operator in operators.to(torch.float32):
        turned = towards[first].to(torch.float32) @ operator.T
        for start in range(0, len(turned), _ROWS):
            rows = slice(start, start + _ROWS)
            counts[first[rows]] += ((turned[rows] @ used.T).abs_() < half_width).sum(1)
    counts[opposite[first]] = counts[first]
    expected = len(used) * len(operators) * half_width
    return _summary(counts, expected)


def _summary(counts: Tensor, mean: float) -> Sampling:
    """Return the figures; the mean over all directions is known, and its peaks are narrow."""
    by_chance = _expected_factor(mean)
    seen = counts > 0
    share = float(seen.to(torch.float64).mean())
    if share == 0:
        return Sampling(counts, 0.0, 1.0, by_chance)
    factor = share / (float((1 / counts[seen]).mean()) * mean / share)
    return Sampling(counts / mean, factor, 1 - share, by_chance)


def _expected_factor(mean: float) -> float:
    """Return the harmonic over the arithmetic mean of Poisson counts (zeros left out)."""
    if mean <= 0:
        return 0.0
    top = int(mean + 12 * math.sqrt(mean) + 12)
    n = torch.arange(1, top + 1, dtype=torch.float64)
    weight = torch.exp(n * math.log(mean) - mean - torch.lgamma(n + 1))
    share = float(weight.sum())
    harmonic = share / float((weight / n).sum())
    return share * harmonic / (float((weight * n).sum()) / share)
