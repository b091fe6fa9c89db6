"""What is probable before the image is seen (sections 3.2, 4.5, 4.6).

Priors belong to the unperturbed coarse grid; children have that of their parent. Each factor is
divided by its mean over the grid, which shows in the log likelihood only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vitreous.engine import geometry, symmetry
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State
from vitreous.testing.oracle.hypotheses import Grid, Orientations, in_plane
from vitreous.testing.oracle.pixels import DOUBLE

STIFF_A2 = 1e-4
AT_PRIOR_A = 1e-3


def orientations(grid: Grid, model: Model, row: int) -> tuple[Orientations, Tensor]:
    """Return the coarse orientations of a particle and their log prior in each class, ``k r``."""
    state, settings = grid.state, grid.settings
    angles = torch.from_numpy(state.assignments.angles_deg[row])
    if grid.keeps_angles:
        zero = torch.zeros(1, dtype=torch.int64)
        pose = geometry.matrix_from_euler(angles[None]) if grid.ndim == 3 else in_plane(angles[2:])
        prior = model.class_weight.to(DOUBLE)[:, None] * model.n_classes
        return Orientations(zero, zero, angles[2:], pose), prior.log()
    pixels, directions = grid.directions()
    psi_deg = grid.psi_deg()
    if state.sampling.is_local and grid.ndim == 3:
        centre = local_centre(state, settings, row)
        along = direction_prior(centre, directions, state, settings)
        around = psi_prior(centre, psi_deg, state, settings)
        first, second = torch.nonzero(along)[:, 0], torch.nonzero(around)[:, 0]
        along, around = along[first], around[second]
        prior = (along[:, None] / along.mean()) * (around / around.mean())
        prior = prior.flatten().expand(model.n_classes, -1)
    else:
        first, second = torch.arange(len(pixels)), torch.arange(len(psi_deg))
        table = model.direction_weight.to(DOUBLE) * model.n_classes * len(pixels)
        prior = table.repeat_interleave(len(psi_deg), 1)
    direction = first.repeat_interleave(len(second))
    some = Orientations(direction, pixels[direction], psi_deg[second].repeat(len(first)))
    return some, prior.log()


def local_centre(state: State, settings: Settings, row: int) -> Tensor:
    """Return the angles near which a particle is searched."""
    angles = torch.from_numpy(state.assignments.angles_deg[row])
    prior = torch.from_numpy(state.assignments.prior_deg[row])
    if settings.auto_refine and not settings.helix.is_helix:
        return angles
    return torch.where(prior.isnan(), angles, prior)


def direction_prior(centre: Tensor, directions: Tensor, state: State, settings: Settings) -> Tensor:
    """Return the prior of every direction of the grid, summing to 1; 0 where not searched."""
    rot, tilt = state.sampling.sigma_rot_deg, state.sampling.sigma_tilt_deg
    if rot > 0 and tilt > 0:
        mates = operators(state.sampling.point_group)
        view = geometry.view_direction(centre[None, :2])[0]
        grid = geometry.view_direction(directions)
        cosine = torch.stack([grid @ (view @ mate) for mate in mates]).amax(0)
        prior = gaussian(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))), max(rot, tilt))
        return relaxed(prior, grid, settings.searching.relax_point_group)
    if rot > 0:
        return gaussian(wrapped(directions[:, 0] - centre[0]), rot)
    if tilt > 0:
        return gaussian(wrapped(directions[:, 1] - centre[1]), tilt)
    return torch.full((len(directions),), 1 / len(directions), dtype=DOUBLE)


def relaxed(prior: Tensor, grid: Tensor, point_group: str) -> Tensor:
    """Share the prior of each direction with those nearest to its mates (section 4.6)."""
    if not point_group:
        return prior
    mates = operators(point_group)
    shared = torch.zeros_like(prior)
    for accepted in torch.nonzero(prior)[:, 0]:
        for mate in mates:
            shared[(grid @ (grid[accepted] @ mate)).argmax()] += prior[accepted] / len(mates)
    return shared


def psi_prior(centre: Tensor, psi_deg: Tensor, state: State, settings: Settings) -> Tensor:
    """Return the prior of every in-plane angle of the grid, summing to 1."""
    sigma = state.sampling.sigma_psi_deg
    if sigma <= 0:
        return torch.full_like(psi_deg, 1 / len(psi_deg))
    away = wrapped(psi_deg - centre[2])
    if settings.searching.bimodal_psi:
        away = torch.minimum(away, 180 - away)
    return gaussian(away, sigma)


def gaussian(away_deg: Tensor, sigma_deg: float) -> Tensor:
    """Return Gaussian weights cut at 3 sigma, summing to 1; the nearest alone if none is near."""
    weight = torch.exp(-0.5 * (away_deg / sigma_deg) ** 2) * (away_deg < 3 * sigma_deg)
    if float(weight.sum()) == 0:
        weight[away_deg.argmin()] = 1
    return weight / weight.sum()


def wrapped(difference_deg: Tensor) -> Tensor:
    """Return how far apart two angles are, 0 to 180."""
    around = difference_deg % 360
    return torch.minimum(around, 360 - around)


def operators(point_group: str) -> Tensor:
    """Return what a point group does to viewing directions."""
    return symmetry.view_rotations(symmetry.operators(point_group))


def offset_centres_A(state: State, model: Model, row: int) -> Tensor:
    """Return where the offset of a particle is expected in each class, ``k 2``."""
    if model.ndim == 2:
        return model.class_offset_A.to(DOUBLE)
    prior = torch.from_numpy(state.assignments.prior_origin_A[row]).nan_to_num(0.0)
    return prior.expand(model.n_classes, 2)


def offset_prior(offsets_A: Tensor, centres_A: Tensor, sigma_A: float) -> Tensor:
    """Return the log prior of offsets in each class, ``k t``.

    Parameters
    ----------
    offsets_A
        ``t 2``, whole offsets: what the image was moved by and the unperturbed coarse shift.
    centres_A
        ``k 2``
    """
    distance2 = (offsets_A - centres_A[:, None]).square().sum(-1)
    if sigma_A**2 < STIFF_A2:
        allowed = distance2 < AT_PRIOR_A**2
        allowed = allowed if bool(allowed.any()) else torch.ones_like(allowed)
        return torch.where(allowed, 0.0, -math.inf).to(DOUBLE)
    exponent = -distance2 / (2 * sigma_A**2)
    return exponent - (exponent.logsumexp((0, 1)) - math.log(exponent.numel()))
