"""The first pass as one matrix product (refinement.md section 15.3).

All rotations of all classes are sliced once and every score is an element of a matrix product:
images, shifted and weighted, times slices.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.refinement.coarse import (
    SCORE_BYTES,
    Cut,
    Significant,
    inverse_norm,
    scored,
    shift_factors,
    significant,
)
from vitreous.engine.refinement.disc import tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared, View
from vitreous.engine.refinement.references import References

_TABLE_BYTES = 2**31  # more slices than this are made anew for each block of images


class DenseSlices:
    """Slices of all classes at the size of the first pass; one table for all blocks of images.

    Parameters
    ----------
    references, grid
        What is sliced, and where.
    seen, optics
        For which optics group.
    classes
        Classes that are searched.
    """

    def __init__(
        self,
        references: References,
        grid: PoseGrid,
        seen: View,
        optics: Optics,
        classes: tuple[int, ...],
    ) -> None:
        self.references, self.grid, self.seen, self.optics = references, grid, seen, optics
        self.classes = classes
        self.n_numbers = len(tight_index(seen.coarse_radius))
        n_bytes = 12 * self.n_numbers * grid.n_rotations * len(classes)
        self._tables: list[tuple[Tensor, Tensor]] | None = None
        if n_bytes <= _TABLE_BYTES:
            self._tables = list(self._made(grid.n_rotations))

    def search(
        self,
        images: Prepared,
        rotation_prior: Float[Tensor, "k r"],
        shift_prior: Float[Tensor, "n k t"],
        cut: Cut,
    ) -> Significant:
        """Score all coarse poses of images."""
        grid, seen, classes = self.grid, images.view, self.classes
        n_rotations, n_shifts = grid.n_rotations * len(classes), len(grid.shifts)
        b, c = scored(images, cut)
        device = b.device
        factors = shift_factors(grid, seen).to(device)
        prior = rotation_prior[list(classes)].flatten()
        step = max(1, SCORE_BYTES // (4 * n_shifts * n_rotations))
        buffer = torch.empty(min(step, len(b)), n_shifts, n_rotations, device=device)
        power = torch.empty(min(step, len(b)), n_rotations, device=device)
        found: list[tuple[Tensor, ...]] = []
        for start in range(0, len(b), step):
            part = slice(start, min(start + step, len(b)))
            n = part.stop - part.start
            moved = torch.view_as_real(b[part, None] * factors).reshape(n * n_shifts, -1)
            scores, first = buffer[:n].view(n * n_shifts, n_rotations), 0
            for table, squares in self.parts():
                last = first + len(table)
                torch.mm(moved, table.T, out=scores[:, first:last])
                torch.mm(c[part], squares.T, out=power[:n, first:last])
                first = last
            power[:n] *= 0.5
            norm = inverse_norm(images, part) if cut.correlation else None
            found.append(
                poses.choose(
                    buffer[:n], power[:n], prior, shift_prior[part][:, list(classes)],
                    fraction=cut.fraction, most=cut.most, correlation=norm,
                )
            )  # fmt: skip
        return significant(found, n_shifts, grid.n_rotations, torch.tensor(classes))

    def parts(self) -> Iterator[tuple[Float[Tensor, "r two_m"], Float[Tensor, "r m"]]]:
        """Yield slices as rows of real numbers, and their squares, class after class."""
        if self._tables is not None:
            yield from self._tables
        else:
            yield from self._made(max(512, _TABLE_BYTES // (48 * self.n_numbers)))

    def _made(self, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        for k in self.classes:
            for start in range(0, self.grid.n_rotations, step):
                chosen = torch.arange(start, min(start + step, self.grid.n_rotations))
                rotations = self.grid.rotations(chosen)
                slices = self.references.tight(
                    k, rotations, self.seen, self.optics, self.seen.coarse_radius
                )
                yield slices.flatten(1), slices.square().sum(-1)
