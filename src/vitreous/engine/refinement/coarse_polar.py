"""The first pass with slices shared between in-plane angles (see `polar`), and the choice of it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.kernels.polar_slices import PolarSlices
from vitreous.engine.kernels.reference_poses import LOST
from vitreous.engine.refinement import polar
from vitreous.engine.refinement.coarse import (
    SCORE_BYTES,
    Cut,
    Significant,
    Slices,
    scored,
    shift_factors,
    significant,
)
from vitreous.engine.refinement.coarse_dense import DenseSlices
from vitreous.engine.refinement.disc import disc, tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared, View
from vitreous.engine.refinement.references import References

_MANY_ANGLES = 12  # in-plane angles from which on sharing pays
_LARGEST_ERROR = 6.0  # nat; the cut is widened by what is measured (section 15.4)
_SAMPLE = 16  # images and directions that the error is measured on


def slices_for(
    images: Prepared,
    references: References,
    grid: PoseGrid,
    optics: Optics,
    classes: tuple[int, ...],
    cut: Cut,
    *,
    exact: bool = False,
) -> Slices:
    """Return slices in the cheapest form that is accurate enough for these images.

    Parameters
    ----------
    images
        Some images of the optics group, to measure errors on.
    references, grid, optics, classes, cut
        What is searched, and what is kept.
    exact
        Share nothing.
    """
    seen = images.view
    # A graphics card multiplies matrices so fast that there is nothing to gain.
    exact = exact or references.device.type != "cpu"
    many = len(grid.psi_deg) >= _MANY_ANGLES and not (cut.correlation or exact)
    if many and polar.is_possible(optics, seen.group, grid):
        weight = mean_weight(images, cut)
        shared = SharedSlices(references, grid, seen, optics, classes, weight)
        shared.margin_nat = shared.error_nat(images, cut)
        if shared.margin_nat <= _LARGEST_ERROR:
            return shared
    return DenseSlices(references, grid, seen, optics, classes)


class SharedSlices:
    """Slices of all classes shared between in-plane angles; see `polar`."""

    def __init__(
        self,
        references: References,
        grid: PoseGrid,
        seen: View,
        optics: Optics,
        classes: tuple[int, ...],
        weight: Float[Tensor, " s"],
    ) -> None:
        self.grid, self.seen, self.classes = grid, seen, classes
        args = (references, grid, seen, optics, classes, weight)
        self.slices, self.squares = polar.harmonics(*args)
        self._references, self._optics = references, optics
        self.margin_nat = 0.0

    def error_nat(self, images: Prepared, cut: Cut) -> float:
        """Return the deviation of log weights from those of true slices, on a sample.

        Both interpolate, in different ways; where the signal is so strong that the difference
        matters, `coarse_dense` is to be used.
        """
        grid, n_psi = self.grid, len(self.grid.psi_deg)
        b, c = scored(images.select(slice(0, min(_SAMPLE, len(images)))), cut)
        n_directions = len(grid.pixels)
        some = torch.arange(0, n_directions, -(-n_directions // _SAMPLE))
        chosen = (some[:, None] * n_psi + torch.arange(n_psi)).flatten()
        worst = 0.0
        for number, k in enumerate(self.classes):
            if number >= _SAMPLE:
                break
            table = self._references.tight(
                k, grid.rotations(chosen), self.seen, self._optics, self.seen.coarse_radius
            )
            true = torch.view_as_real(b).flatten(1) @ table.flatten(1).T
            true -= 0.5 * (c @ table.square().sum(-1).T)
            of_class = some + number * n_directions
            found = self.slices.select(of_class).cross(b) - _powers(
                self.squares.select(of_class), c
            )
            difference = found.permute(1, 2, 0).reshape(len(b), -1) - true
            worst = max(worst, float(difference.square().mean().sqrt()))
        return worst

    def search(
        self,
        images: Prepared,
        rotation_prior: Float[Tensor, "k r"],
        shift_prior: Float[Tensor, "n k t"],
        cut: Cut,
    ) -> Significant:
        """Score all coarse poses of images."""
        grid, classes = self.grid, self.classes
        b, c = scored(images, cut)
        factors = shift_factors(grid, images.view)
        prior = rotation_prior[list(classes)].flatten()
        of_image = shift_prior[:, list(classes)]
        wider = 4 * self.margin_nat
        fraction = 1 - (1 - cut.fraction) * math.exp(-wider)
        n_numbers = self.slices.even.shape[1] + self.slices.odd.shape[1]
        per_image = 4 * len(factors) * (2 * b.shape[1] + n_numbers) + 4 * len(prior)
        step = max(1, SCORE_BYTES // per_image)
        found = []
        for start in range(0, len(b), step):
            part = slice(start, min(start + step, len(b)))
            found.append(
                self.slices.search(
                    b[part, None] * factors, _powers(self.squares, c[part]), prior, of_image[part],
                    fraction=fraction, lost=LOST + wider, most=cut.most,
                )
            )  # fmt: skip
        return significant(found, len(factors), grid.n_rotations, torch.tensor(classes))


def mean_weight(images: Prepared, cut: Cut) -> Float[Tensor, " s"]:
    """Return the mean of c of some images in each shell."""
    _, c = scored(images.select(slice(0, min(_SAMPLE, len(images)))), cut)
    radius = images.view.coarse_radius
    shell = disc(radius).shell[tight_index(radius)].clamp(min=0)
    sums = torch.zeros(2, radius + 2, dtype=torch.float64)
    sums[0].index_add_(0, shell, c.mean(0).double())
    sums[1].index_add_(0, shell, torch.ones(len(shell), dtype=torch.float64))
    mean = (sums[0] / sums[1].clamp(min=1)).float()
    mean[0] = mean[1]  # rings between the first pixels and the centre tell the former
    return mean


def _powers(squares: PolarSlices, c: Float[Tensor, "n px"]) -> Float[Tensor, "p n d"]:
    """Return c |P|^2 / 2 of every in-plane angle, image and direction."""
    return 0.5 * squares.cross(torch.complex(c, torch.zeros(())))
