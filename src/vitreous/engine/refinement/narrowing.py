"""How long lists of poses are narrowed down before all pixels are looked at.

Poses of a fine grid lie so close that low frequencies hardly tell neighbours apart. Eight to the
power l of them, a cell, are then looked at through the pose in their middle, by the pixels up to a
radius at which it is as good as any of them; what the best cell leaves far behind is not looked at
again. Steps go from large cells and few pixels to small cells and many.

Two things may hide the right pose from a step. Pixels within the radius tell it from another by few
deviations D of the noise: its log weight is higher by ``D^2 / 2`` on average, with the deviation D.
And with R the middle of its cell and R' a corner, ``d^2 = sum c |P(R) - P(R')|^2`` over these
pixels: the middle is lower by ``d^2 / 2`` on average where the corner is right, with the deviation
d. The radius of a step is that where d reaches `_HIDDEN`. What then lies `LOST_CELL` below the best
cell, or `LOST_POSE` below the best pose, is the right one only where the noise is beyond five
deviations, whatever D is. The CTF is taken as 1, which makes d larger than it is.

What steps are taken follows from the model alone, as the answer of `reach`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import geometry, healpix
from vitreous.engine.ctf import Optics
from vitreous.engine.refinement import reach
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import View
from vitreous.engine.refinement.references import References
from vitreous.engine.refinement.state import Model

LOST_CELL = 19.0  # nat below the best
LOST_POSE = 13.0
_HIDDEN = 2.5
_ROUNDED = 0.3  # what frames turned by whole steps of the in-plane angle add to half a cell
_LEAST_RADIUS = 10
_INNER = (0.5, 0.7)  # radii at which poses themselves are looked at first, as parts of all


@dataclass(frozen=True)
class Step:
    """Cells of 8^level poses, seen by the pixels up to a radius."""

    level: int
    radius: int

    @property
    def lost(self) -> float:
        """Return how far below the best nothing is looked at again."""
        return LOST_CELL if self.level else LOST_POSE


def steps(
    seen: View,
    model: Model,
    references: References,
    optics: Optics,
    grid: PoseGrid,
    *,
    cells: bool = True,
) -> tuple[Step, ...]:
    """Return how lists are narrowed down for the images of an optics group.

    Parameters
    ----------
    seen
        The images; lists are wanted at its `coarse_radius`.
    model, references, optics, grid
        What they are compared with.
    cells
        Poses are of the grid, and not those of the particles.
    """
    radius = seen.coarse_radius
    if radius < reach.LEAST_RADIUS:
        return ()
    found: list[Step] = []
    if cells:
        for level in range(grid.cell_levels, 0, -1):
            step = Step(level, _radius(seen, model, references, optics, grid, level))
            if step.radius >= _LEAST_RADIUS:
                found.append(step)
    for part in _INNER:
        inner = math.ceil(part * radius)
        if not found or found[-1].radius < inner:
            found.append(Step(0, inner))
    return tuple(found)


def _radius(
    seen: View,
    model: Model,
    references: References,
    optics: Optics,
    grid: PoseGrid,
    level: int,
) -> int:
    """Return the radius within which the middle of a cell stands for all of it."""
    radius = seen.coarse_radius
    views = reach.views(3)
    corners = _corners(grid, level)
    hidden = torch.zeros(radius + 1, dtype=torch.float64)
    for k in references.searched:
        middle = references.tight(k, views, seen, optics, radius)
        turned = (corners[:, None] @ views).reshape(-1, 3, 3)
        apart = references.tight(k, turned, seen, optics, radius)
        apart -= middle.repeat(len(corners), 1, 1)
        within = reach.powers(apart, seen, model, radius).cumsum(0)
        hidden = torch.maximum(hidden, within)
    return int((hidden <= _HIDDEN**2).sum()) - 1


def _corners(grid: PoseGrid, level: int) -> Float[Tensor, "c 3 3"]:
    """Return what turns the middle of a cell into its corners, one of each opposite pair."""
    half = (2**level - 1) / 2
    direction_deg = half * healpix.spacing_deg(grid.sampling.healpix_order)
    psi_deg = (half + _ROUNDED) * grid.sampling.psi_step_deg
    axes = torch.eye(3)
    ends = torch.tensor([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], dtype=torch.float32)
    turns = ends * torch.deg2rad(torch.tensor([direction_deg, direction_deg, psi_deg]))
    around_x, around_y, around_z = (
        geometry.rotation_about(axes[i].expand(4, 3), turns[:, i]) for i in range(3)
    )
    return around_z @ around_y @ around_x
