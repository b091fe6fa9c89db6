"""Turning volumes in real space, averaging them over a point group, finding their axes.

The search for axes (postprocessing.md section 9) is deterministic: every rotation of a grid that
the symmetry leaves distinct is scored on sample points of a smoothed map, and the best are refined
by following the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import (
    asymmetric_unit,
    fourier,
    geometry,
    healpix,
    resolution,
    sampling,
    symmetry,
)
from vitreous.engine.boxing import sample

N_SAMPLES = 6000
N_REFINED = 16
N_FINISHED = 3
MOST_ROTATIONS = 5000
MOST_MATES = 12


@dataclass(frozen=True)
class Alignment:
    """Where the axes of a map were found.

    Parameters
    ----------
    rotation
        ``3 3``; turns the map (points x to R x) so that its axes are those of the group.
    score
        Share of the variance of the turned map that its symmetrised copy explains: 1 is perfect
        symmetry; for no symmetry at all it is near 1 / order of the group for fine detail, more
        for smooth blobs.
    """

    rotation: Float[Tensor, "3 3"]
    score: float


def rotate(
    volume: Float[Tensor, "z y x"],
    rotation: Float[Tensor, "3 3"],
    shift_px: Float[Tensor, " 3"] | None = None,
    *,
    oversampling: int = 1,
) -> Float[Tensor, "z y x"]:
    """Turn a volume about its centre, then move it: the point x goes to ``R x + shift``.

    Parameters
    ----------
    volume
        A cube; outside it is zero.
    rotation, shift_px
        Any orthonormal matrix, mirrors included; shift in pixels, x y z.
    oversampling
        Interpolate (trilinearly) on a grid that many times finer, made by Fourier padding:
        2 loses far less of the high frequencies and takes eight times the memory.
    """
    places = _places(volume)
    if shift_px is not None:
        places = places - shift_px.to(places)
    # x goes to R x, so the value at p comes from R^-1 p: as a row, p R.
    return sample(_finer(volume, oversampling), oversampling * (places @ rotation.to(places)))


def _places(volume: Tensor) -> Tensor:
    """Return where the voxels lie, ``z y x 3``: x y z from the centre."""
    size = volume.shape[-1]
    axis = torch.arange(size, dtype=volume.dtype, device=volume.device) - size // 2
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")[::-1], -1)


def _finer(volume: Tensor, factor: int) -> Tensor:
    """Return the volume on a grid that many times finer."""
    if factor == 1:
        return volume
    size = volume.shape[-1] * factor
    half = fourier.pad(fourier.forward(volume, 3), size, 3, corners=True)
    return fourier.inverse(half, 3, size)


def symmetrise(
    volume: Float[Tensor, "z y x"], point_group: str, *, oversampling: int = 1
) -> Float[Tensor, "z y x"]:
    """Average a volume over its copies under all operators of a point group.

    Parameters
    ----------
    volume
        A cube, origin at ``size // 2``. What an operator brings in from outside the box counts
        as 0.
    point_group
        Mirrors count too, as RELION takes them.
    oversampling
        As for `rotate`.
    """
    operators = symmetry.operators(point_group).to(volume)
    fine, places = _finer(volume, oversampling), oversampling * _places(volume)
    total = torch.zeros_like(volume)
    for operator in operators:
        total += sample(fine, places @ operator)
    return total / len(operators)


def find_axes(
    volume: Float[Tensor, "z y x"], point_group: str, *, only_rot: bool = False
) -> Alignment:
    """Find the rotation that brings the symmetry axes of a map to those of a group.

    Parameters
    ----------
    volume
        A centred cube of about 64 pixels: Nyquist near 20 A is enough.
    point_group
        The symmetry that the map has, in any orientation.
    only_rot
        Turn about z only.
    """
    operators = symmetry.operators(point_group, volume.dtype).to(volume.device)
    smooth = _gaussian_filter(volume, volume.shape[-1] / 8)
    points = _sample_points(volume, len(operators))
    coarse = _candidates(point_group, only_rot).to(volume)
    few = points[: len(points) // 3]
    chunks = torch.split(coarse, 64)
    best = _best(
        coarse, torch.cat([_scores(smooth, chunk, operators, few) for chunk in chunks]), N_REFINED
    )
    best = _refine(smooth, best, operators, few, 2.0, only_rot)
    best = _best(best, _scores(volume, best, operators, points), N_FINISHED)
    for step_deg in (0.5, 0.1):
        best = _refine(volume, best, operators, points, step_deg, only_rot)
    scores = _scores(volume, best, operators, points)
    winner = int(scores.argmax())
    return Alignment(best[winner], float(scores[winner]))


def score(volume: Float[Tensor, "z y x"], point_group: str) -> float:
    """Return the share of the variance that symmetrising keeps; see `Alignment`."""
    operators = symmetry.operators(point_group, volume.dtype).to(volume.device)
    identity = torch.eye(3, dtype=volume.dtype, device=volume.device)[None]
    return float(_scores(volume, identity, operators, _sample_points(volume, len(operators)))[0])


def mates_fsc(volume: Float[Tensor, "z y x"], point_group: str) -> Float[Tensor, " s"]:
    """Return the FSC between a map and its copies, the mean over up to twelve operators of a group.

    A map that was made without symmetry and has it correlates with its copies as far as it can be
    trusted: unlike `score`, which noise alone brings to 1 / order of the group, and a low-passed
    blob to nearly 1.

    Parameters
    ----------
    volume
        A cube whose axes are those of the group.
    """
    mates = symmetry.operators(point_group, volume.dtype).to(volume.device)[1:]
    chosen = mates[:: max(1, -(-len(mates) // MOST_MATES))]
    curves = [resolution.fsc(volume, rotate(volume, mate, oversampling=2), 3) for mate in chosen]
    return torch.stack(curves).mean(0)


def _best(rotations: Tensor, scores: Tensor, n: int) -> Tensor:
    return rotations[scores.topk(min(n, len(rotations))).indices]


def _candidates(point_group: str, only_rot: bool) -> Tensor:
    """Return rotations to try: those that the group, or freedom about its axis, leaves distinct."""
    group = symmetry.parse(point_group)
    if only_rot:
        turns = torch.arange(0, 360 / max(group.n, 1), 3.0, dtype=torch.float64)
        flat = torch.zeros_like(turns)
        return geometry.matrix_from_euler(torch.stack([turns, flat, flat], 1))
    if group.family == "C":
        directions = healpix.directions(4, asymmetric_unit.pixels(4, "C1"))
        upper = directions[directions[:, 1] <= 90 + 1e-6]
        return geometry.matrix_from_euler(torch.cat([upper, torch.zeros_like(upper[:, :1])], 1))
    n = len(symmetry.operators(point_group))
    order = 3 if 72 * 8**3 / n <= MOST_ROTATIONS else 2
    grid = sampling.Grid(order, point_group=point_group)
    poses = sampling.poses(grid.directions(), grid.psi()).flatten(0, 1)
    return poses.transpose(1, 2)


def _sample_points(volume: Tensor, n_operators: int) -> Tensor:
    """Return fixed points, uniform in the largest ball; fewer where each has many mates."""
    generator = torch.Generator().manual_seed(0)
    n = max(N_SAMPLES // n_operators, 200)
    directions = geometry.random_rotations(n, generator, torch.float64)[:, 2]
    radii = torch.rand((n, 1), generator=generator, dtype=torch.float64) ** (1 / 3)
    return (directions * radii * (volume.shape[-1] // 2 - 1)).to(volume)


def _scores(volume: Tensor, rotations: Tensor, operators: Tensor, points: Tensor) -> Tensor:
    """Return the explained variance of each rotation: means over mates against single values."""
    mates = points @ operators.transpose(1, 2)
    values = sample(volume, mates[None] @ rotations[:, None])
    values = values - values.mean((1, 2), keepdim=True)
    return (values.mean(1) ** 2).sum(-1) / (values**2).mean(1).sum(-1).clamp(min=1e-30)


def _refine(
    volume: Tensor,
    rotations: Tensor,
    operators: Tensor,
    points: Tensor,
    step_deg: float,
    only_rot: bool,
) -> Tensor:
    """Follow the gradient of every candidate at once, in steps that shrink to a tenth."""
    turns = torch.zeros(len(rotations), 3, dtype=volume.dtype, device=volume.device)
    turns.requires_grad_()
    n_steps = 25
    optimiser = torch.optim.Adam([turns], lr=float(torch.deg2rad(torch.tensor(step_deg))))
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimiser, 0.1 ** (1 / n_steps))
    for _ in range(n_steps):
        optimiser.zero_grad()
        loss = -_scores(volume, _turned(rotations, turns), operators, points).sum()
        (turns.grad,) = torch.autograd.grad(loss, turns)
        if only_rot:
            turns.grad[:, :2] = 0
        optimiser.step()
        schedule.step()
    refined = _turned(rotations, turns.detach())
    better = _scores(volume, refined, operators, points) > _scores(
        volume, rotations, operators, points
    )
    return torch.where(better[:, None, None], refined, rotations)


def _turned(rotations: Tensor, turns: Tensor) -> Tensor:
    """Return the rotations followed by small turns, given as rotation vectors."""
    zero = torch.zeros_like(turns[:, 0])
    x, y, z = turns.unbind(-1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    result: Tensor = torch.linalg.matrix_exp(skew) @ rotations
    return result


def _gaussian_filter(volume: Tensor, shell: float) -> Tensor:
    """Damp the transform to 1/e at a shell."""
    size = volume.shape[-1]
    radius = fourier.shell_index(size, 3, volume.device).to(volume.dtype)
    return fourier.inverse(fourier.forward(volume, 3) * torch.exp(-((radius / shell) ** 2)), 3)
