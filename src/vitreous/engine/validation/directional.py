"""Resolution by direction: conical FSC, how much of each shell is resolved, and its sphericity.

The correlation along an axis is that of all coefficients within 20 degrees of it (Tan et al.,
Nat. Methods 14, 793 (2017)). The share of directions whose correlation is above the threshold, by
shell, is the Fourier shell occupancy (Vilas & Tagare, Nat. Methods 20, 1021 (2023)): it falls from
1 to 0 at the resolution of an isotropic map, and slowly where resolution depends on direction.
Sphericity (Tan et al.) is that of the body whose radius in each direction is the resolution there.

A cone holds few coefficients, so that directions differ by chance too. How much is told by the
maps with randomised phases: their conical correlations scatter as those of an isotropic map would.
SciPy triangulates the sphere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from scipy.spatial import ConvexHull
from torch import Tensor

from vitreous.engine import healpix, resolution
from vitreous.engine.geometry import view_direction
from vitreous.engine.validation import cells
from vitreous.engine.validation.cells import CellSums

CONE_DEG = 20.0
ORDER = 3
"""HEALPix order of the axes: 768, of which pairs are opposite."""
_NEIGHBOURS = 1
_FEWEST = 12
MOST, HALF, LEAST = 0.9, 0.5, 0.1
"""Shares of directions at which resolutions are read off."""


@dataclass(frozen=True)
class Anisotropy:
    """How resolution depends on direction.

    Parameters
    ----------
    worst, median, best
        Shells (of real number) that 90 %, 50 % and 10 % of the directions reach.
    sphericity
        1 for a map that is resolved alike in all directions.
    """

    worst: float
    median: float
    best: float
    sphericity: float

    @property
    def ratio(self) -> float:
        """Resolution of the worst tenth of directions over that of the best tenth, 1 or more."""
        return self.best / self.worst if self.worst > 0 else math.inf


def axes() -> Float[Tensor, "d 3"]:
    """Return unit vectors that cover the sphere evenly, each with its opposite."""
    pixels = torch.arange(healpix.n_pixels(ORDER))
    return view_direction(healpix.directions(ORDER, pixels))


def conical_fsc(sums: CellSums, cone_deg: float = CONE_DEG) -> Float[Tensor, "d s"]:
    """Return the correlation around each of `axes`, by shell.

    Shells are joined with their neighbours: a cone has few coefficients in one. Where there are
    hardly any, next to the origin, stands the correlation of the whole shell.
    """
    within = _members(cone_deg)
    parts = sums.common, sums.power1, sums.power2, sums.count
    *joined, count = (_joined(within @ part.cpu()) for part in parts)
    return torch.where(count < _FEWEST, sums.curve().cpu(), cells.correlation(*joined))


@lru_cache(maxsize=2)
def _members(cone_deg: float) -> Tensor:
    """Return which cells lie in the cone of each axis, 0 or 1."""
    cosine = (axes() @ cells.directions().T).abs()
    return (cosine >= math.cos(math.radians(cone_deg))).to(torch.float64)


def corrected(
    curves: Float[Tensor, "d s"], randomised: Float[Tensor, " s"], randomised_from: int
) -> Float[Tensor, "d s"]:
    """Take out of each curve what the mask alone makes (`resolution.correct`)."""
    return torch.stack([resolution.correct(curve, randomised, randomised_from) for curve in curves])


def by_chance(
    curve: Float[Tensor, " s"], randomised: Float[Tensor, "d s"], randomised_from: int
) -> Float[Tensor, "d s"]:
    """Return conical curves that an isotropic map might have.

    Parameters
    ----------
    curve
        Its correlation by shell.
    randomised
        Conical correlations of the maps with randomised phases. An estimate of a correlation F
        scatters (1 - F^2) times as much as one of 0.
    randomised_from
        The scatter of earlier shells is that of this one.
    """
    scatter = randomised - randomised.mean(0)
    first = min(randomised_from + 2, scatter.shape[1] - 1)
    scatter[:, :first] = scatter[:, first : first + 1]
    return curve + (1 - curve.clamp(-1, 1) ** 2) * scatter


def shells_reached(
    curves: Float[Tensor, "d s"], threshold: float = resolution.THRESHOLD
) -> Float[Tensor, " d"]:
    """Return where each curve first falls below a threshold, between two shells."""
    return torch.tensor([crossing(curve, threshold) for curve in curves], dtype=torch.float64)


def crossing(curve: Float[Tensor, " s"], threshold: float = resolution.THRESHOLD) -> float:
    """Return the shell, on the line between two, where a curve first falls below a threshold.

    The last shell where it never does, 0 where it does at once.
    """
    below = resolution.first_below(curve, threshold)
    if below is None:
        return float(len(curve) - 1)
    high, low = float(curve[below - 1]), float(curve[below])
    part = (high - threshold) / (high - low) if high > low else 0.0
    return max(0.0, below - 1 + min(1.0, max(0.0, part)))


def occupancy(reached: Float[Tensor, " d"], n_shells: int) -> Float[Tensor, " s"]:
    """Return the share of directions that are resolved at each shell (from 1 to 0)."""
    shells = torch.arange(n_shells, dtype=reached.dtype)
    return (reached[:, None] >= shells).to(torch.float64).mean(0)


def anisotropy(reached: Float[Tensor, " d"]) -> Anisotropy:
    """Return the figures that go with the shells that directions reach."""
    wanted = torch.tensor([1 - MOST, 1 - HALF, 1 - LEAST], dtype=reached.dtype)
    worst, median, best = torch.quantile(reached, wanted).tolist()
    return Anisotropy(worst, median, best, sphericity(axes(), reached))


def sphericity(unit: Float[Tensor, "d 3"], radius: Float[Tensor, " d"]) -> float:
    """Return ``pi^(1/3) (6 V)^(2/3) / S`` of a body that is seen whole from its centre.

    Parameters
    ----------
    unit
        Directions all around.
    radius
        How far the body goes in each. The figure is divided by that of a ball that is cut into
        the same triangles.
    """
    if float(radius.min()) <= 0:
        return 0.0
    triangles = torch.from_numpy(ConvexHull(unit.numpy()).simplices.astype("int64"))
    ball = _roundness(unit[triangles])
    return _roundness((unit * radius[:, None])[triangles]) / ball


def _roundness(corners: Tensor) -> float:
    a, b, c = corners.unbind(1)
    volume = float(torch.linalg.det(corners).abs().sum()) / 6
    surface = float(torch.linalg.cross(b - a, c - a).norm(dim=-1).sum()) / 2
    return math.cbrt(math.pi * (6 * volume) ** 2) / surface


def _joined(sums: Tensor) -> Tensor:
    """Add to each shell its neighbours; shell 0 stays apart."""
    padded = torch.nn.functional.pad(sums, (_NEIGHBOURS, _NEIGHBOURS))
    padded[:, _NEIGHBOURS] = 0
    joined = padded.unfold(1, 2 * _NEIGHBOURS + 1, 1).sum(-1)
    joined[:, 0] = sums[:, 0]
    return joined
