"""The poses that one iteration tries, coarse and fine (refinement.md section 4).

Rotation r is direction ``r // n_psi`` with in-plane angle ``r % n_psi``. Everything is perturbed
here; priors are taken from the unperturbed grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from vitreous.engine import geometry, healpix, sampling
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Sampling

_CELL_LEVELS = 3


@dataclass(frozen=True)
class PoseGrid:
    """The coarse grid of an iteration and its children.

    Parameters
    ----------
    sampling
        Steps and perturbation.
    ndim
        2 or 3, of the references.
    pixels
        HEALPix pixels searched; one 0 where references are 2D.
    psi_deg
        In-plane angles, unperturbed.
    axis_A
        Values of shifts along an axis, unperturbed and rising.
    shifts
        ``t 2``: places x y in `axis_A` of every coarse shift.
    """

    sampling: Sampling
    ndim: int
    pixels: Int64[Tensor, " d"]
    psi_deg: Float[Tensor, " m"]
    axis_A: Float[Tensor, " a"]
    shifts: Int64[Tensor, "t 2"]

    @property
    def n_rotations(self) -> int:
        """Return how many coarse rotations there are."""
        return len(self.pixels) * len(self.psi_deg)

    @property
    def rotation_children(self) -> int:
        """Return how many fine rotations stand for a coarse one."""
        return 1 << (self.sampling.oversampling * (3 if self.ndim == 3 else 1))

    @property
    def shift_children(self) -> int:
        """Return how many fine shifts along an axis stand for a coarse one."""
        return 1 << self.sampling.oversampling

    def directions(self) -> Float[Tensor, "d 2"]:
        """Return rot and tilt of the unperturbed directions."""
        if self.ndim == 2:
            return torch.zeros(1, 2, dtype=torch.float64)
        return healpix.directions(self.sampling.healpix_order, self.pixels)

    def rotations(self, chosen: Int64[Tensor, " r"]) -> Float[Tensor, "r 3 3"]:
        """Return perturbed coarse poses."""
        return self._turned(self._angles(chosen, 0))

    def children(self, chosen: Int64[Tensor, " r"]) -> Float[Tensor, "m 3 3"]:
        """Return the perturbed fine poses of coarse rotations, children fastest."""
        return self._turned(self._angles(chosen, self.sampling.oversampling))

    @property
    def cell_levels(self) -> int:
        """Return up to which level poses can be put together to cells (`cells`)."""
        if self.ndim == 2:
            return 0
        levels = range(1, min(_CELL_LEVELS, self.sampling.healpix_order) + 1)
        return max((level for level in levels if len(self.psi_deg) % 2**level == 0), default=0)

    def cells(self, chosen: Int64[Tensor, " r"], level: int) -> Int64[Tensor, " r"]:
        """Return the cell that coarse poses lie in, 8^level of them together.

        A cell is a HEALPix pixel `level` orders coarser with a run of 2^level in-plane angles.
        These count in the frame of the pixel `cell_levels` orders coarser: near the poles, frames
        of neighbours are turned far. Cells of one level lie within those of the next.
        """
        n_psi = len(self.psi_deg)
        place, which = torch.unique(chosen // n_psi, return_inverse=True)
        pixels = self.pixels[place]
        turned = self._twist_deg(pixels, 0) / self.sampling.psi_step_deg
        angles = (chosen % n_psi + turned.round().to(torch.int64)[which]) % n_psi
        return (pixels[which] >> 2 * level) * (n_psi >> level) + (angles >> level)

    def cell_rotations(self, cells: Int64[Tensor, " r"], level: int) -> Float[Tensor, "r 3 3"]:
        """Return the perturbed poses in the middle of cells."""
        n_angles = len(self.psi_deg) >> level
        pixels = cells // n_angles
        middle = (2**level - 1) / 2 * self.sampling.psi_step_deg
        psi = self.psi_deg[(cells % n_angles) << level] + middle - self._twist_deg(pixels, level)
        directions = healpix.directions(self.sampling.healpix_order - level, pixels)
        return self._turned(torch.cat([directions, psi[:, None]], 1))

    def _twist_deg(self, pixels: Int64[Tensor, " p"], level: int) -> Float[Tensor, " p"]:
        """Return how far frames of coarser pixels are turned from those that cells count in."""
        order, above = self.sampling.healpix_order - level, self.cell_levels - level
        frames = []
        for up in (0, above):
            angles = healpix.directions(order - up, pixels >> 2 * up)
            frames.append(geometry.matrix_from_euler(functional.pad(angles, (0, 1))))
        between = frames[0] @ frames[1].mT
        sine, cosine = between[:, 0, 1] - between[:, 1, 0], between[:, 0, 0] + between[:, 1, 1]
        return torch.rad2deg(torch.atan2(sine, cosine))

    def shifts_A(self) -> Float[Tensor, "t 2"]:
        """Return the unperturbed coarse shifts x y."""
        return self.axis_A[self.shifts]

    def coarse_axis_A(self) -> Float[Tensor, " a"]:
        """Return the perturbed values of coarse shifts along an axis."""
        return self.axis_A + self.sampling.perturbation * self.sampling.shift_step_A

    def fine_axis_A(self) -> Float[Tensor, " b"]:
        """Return the perturbed values of fine shifts along an axis, children fastest."""
        parts, step = self.shift_children, self.sampling.shift_step_A
        inside = step * ((torch.arange(parts, dtype=torch.float64) + 0.5) / parts - 0.5)
        return (self.coarse_axis_A()[:, None] + inside).flatten()

    def _angles(self, chosen: Tensor, levels: int) -> Tensor:
        """Return unperturbed rot, tilt, psi, ``m 3``."""
        step = self.sampling.psi_step_deg
        psi = sampling.child_psi(self.psi_deg[chosen % len(self.psi_deg)], step, levels)
        if self.ndim == 2:
            psi = psi.flatten()
            return torch.stack([torch.zeros_like(psi), torch.zeros_like(psi), psi], 1)
        directions = sampling.child_directions(
            self.sampling.healpix_order, self.pixels[chosen // len(self.psi_deg)], levels
        )
        n, n_directions, n_psi = len(chosen), directions.shape[1], psi.shape[1]
        both = torch.cat(
            [
                directions[:, :, None].expand(n, n_directions, n_psi, 2),
                psi[:, None, :, None].expand(n, n_directions, n_psi, 1),
            ],
            -1,
        )
        return both.reshape(-1, 3)

    def _turned(self, angles_deg: Tensor) -> Tensor:
        perturbation = self.sampling.perturbation
        if self.ndim == 2:
            moved = angles_deg.clone()
            moved[:, 2] += perturbation * self.sampling.psi_step_deg
            return geometry.matrix_from_euler(moved)
        step = healpix.spacing_deg(self.sampling.healpix_order)
        return sampling.perturb_poses(geometry.matrix_from_euler(angles_deg), perturbation, step)


def pose_grid(state: Sampling, settings: Settings) -> PoseGrid:
    """Return the grid of an iteration."""
    searching = settings.searching
    psi = sampling.psi_angles(state.psi_step_deg)
    if settings.ndim == 2:
        pixels = torch.zeros(1, dtype=torch.int64)
    else:
        group = "C1" if searching.relax_point_group else state.point_group
        pixels = sampling.Grid(
            state.healpix_order, point_group=group, tilt_limit_deg=state.tilt_limit_deg
        ).pixels()
    shifts_A = sampling.translations(state.shift_range_A, state.shift_step_A)
    axis_A = torch.unique(shifts_A[:, 0])
    places = torch.searchsorted(axis_A, shifts_A.contiguous())
    return PoseGrid(state, settings.ndim, pixels, psi, axis_A, places)
