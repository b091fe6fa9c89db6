"""The second pass: children of significant poses (refinement.md sections 5.3 and 15.5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.kernels.pose_records import Kept, Tries
from vitreous.engine.refinement.coarse import Cut, Significant, runs
from vitreous.engine.refinement.disc import disc, places_in
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared
from vitreous.engine.refinement.references import References


@dataclass(frozen=True)
class Poses:
    """The poses that are tried: of the grid, or of particles that keep their orientation.

    Parameters
    ----------
    grid
        The poses of the iteration.
    own
        Matrices of all particles where orientations are not searched; the number of a rotation
        is then the row of a particle.
    """

    grid: PoseGrid
    own: Float[Tensor, "n 3 3"] | None = None

    @property
    def n_rotations(self) -> int:
        """Return how many coarse rotations a class has."""
        return self.grid.n_rotations if self.own is None else len(self.own)

    @property
    def children(self) -> int:
        """Return how many fine rotations a coarse one has."""
        return self.grid.rotation_children if self.own is None else 1

    def fine(self, names: Int64[Tensor, " u"]) -> Float[Tensor, "v 3 3"]:
        """Return the fine rotations of ``class * n_rotations + rotation``."""
        within = names % self.n_rotations
        return self.grid.children(within) if self.own is None else self.own[within]

    def coarse(self, names: Int64[Tensor, " u"]) -> Float[Tensor, "u 3 3"]:
        """Return the coarse rotations themselves."""
        within = names % self.n_rotations
        return self.grid.rotations(within) if self.own is None else self.own[within]

    def direction(self, names: Int64[Tensor, " u"]) -> Int64[Tensor, " u"]:
        """Return the number of the direction of each."""
        if self.own is not None:
            return torch.zeros_like(names)
        return names % self.n_rotations // len(self.grid.psi_deg)


@dataclass(frozen=True)
class Fine:
    """Poses that images keep, and what their numbers mean.

    Parameters
    ----------
    kept
        By image.
    coarse
        ``u``: ``class * n_rotations + rotation`` of the coarse rotations that `kept` counts.
    rotations
        ``u c``: matrices of the fine rotations, as `kept.rotation` numbers them.
    children
        Fine rotations of a coarse one.
    axis_A
        Shifts along an axis, as `kept.shift` numbers them.
    """

    kept: Kept
    coarse: Int64[Tensor, " u"]
    rotations: Float[Tensor, "v 3 3"]
    children: int
    axis_A: Float[Tensor, " a"]


def refine(
    images: Prepared,
    references: References,
    tried: Poses,
    optics: Optics,
    coarse: Significant,
    rotation_prior: Float[Tensor, " m"],
    shift_prior: Float[Tensor, "n k t"],
    cut: Cut,
) -> Fine:
    """Score the children of significant coarse poses at the full size of the iteration.

    Parameters
    ----------
    images, references, tried, optics
        As in the first pass.
    coarse
        What that pass found.
    rotation_prior
        Log prior of each significant pose (of its rotation).
    shift_prior
        Log priors of the coarse shifts.
    cut
        What is kept.
    """
    seen, grid, n_rotations = images.view, tried.grid, tried.n_rotations
    radius = seen.fine_radius
    image = torch.repeat_interleave(torch.arange(len(images)), coarse.counts)
    names, number = torch.unique(coarse.rotation, return_inverse=True)
    classes = names // n_rotations
    fine_rotations = tried.fine(names)
    children = tried.children
    begin, end = runs(image, coarse.rotation)
    source = references.source(
        classes.repeat_interleave(children), fine_rotations, seen, optics, radius,
        uses=len(begin) * children,
    )  # fmt: skip
    group_begin = torch.searchsorted(image[begin], torch.arange(len(images) + 1))
    axis_A = grid.fine_axis_A()
    tries = Tries(
        group_begin,
        number[begin].to(torch.int32),
        rotation_prior[begin].contiguous(),
        begin,
        end,
        grid.shifts[coarse.shift].to(torch.int16),
        shift_prior[image, coarse.rotation // n_rotations, coarse.shift].contiguous(),
        children,
        grid.shift_children,
    )
    packed = [images.b_re, images.b_im, images.c]
    if radius < seen.scored.radius:
        places = places_in(radius, seen.scored.radius)
        packed = [array[:, places].contiguous() for array in packed]
    kept = poses.score(
        source,
        packed,
        tries,
        disc(radius).phases(axis_A / seen.pixel_size_A, seen.box_px),
        fraction=cut.fraction,
        correlation=cut.correlation,
    )
    return Fine(kept, names, fine_rotations, children, axis_A)


def as_final(poses_: Poses, coarse: Significant) -> Fine:
    """Take the poses of a single pass as they are."""
    names, number = torch.unique(coarse.rotation, return_inverse=True)
    kept = Kept(
        coarse.counts,
        number.to(torch.int32),
        poses_.grid.shifts[coarse.shift].to(torch.int16),
        coarse.weight,
        coarse.largest,
        coarse.log_sum,
    )
    return Fine(kept, names, poses_.coarse(names), 1, poses_.grid.coarse_axis_A())
