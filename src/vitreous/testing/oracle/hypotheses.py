"""What is tried: orientations and shifts of the coarse grid, and their children (section 4).

A `Block` is every orientation of a short list with every shift of another, for one class. The
coarse pass has one for each class, the fine pass one for each significant coarse orientation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.engine import geometry, healpix, sampling
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import State
from vitreous.testing.oracle.pixels import DOUBLE


@dataclass(frozen=True)
class Orientations:
    """The coarse orientations that a particle may have.

    Parameters
    ----------
    direction
        ``r``, place among the directions of the grid (0 in 2D and where angles are kept).
    pixel, psi_deg
        ``r``, HEALPix pixel and in-plane angle, not perturbed.
    fixed
        ``r c c`` where the angles are kept, else None.
    """

    direction: Tensor
    pixel: Tensor
    psi_deg: Tensor
    fixed: Tensor | None = None

    def __len__(self) -> int:
        """Return the number of orientations."""
        return len(self.direction)


@dataclass(frozen=True)
class Block:
    """Hypotheses of one class: all pairs of `rotations` and `shifts_A`.

    Parameters
    ----------
    class_
        Number of the class.
    rotations, direction, parent
        ``r c c``, ``r`` direction of the coarse parent, ``r`` coarse orientation.
    shifts_A, shift_parent
        ``t 2``, beyond the whole pixels that the image was moved by; ``t`` coarse shift.
    log_prior
        ``r t``; minus infinity where not allowed.
    """

    class_: int
    rotations: Tensor
    direction: Tensor
    parent: Tensor
    shifts_A: Tensor
    shift_parent: Tensor
    log_prior: Tensor


@dataclass(frozen=True)
class Grid:
    """The grid of an iteration, shared by all particles."""

    state: State
    settings: Settings
    ndim: int

    @property
    def keeps_angles(self) -> bool:
        """Whether orientations are not searched."""
        return self.settings.searching.skip_align or self.settings.searching.skip_rotate

    @property
    def oversampling(self) -> int:
        """Halvings of the steps in the fine pass."""
        return 0 if self.settings.searching.skip_align else self.state.sampling.oversampling

    @property
    def perturbation(self) -> float:
        """Perturbation in units of the coarse steps."""
        return 0.0 if self.keeps_angles else self.state.sampling.perturbation

    def directions(self) -> tuple[Tensor, Tensor]:
        """Return the pixels of the grid, and their rot and tilt."""
        of = self.state.sampling
        if self.ndim == 2:
            return torch.zeros(1, dtype=torch.int64), torch.zeros(1, 2, dtype=DOUBLE)
        group = "C1" if self.settings.searching.relax_point_group else of.point_group
        grid = sampling.Grid(of.healpix_order, point_group=group, tilt_limit_deg=of.tilt_limit_deg)
        return grid.pixels(), grid.directions()

    def psi_deg(self) -> Tensor:
        """Return the in-plane angles."""
        return sampling.psi_angles(self.state.sampling.psi_step_deg)

    def shifts_A(self, row: int, moved_A: Tensor) -> Tensor:
        """Return the coarse shifts of a particle, not perturbed, ``t 2``."""
        if self.settings.searching.skip_align:
            return torch.from_numpy(self.state.assignments.origin_A[row])[None] - moved_A
        of = self.state.sampling
        return sampling.translations(of.shift_range_A, of.shift_step_A)

    def rotations(self, some: Orientations, oversampling: int) -> Tensor:
        """Return the poses of orientations or of their children, perturbed, ``r m c c``."""
        if some.fixed is not None:
            return some.fixed[:, None]
        of = self.state.sampling
        if self.ndim == 2:
            psi = sampling.child_psi(some.psi_deg, of.psi_step_deg, oversampling)
            return in_plane(psi + self.perturbation * of.psi_step_deg)
        if oversampling == 0:
            angles = healpix.directions(of.healpix_order, some.pixel)
            poses = geometry.matrix_from_euler(torch.cat([angles, some.psi_deg[:, None]], 1))[
                :, None
            ]
        else:
            poses = sampling.child_poses(
                of.healpix_order, some.pixel, some.psi_deg, of.psi_step_deg, oversampling
            )
        turn_deg = self.perturbation * healpix.spacing_deg(of.healpix_order)
        return poses @ geometry.matrix_from_euler(torch.full((1, 3), turn_deg, dtype=DOUBLE))

    def moved_shifts_A(self, shifts_A: Tensor, oversampling: int) -> Tensor:
        """Return shifts or their children, perturbed, ``t q 2``."""
        step = self.state.sampling.shift_step_A
        inside = sampling.child_translations(shifts_A, step, oversampling)
        return inside + self.perturbation * step

    def coarse(self, class_: int, some: Orientations, shifts_A: Tensor, log_prior: Tensor) -> Block:
        """Return all coarse hypotheses of a class, at their perturbed places."""
        return Block(
            class_,
            self.rotations(some, 0)[:, 0],
            some.direction,
            torch.arange(len(some)),
            self.moved_shifts_A(shifts_A, 0)[:, 0],
            torch.arange(len(shifts_A)),
            log_prior,
        )

    def children(
        self, block: Block, some: Orientations, shifts_A: Tensor, significant: Tensor
    ) -> Iterator[Block]:
        """Yield the children of the significant hypotheses of a coarse block.

        Parameters
        ----------
        block, some, shifts_A
            A coarse block and what it was made of.
        significant
            ``r t``
        """
        fine = self.moved_shifts_A(shifts_A, self.oversampling)
        for r in torch.nonzero(significant.any(1))[:, 0]:
            one = Orientations(
                some.direction[r : r + 1],
                some.pixel[r : r + 1],
                some.psi_deg[r : r + 1],
                None if some.fixed is None else some.fixed[r : r + 1],
            )
            t = torch.nonzero(significant[r])[:, 0]
            rotations = self.rotations(one, self.oversampling)[0]
            shift_parent = t.repeat_interleave(fine.shape[1])
            yield Block(
                block.class_,
                rotations,
                one.direction.expand(len(rotations)),
                r.expand(len(rotations)),
                fine[t].reshape(-1, 2),
                shift_parent,
                block.log_prior[r, shift_parent].expand(len(rotations), -1),
            )


def in_plane(psi_deg: Tensor) -> Tensor:
    """Return the poses of averages, ``*n 2 2``."""
    psi = torch.deg2rad(psi_deg)
    rows = [torch.stack([psi.cos(), psi.sin()], -1), torch.stack([-psi.sin(), psi.cos()], -1)]
    return torch.stack(rows, -2)
