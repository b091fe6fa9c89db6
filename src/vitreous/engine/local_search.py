"""Directions near each particle's own, found without looking at the whole grid.

What `sampling.local_directions` tells for a whole grid, as a list of pairs: pixels are followed
from a coarse order to the one wanted, and only those near enough are divided further. At order 7
the grid has 200,000 directions and a particle keeps about 30.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine import asymmetric_unit, geometry, healpix, symmetry

FIRST_ORDER = 2


@dataclass(frozen=True)
class Neighbours:
    """Pairs of a particle and a direction near it, sorted by particle, then pixel.

    Parameters
    ----------
    particle
        ``m``, numbers of particles; each occurs at least once.
    pixel
        ``m``, HEALPix pixels of the asymmetric unit.
    weight
        ``m``, prior of the direction; sums to 1 over each particle.
    """

    particle: Int64[Tensor, " m"]
    pixel: Int64[Tensor, " m"]
    weight: Float[Tensor, " m"]


def neighbours(
    current: Float[Tensor, "n 3"], order: int, sigma_deg: float, point_group: str = "C1"
) -> Neighbours:
    """Find the directions within 3 sigma of each particle, with their Gaussian prior.

    Parameters
    ----------
    current
        Viewing directions of the particles.
    order
        HEALPix order of the grid.
    sigma_deg
        The larger of the sigmas of rot and tilt.
    point_group
        The grid is its asymmetric unit; the angle is the smallest to any mate of `current`.

    Returns
    -------
    Neighbours
        All on the nearest direction where none is within 3 sigma.
    """
    unit = asymmetric_unit.pixels(order, point_group).to(current.device)
    operators = symmetry.view_rotations(symmetry.operators(point_group)).to(current)
    mates = (current[:, None, None] @ operators)[:, :, 0]
    reach_rad = float(torch.deg2rad(torch.tensor(3 * sigma_deg, dtype=torch.float64)))
    particle, pixel, angle_rad = _near(mates, order, reach_rad, unit)
    lost = torch.ones(len(current), dtype=torch.bool, device=current.device)
    lost[particle] = False
    if bool(lost.any()):
        rows = torch.nonzero(lost)[:, 0]
        nearest, distance = _nearest(mates[rows], order, unit)
        particle, pixel = torch.cat([particle, rows]), torch.cat([pixel, nearest])
        angle_rad = torch.cat([angle_rad, distance])
    sorted_ = torch.argsort(particle * healpix.n_pixels(order) + pixel)
    particle, pixel, angle_rad = particle[sorted_], pixel[sorted_], angle_rad[sorted_]
    return Neighbours(particle, pixel, _weights(particle, angle_rad, sigma_deg, len(current)))


def _near(
    mates: Tensor, order: int, reach_rad: float, unit: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Follow pixels near any mate down to the order; smallest angle of each pair."""
    level = min(FIRST_ORDER, order)
    n_mates = mates.shape[1]
    flat = mates.reshape(-1, 3)
    start = torch.arange(healpix.n_pixels(level), device=mates.device)
    row = torch.arange(len(flat), device=mates.device).repeat_interleave(len(start))
    pixel = start.repeat(len(flat))
    while True:
        margin = asymmetric_unit.max_pixel_radius_rad(level) if level < order else 0.0
        angle_rad = _angle(flat[row], _vectors(level, pixel, flat))
        close = angle_rad < reach_rad + 1.01 * margin
        row, pixel, angle_rad = row[close], pixel[close], angle_rad[close]
        if level == order:
            break
        level += 1
        pixel = healpix.children(pixel, 1).flatten()
        row = row.repeat_interleave(4)
    inside = torch.isin(pixel, unit)
    key = (row[inside] // n_mates) * healpix.n_pixels(order) + pixel[inside]
    pairs, where = torch.unique(key, return_inverse=True)
    smallest = angle_rad.new_full((len(pairs),), torch.pi)
    smallest = smallest.scatter_reduce(0, where, angle_rad[inside], "amin")
    return pairs // healpix.n_pixels(order), pairs % healpix.n_pixels(order), smallest


def _nearest(mates: Tensor, order: int, unit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nearest pixel of the unit to any mate, one particle at a time."""
    grid = _vectors(order, unit, mates)
    best = [(some @ grid.T).amax(0).argmax() for some in mates]
    chosen = torch.stack(best)
    closest = (mates @ grid[chosen][:, :, None])[..., 0].amax(1)
    return unit[chosen], torch.acos(closest.clamp(-1, 1))


def _weights(particle: Tensor, angle_rad: Tensor, sigma_deg: float, n: int) -> Tensor:
    """Return the Gaussian, summing to 1 over each particle, however far its nearest is."""
    exponent = -0.5 * (torch.rad2deg(angle_rad) / sigma_deg) ** 2
    most = exponent.new_full((n,), -torch.inf).scatter_reduce(0, particle, exponent, "amax")
    weight = torch.exp(exponent - most[particle])
    total = weight.new_zeros(n).index_add(0, particle, weight)
    return weight / total[particle]


def _vectors(order: int, pixels: Tensor, like: Tensor) -> Tensor:
    return geometry.view_direction(healpix.directions(order, pixels)).to(like)


def _angle(first: Tensor, second: Tensor) -> Tensor:
    """Return the angles between unit vectors, exact for small ones."""
    return 2 * torch.asin(((first - second).norm(dim=-1) / 2).clamp(max=1))
