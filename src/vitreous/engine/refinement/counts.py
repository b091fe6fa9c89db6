"""How many hypotheses an iteration tries, and what that costs (refinement.md section 15.1).

For estimates of time and memory before anything is computed, and for what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

from vitreous.engine import sampling as grids
from vitreous.engine.refinement.schedule import count_directions
from vitreous.engine.refinement.schedule_auto import coarse_step_deg
from vitreous.engine.refinement.state import Sampling

FLOP_PER_PIXEL = 4  # two products and two sums of a real part of a complex product
CUT = 3.0  # sigmas to which local searches reach


@dataclass(frozen=True)
class Counts:
    """Sizes of the search of one particle.

    Parameters
    ----------
    orientations, shifts
        Coarse ones; of local searches the number expected.
    child_orientations, child_shifts
        Fine ones that stand for each coarse one.
    coarse_pixels, fine_pixels
        Complex pixels of an image in the half plane, coarse and fine pass.
    classes
        K.
    """

    orientations: int
    shifts: int
    child_orientations: int
    child_shifts: int
    coarse_pixels: int
    fine_pixels: int
    classes: int = 1

    @property
    def coarse_flop(self) -> float:
        """Operations of the matrix product of the coarse pass."""
        return float(FLOP_PER_PIXEL) * self.coarse_pixels * self.coarse_scores

    @property
    def power_flop(self) -> float:
        """Operations of the power term of the coarse pass, which shifts do not change."""
        return 2.0 * self.coarse_pixels * self.orientations * self.classes

    @property
    def coarse_scores(self) -> int:
        """Numbers that the coarse pass makes: classes x orientations x shifts."""
        return self.classes * self.orientations * self.shifts

    @property
    def children(self) -> int:
        """Fine hypotheses of each significant coarse one."""
        return self.child_orientations * self.child_shifts

    def fine_flop(self, significant: float) -> float:
        """Return the operations of a fine pass over so many significant coarse hypotheses."""
        return float(FLOP_PER_PIXEL) * self.fine_pixels * significant * self.children


def count(
    sampling: Sampling,
    coarse_size_px: int,
    current_size_px: int,
    *,
    n_classes: int = 1,
) -> Counts:
    """Count the hypotheses of an iteration.

    Parameters
    ----------
    sampling
        Its grid of poses.
    coarse_size_px, current_size_px
        Sides of the images in both passes.
    """
    ndim = 2 if sampling.healpix_order < 0 else 3
    halves = 2**sampling.oversampling
    return Counts(
        orientations=_orientations(sampling),
        shifts=len(grids.translations(sampling.shift_range_A, sampling.shift_step_A)),
        child_orientations=halves ** (1 if ndim == 2 else 3),
        child_shifts=halves**2,
        coarse_pixels=half_plane_pixels(coarse_size_px),
        fine_pixels=half_plane_pixels(current_size_px),
        classes=n_classes,
    )


def half_plane_pixels(size_px: int) -> int:
    """Return how many complex pixels of a half transform lie inside its circle, nearly."""
    return round(pi * (size_px / 2) ** 2 / 2)


def _orientations(sampling: Sampling) -> int:
    n_psi = len(grids.psi_angles(sampling.psi_step_deg))
    n_directions = count_directions(sampling)
    reach_deg = CUT * max(sampling.sigma_rot_deg, sampling.sigma_tilt_deg)
    if reach_deg > 0:
        near = pi * (reach_deg / coarse_step_deg(sampling)) ** 2
        n_directions = min(n_directions, max(1, round(near)))
    if sampling.sigma_psi_deg > 0:
        n_psi = min(n_psi, max(1, round(2 * CUT * sampling.sigma_psi_deg / sampling.psi_step_deg)))
    return n_directions * n_psi
