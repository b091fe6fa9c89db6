"""The first pass with slices shared between in-plane angles (see `polar`), and the choice of it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.refinement import polar
from vitreous.engine.refinement.coarse import (
    SCORE_BYTES,
    Cut,
    Significant,
    Slices,
    inverse_norm,
    scored,
    shift_factors,
    significant,
)
from vitreous.engine.refinement.coarse_dense import DenseSlices
from vitreous.engine.refinement.disc import tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared, View
from vitreous.engine.refinement.references import References

_MANY_ANGLES = 12  # in-plane angles from which on sharing pays
_LARGEST_ERROR = 2.0  # nat; the cut is widened by what is measured (section 15.4)
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
    many = len(grid.psi_deg) >= _MANY_ANGLES and not (cut.correlation or exact)
    if many and polar.is_possible(optics, seen.group):
        shared = PolarSlices(references, grid, seen, optics, classes)
        shared.margin_nat = shared.error_nat(images, cut)
        if shared.margin_nat <= _LARGEST_ERROR:
            return shared
    return DenseSlices(references, grid, seen, optics, classes)


class PolarSlices:
    """Slices of all classes shared between in-plane angles; see `polar`."""

    def __init__(
        self,
        references: References,
        grid: PoseGrid,
        seen: View,
        optics: Optics,
        classes: tuple[int, ...],
    ) -> None:
        self.grid, self.seen, self.classes = grid, seen, classes
        self.harmonics = polar.harmonics(references, grid, seen, optics, classes)
        self._references, self._optics = references, optics
        self.margin_nat = 0.0
        self._squares: Tensor | None = None

    def error_nat(self, images: Prepared, cut: Cut) -> float:
        """Return the deviation of log weights from those of true slices, on a sample.

        Both interpolate, in different ways; where the signal is so strong that the difference
        matters, `coarse_dense` is to be used.
        """
        grid, n_psi = self.grid, len(self.grid.psi_deg)
        b, _ = scored(images.select(slice(0, min(_SAMPLE, len(images)))), cut)
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
            part = self.harmonics.select(some + number * n_directions)
            out = torch.empty(n_psi, len(b), len(some))
            polar.cross(b, part, out, torch.empty(part.turning.shape[1], len(b), len(some)))
            difference = out.permute(1, 2, 0).reshape(len(b), -1) - true
            worst = max(worst, float(difference.square().mean().sqrt()))
        return worst

    def _square_table(self) -> Tensor:
        """Return |P|^2 of every in-plane angle and direction, made once."""
        if self._squares is None:
            self._squares = self._made_squares()
        return self._squares

    def _made_squares(self) -> Tensor:
        grid, seen = self.grid, self.seen
        squares = []
        n_psi, n_numbers = len(grid.psi_deg), len(tight_index(seen.coarse_radius))
        for k in self.classes:
            of_class = torch.empty(n_psi, len(grid.pixels), n_numbers)
            step = max(1, 2**22 // (n_psi * n_numbers))
            for start in range(0, len(grid.pixels), step):
                stop = min(start + step, len(grid.pixels))
                chosen = torch.arange(start * n_psi, stop * n_psi)
                table = self._references.tight(
                    k, grid.rotations(chosen), seen, self._optics, seen.coarse_radius
                )
                square = table.square().sum(-1).reshape(stop - start, n_psi, n_numbers)
                of_class[:, start:stop] = square.transpose(0, 1)
            squares.append(of_class)
        return torch.cat(squares, 1)

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
        n_shifts, n_psi = len(grid.shifts), len(grid.psi_deg)
        n_directions = len(grid.pixels) * len(classes)
        n_terms = self.harmonics.turning.shape[1]
        prior = rotation_prior[list(classes)].flatten()
        fraction = 1 - (1 - cut.fraction) * math.exp(-4 * self.margin_nat)
        of_class = torch.tensor(classes)
        per_image = 4 * n_shifts * n_directions * (n_terms + n_psi)
        step = min(len(b), max(1, SCORE_BYTES // per_image))
        terms = torch.empty(n_terms * step * n_shifts * n_directions)
        scores = torch.empty(n_psi * step * n_shifts * n_directions)
        found: list[tuple[Tensor, ...]] = []
        squares = self._square_table().flatten(0, 1).T
        many = step * max(1, SCORE_BYTES // (8 * squares.shape[1] * step))
        for start in range(0, len(b), step):
            part = slice(start, min(start + step, len(b)))
            n = part.stop - part.start
            if start % many == 0:
                powers = 0.5 * (c[start : start + many] @ squares)
            moved = (b[part, None] * factors).reshape(n * n_shifts, -1)
            shape = (n * n_shifts, n_directions)
            out = scores[: n_psi * n * n_shifts * n_directions].view(n_psi, *shape)
            work = terms[: n_terms * n * n_shifts * n_directions].view(n_terms, *shape)
            polar.cross(moved, self.harmonics, out, work)
            power = powers[start % many :][:n].view(n, n_psi, n_directions)
            norm = inverse_norm(images, part) if cut.correlation else None
            found.append(
                poses.choose_polar(
                    out.view(n_psi, n, n_shifts, n_directions), power, prior,
                    shift_prior[part][:, list(classes)],
                    fraction=fraction, most=cut.most, correlation=norm,
                )
            )  # fmt: skip
        return significant(found, n_shifts, grid.n_rotations, of_class)
