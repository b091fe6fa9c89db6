"""Resolution by direction: conical FSC, how much of each shell is resolved, and its sphericity.

The correlation along an axis is that of all coefficients within 20 degrees of it (Tan et al.,
Nat. Methods 14, 793 (2017)). The share of directions whose correlation is above the threshold, by
shell, is the Fourier shell occupancy (Vilas & Tagare, Nat. Methods 20, 1021 (2023)): it falls from
1 to 0 at the resolution of an isotropic map, and slowly where resolution depends on direction.
Sphericity (Tan et al.) is that of the body whose radius in each direction is the resolution there.

A cone holds few coefficients, so that directions differ by chance too. How much is told by the
maps with randomised phases: their conical correlations scatter as those of an isotropic map would.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
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
_NEAR = 8
_ROWS = 512
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


@lru_cache(maxsize=1)
def axes() -> Float[Tensor, "d 3"]:
    """Return unit vectors that cover the sphere evenly, each with its opposite."""
    pixels = torch.arange(healpix.n_pixels(ORDER))
    return view_direction(healpix.directions(ORDER, pixels))


def conical_fsc(sums: CellSums, cone_deg: float = CONE_DEG) -> Float[Tensor, "d s"]:
    """Return the correlation around each of `axes`, by shell.

    Shells are joined with their neighbours: a cone has few coefficients in one. Where there are
    hardly any, next to the origin, stands the correlation of the whole shell.
    """
    within, axis = _members(cone_deg)
    parts = sums.common, sums.power1, sums.power2, sums.count
    *joined, count = (_joined(within @ part.cpu()) for part in parts)
    curves = torch.where(count < _FEWEST, sums.curve().cpu(), cells.correlation(*joined))
    return curves[axis]


@lru_cache(maxsize=2)
def _members(cone_deg: float) -> tuple[Tensor, Tensor]:
    """Return which cells lie in the cone of each axis, 0 or 1, and which axis each direction has.

    Opposite directions are one axis.
    """
    every = axes()
    first = torch.minimum(torch.arange(len(every)), (every @ every.T).argmin(1))
    chosen, axis = torch.unique(first, return_inverse=True)
    cosine = (every[chosen] @ cells.directions().T).abs()
    return (cosine >= math.cos(math.radians(cone_deg))).to(torch.float64), axis


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
    """Return where each curve first falls below a threshold: see `crossing`."""
    below = curves[:, 1:] < threshold
    after = torch.where(below.any(1), below.to(torch.uint8).argmax(1) + 1, curves.shape[1])
    after = after.clamp(max=curves.shape[1] - 1)
    row = torch.arange(len(curves))
    high, low = curves[row, after - 1].double(), curves[row, after].double()
    falls = high > low
    part = ((high - threshold) / torch.where(falls, high - low, 1.0)).clamp(0, 1)
    reached = after - 1 + torch.where(falls, part, 0.0)
    return torch.where(below.any(1), reached, curves.shape[1] - 1.0)


def crossing(curve: Float[Tensor, " s"], threshold: float = resolution.THRESHOLD) -> float:
    """Return the shell, on the line between two, where a curve first falls below a threshold.

    The last shell where it never does, 0 where it does at once.
    """
    return float(shells_reached(curve[None], threshold)[0])


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
    triangles = _triangles(unit)
    ball = _roundness(unit[triangles])
    return _roundness((unit * radius[:, None])[triangles]) / ball


@lru_cache(maxsize=2)
def _triangles(unit: Tensor) -> Tensor:
    """Return the faces of the convex hull of points on a sphere, ``t 3``.

    A face has no point beyond its plane, and its corners are near each other. Four points on one
    circle would give faces that overlap, so that points are first moved by too little to matter.
    """
    generator = torch.Generator().manual_seed(0)
    points = unit + 1e-7 * torch.randn(unit.shape, generator=generator, dtype=unit.dtype)
    near = (points @ points.T).topk(min(_NEAR, len(points)), 1).indices[:, 1:]
    pairs = torch.combinations(torch.arange(near.shape[1]), 2)
    own = torch.arange(len(points))[:, None, None].expand(-1, len(pairs), 1)
    corners = torch.cat([own, near[:, pairs]], -1).reshape(-1, 3).sort(1).values
    corners = torch.unique(corners, dim=0)
    a, b, c = points[corners].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    height = (normal * a).sum(1, keepdim=True)
    normal, height = normal * height.sign(), height.abs()
    some = zip(normal.split(_ROWS), height.split(_ROWS), strict=True)  # in little memory
    beyond = torch.cat([(rows @ points.T > limit + 1e-14).any(1) for rows, limit in some])
    faces: Tensor = corners[~beyond]
    return faces


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
