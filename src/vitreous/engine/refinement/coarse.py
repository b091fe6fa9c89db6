"""The first pass: which coarse poses of each image matter (refinement.md sections 5.2 and 15.3).

All rotations of all classes are sliced once and every score is an element of a matrix product:
images, shifted and weighted, times slices. Where each image has a list of rotations of its own,
each is sliced for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.refinement.disc import disc, places_in, tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared, View
from vitreous.engine.refinement.priors import Lists
from vitreous.engine.refinement.references import References

_SCORE_BYTES = 96 * 2**20  # of one block of scores: small enough to stay near the processor
_TABLE_BYTES = 2**31  # more slices than this are made anew for each block of images


@dataclass(frozen=True)
class Significant:
    """Significant coarse poses, image after image, each by rotation, then shift.

    Parameters
    ----------
    counts
        ``n``
    rotation
        ``class * n_rotations + rotation``.
    shift
        Number of the coarse shift.
    weight, largest, log_sum
        As in `poses.Kept`.
    """

    counts: Int64[Tensor, " n"]
    rotation: Int64[Tensor, " m"]
    shift: Int64[Tensor, " m"]
    weight: Float[Tensor, " m"]
    largest: Float[Tensor, " n"]
    log_sum: Float[Tensor, " n"]

    def entries(self, part: slice) -> slice:
        """Return where the poses of some images are in the lists."""
        ends = torch.cumsum(self.counts, 0)
        first = int(ends[part.start - 1]) if part.start else 0
        return slice(first, int(ends[part.stop - 1]) if part.stop else 0)

    def select(self, part: slice) -> Significant:
        """Return the poses of some images."""
        at = self.entries(part)
        return Significant(
            self.counts[part], self.rotation[at], self.shift[at], self.weight[at],
            self.largest[part], self.log_sum[part],
        )  # fmt: skip


@dataclass(frozen=True)
class Cut:
    """What is kept of a posterior (section 5.2)."""

    fraction: float
    most: int
    correlation: bool


class CoarseSlices:
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


def search(
    images: Prepared,
    slices: CoarseSlices,
    rotation_prior: Float[Tensor, "k r"],
    shift_prior: Float[Tensor, "n k t"],
    cut: Cut,
) -> Significant:
    """Score all coarse poses of images.

    Parameters
    ----------
    images
        Of one optics group.
    slices
        What they are compared with.
    rotation_prior, shift_prior
        Log priors of the classes of `slices`.
    cut
        What is kept.
    """
    grid, seen, classes = slices.grid, images.view, slices.classes
    n_rotations, n_shifts = grid.n_rotations * len(classes), len(grid.shifts)
    places = places_in(seen.coarse_radius, seen.scored.radius)[tight_index(seen.coarse_radius)]
    b = torch.complex(images.b_re[:, places], images.b_im[:, places])
    c = images.c[:, places]
    if not cut.correlation:
        b[:, 0] = 0
        c[:, 0] = 0
    factors = _shift_factors(grid, seen)
    prior = rotation_prior[list(classes)].flatten()
    step = max(1, _SCORE_BYTES // (4 * n_shifts * n_rotations))
    buffer = torch.empty(min(step, len(b)), n_shifts, n_rotations)
    power = torch.empty(min(step, len(b)), n_rotations)
    found: list[tuple[Tensor, ...]] = []
    for start in range(0, len(b), step):
        part = slice(start, min(start + step, len(b)))
        n = part.stop - part.start
        moved = torch.view_as_real(b[part, None] * factors).reshape(n * n_shifts, -1)
        scores, first = buffer[:n].view(n * n_shifts, n_rotations), 0
        for table, squares in slices.parts():
            last = first + len(table)
            torch.mm(moved, table.T, out=scores[:, first:last])
            torch.mm(c[part], squares.T, out=power[:n, first:last])
            first = last
        power[:n] *= 0.5
        norm = _inverse_norm(images, part) if cut.correlation else None
        found.append(
            poses.choose(
                buffer[:n], power[:n], prior, shift_prior[part][:, list(classes)],
                fraction=cut.fraction, most=cut.most, correlation=norm,
            )
        )  # fmt: skip
    counts, index, weight, numbers = (torch.cat(column) for column in zip(*found, strict=True))
    chosen = index.to(torch.int64)
    rotation, shift = chosen // n_shifts, chosen % n_shifts
    of_class = torch.tensor(classes)[rotation // grid.n_rotations]
    rotation = of_class * grid.n_rotations + rotation % grid.n_rotations
    return Significant(counts, rotation, shift, weight, numbers[:, 0], numbers[:, 1])


def search_lists(
    images: Prepared,
    references: References,
    grid: PoseGrid,
    optics: Optics,
    lists: Lists,
    rotations: Float[Tensor, "u 3 3"],
    classes: Int64[Tensor, " u"],
    names: Int64[Tensor, " u"],
    shift_prior: Float[Tensor, "n k t"],
    cut: Cut,
) -> Significant:
    """Score coarse poses of images that have lists of rotations of their own.

    Parameters
    ----------
    images
        Of one optics group.
    references, grid, optics
        What they are compared with.
    lists
        Which of `rotations` each image tries.
    rotations, classes, names
        The rotations in the lists, the class of each, and the number it has in the result.
    shift_prior, cut
        As in `search`.
    """
    seen = images.view
    radius = seen.coarse_radius
    places = places_in(radius, seen.scored.radius)
    packed = [array[:, places].contiguous() for array in (images.b_re, images.b_im, images.c)]
    source = references.source(classes, rotations, seen, optics, radius)
    n, n_shifts = len(images), len(grid.shifts)
    n_classes = shift_prior.shape[1]
    # One list of shifts for each image and class.
    begin = (lists.particle * n_classes + classes[lists.rotation]) * n_shifts
    group_begin = torch.searchsorted(lists.particle, torch.arange(n + 1))
    tries = poses.Tries(
        group_begin,
        lists.rotation.to(torch.int32),
        lists.prior,
        begin,
        begin + n_shifts,
        grid.shifts.to(torch.int16).repeat(n * n_classes, 1),
        shift_prior.reshape(-1).contiguous(),
    )
    axis_px = grid.coarse_axis_A() / seen.pixel_size_A
    phases = disc(radius).phases(axis_px, seen.box_px)
    kept = poses.score(
        source, packed, tries, phases,
        fraction=cut.fraction, most=cut.most, correlation=cut.correlation,
    )  # fmt: skip
    return Significant(
        kept.counts,
        names[kept.rotation.to(torch.int64)],
        shift_numbers(grid)[kept.shift[:, 0].to(torch.int64), kept.shift[:, 1].to(torch.int64)],
        kept.weight,
        kept.largest,
        kept.log_sum,
    )


def shift_numbers(grid: PoseGrid) -> Int64[Tensor, "a a"]:
    """Return the number of the coarse shift at each pair of places on the axis; -1 for none."""
    numbers = torch.full((len(grid.axis_A), len(grid.axis_A)), -1, dtype=torch.int64)
    numbers[grid.shifts[:, 0], grid.shifts[:, 1]] = torch.arange(len(grid.shifts))
    return numbers


def _shift_factors(grid: PoseGrid, seen: View) -> Tensor:
    """Return what each coarse shift multiplies an image by, ``t m``."""
    packing = disc(seen.coarse_radius)
    index = tight_index(seen.coarse_radius)
    k = torch.stack([packing.kx[index], packing.ky[index]]).to(torch.float64)
    axis_px = grid.coarse_axis_A() / seen.pixel_size_A
    turns = -2 * torch.pi * (axis_px[grid.shifts] @ k) / seen.box_px
    return torch.polar(torch.ones_like(turns), turns).to(torch.complex64)


def _inverse_norm(images: Prepared, part: slice) -> Float[Tensor, " n"]:
    """Return 1 / |X| of images scored by correlation, from ``b = C X`` and ``c = C^2``."""
    c = images.c[part]
    squared = (images.b_re[part].square() + images.b_im[part].square()) / c.clamp(min=1e-30)
    return squared.sum(1).clamp(min=1e-30).rsqrt()
