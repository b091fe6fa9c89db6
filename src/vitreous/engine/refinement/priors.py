"""Prior probabilities of poses, as logarithms (refinement.md sections 3.2 and 4.5).

They are taken at the unperturbed coarse grid and shared by all children of a coarse point. Each
is divided by its mean, so that what is not known costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vitreous.engine import geometry, local_search, sampling
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model

_SHARP_A2 = 1e-4
_ON_THE_POINT_A = 1e-3


@dataclass(frozen=True)
class Lists:
    """Coarse rotations of each particle, sorted by particle.

    Parameters
    ----------
    particle, rotation
        ``m``; rotations are numbered as in `PoseGrid`.
    prior
        ``m``, log prior of direction and in-plane angle.
    """

    particle: Int64[Tensor, " m"]
    rotation: Int64[Tensor, " m"]
    prior: Float[Tensor, " m"]


def of_directions(model: Model, grid: PoseGrid) -> Float[Tensor, "k r"]:
    """Return the log prior of every class and coarse rotation, from how often each was seen."""
    weight = model.direction_weight.to(torch.float64)
    if weight.shape[1] != len(grid.pixels):
        weight = (model.class_weight.to(torch.float64) / len(grid.pixels))[:, None].expand(
            -1, len(grid.pixels)
        )
    relative = weight * weight.numel()
    return relative.log().float().repeat_interleave(len(grid.psi_deg), 1)


def of_classes(model: Model) -> Float[Tensor, " k"]:
    """Return the log prior of every class where orientations are not searched."""
    return (model.class_weight.to(torch.float64) * model.n_classes).log().float()


def of_shifts(
    shifts_A: Float[Tensor, "n t 2"], centre_A: Float[Tensor, "n k 2"], sigma_A: float
) -> Float[Tensor, "n k t"]:
    """Return the log prior of shifts.

    Parameters
    ----------
    shifts_A
        Whole shifts of the particles, what they were moved by included.
    centre_A
        Of the Gaussian, for every particle and class.
    sigma_A
        Its width; below 0.01 only the centre is allowed.
    """
    distance2 = (shifts_A[:, None] - centre_A[:, :, None]).square().sum(-1)
    if sigma_A**2 < _SHARP_A2:
        there = distance2 < _ON_THE_POINT_A**2
        there |= ~there.any(-1, keepdim=True)
        return torch.where(there, 0.0, -torch.inf).float()
    exponent = -distance2 / (2 * sigma_A**2)
    mean = torch.logsumexp(exponent.flatten(1), 1) - torch.log(
        torch.tensor(exponent[0].numel(), dtype=exponent.dtype)
    )
    return (exponent - mean[:, None, None]).float()


def within_rise(
    shifts_A: Float[Tensor, "n t 2"], psi_deg: Float[Tensor, " n"], rise_A: float
) -> Bool[Tensor, "n t"]:
    """Return which shifts move a segment of a filament by half a rise along it, or less.

    The next unit along the filament looks the same: what lies farther is another segment. Where
    all shifts do, the one that moves it least along the filament is left.

    Parameters
    ----------
    shifts_A
        Whole shifts of the particles, what they were moved by included.
    psi_deg
        In-plane angle of the filament, which runs along ``(cos psi, -sin psi)``.
    rise_A
        From unit to unit.
    """
    psi = torch.deg2rad(psi_deg)
    along = (shifts_A * torch.stack([psi.cos(), -psi.sin()], -1)[:, None]).sum(-1).abs()
    least = along.amin(1, keepdim=True)
    return along <= least.clamp(min=rise_A / 2) + _ON_THE_POINT_A


def local_lists(centre_deg: Float[Tensor, "n 3"], grid: PoseGrid, settings: Settings) -> Lists:
    """Return the coarse rotations near the angles of each particle.

    Parameters
    ----------
    centre_deg
        rot, tilt and psi that searches are centred on.
    grid
        With the widths of the search in its `sampling`.
    settings
        For bimodal psi and relaxed symmetry.
    """
    state, n_psi = grid.sampling, len(grid.psi_deg)
    particle, place, weight = _directions(centre_deg, grid, settings)
    if state.sigma_psi_deg > 0:
        psi = sampling.local_angle(
            centre_deg[:, 2], grid.psi_deg, state.sigma_psi_deg,
            bimodal=settings.searching.bimodal_psi,
        )  # fmt: skip
    else:
        psi = torch.full((len(centre_deg), n_psi), 1 / n_psi, dtype=torch.float64)
    near = psi > 0
    per_particle = near.sum(1)
    angles = torch.nonzero(near)[:, 1]
    first = torch.cumsum(per_particle, 0) - per_particle
    # Every direction of a particle with every in-plane angle of it.
    repeats = per_particle[particle]
    pair = torch.arange(len(particle)).repeat_interleave(repeats)
    start = torch.cumsum(repeats, 0) - repeats
    within = torch.arange(len(pair)) - start[pair]
    owner = particle[pair]
    angle = angles[first[owner] + within]
    both = weight[pair] * psi[owner, angle]
    total = torch.zeros(len(centre_deg), dtype=torch.float64).index_add_(0, owner, both)
    count = torch.bincount(owner, minlength=len(centre_deg)).clamp(min=1)
    prior = (both / (total / count)[owner]).log().float()
    return Lists(owner, place[pair] * n_psi + angle, prior)


def _directions(
    centre_deg: Tensor, grid: PoseGrid, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """Return pairs of a particle and the place of a direction in the grid, with their weights."""
    state = grid.sampling
    n, n_directions = len(centre_deg), len(grid.pixels)
    relaxed = settings.searching.relax_point_group
    if grid.ndim == 2:
        return torch.arange(n), torch.zeros(n, dtype=torch.int64), torch.ones(n).double()
    both = state.sigma_rot_deg > 0 and state.sigma_tilt_deg > 0
    if both and not relaxed and state.tilt_limit_deg == sampling.NO_TILT_LIMIT:
        current = geometry.view_direction(centre_deg[:, :2])
        sigma = max(state.sigma_rot_deg, state.sigma_tilt_deg)
        found = local_search.neighbours(current, state.healpix_order, sigma, state.point_group)
        place = torch.searchsorted(grid.pixels, found.pixel)
        return found.particle, place, found.weight
    directions_deg = grid.directions()
    if both:
        current = geometry.view_direction(centre_deg[:, :2])
        vectors = geometry.view_direction(directions_deg)
        sigma = max(state.sigma_rot_deg, state.sigma_tilt_deg)
        group = "C1" if relaxed else state.point_group
        weight = sampling.local_directions(current, vectors, sigma, group)
        if relaxed:
            weight = sampling.relax_symmetry(weight, vectors, relaxed)
    elif state.sigma_rot_deg > 0 or state.sigma_tilt_deg > 0:
        angle = 0 if state.sigma_rot_deg > 0 else 1
        sigma = state.sigma_rot_deg or state.sigma_tilt_deg
        weight = sampling.local_angle(centre_deg[:, angle], directions_deg[:, angle], sigma)
    else:
        weight = torch.full((n, n_directions), 1 / n_directions, dtype=torch.float64)
    particle, place = torch.nonzero(weight > 0, as_tuple=True)
    return particle, place, weight[particle, place]
