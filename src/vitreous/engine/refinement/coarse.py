"""The first pass: which coarse poses of each image matter (refinement.md sections 5.2 and 15.3).

What all ways of the first pass share: see `coarse_polar` and `coarse_dense` where all images try
all rotations, `coarse_lists` where each has a list of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.refinement.disc import disc, places_in, tight_index
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared, View

SCORE_BYTES = 96 * 2**20  # of one block of scores: small enough to stay near the processor


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
        As in `pose_records.Kept`.
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

    def with_images(self, keep: Int64[Tensor, " k"]) -> Significant:
        """Return the lists of some images, in rising order."""
        which = torch.zeros(len(self.counts), dtype=torch.bool)
        which[keep] = True
        at = which.repeat_interleave(self.counts)
        return Significant(
            self.counts[keep], self.rotation[at], self.shift[at], self.weight[at],
            self.largest[keep], self.log_sum[keep],
        )  # fmt: skip

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


@runtime_checkable
class Slices(Protocol):
    """Slices at the size of the first pass, however they are kept."""

    def search(
        self,
        images: Prepared,
        rotation_prior: Float[Tensor, "k r"],
        shift_prior: Float[Tensor, "n k t"],
        cut: Cut,
    ) -> Significant:
        """Score all coarse poses of images.

        Parameters
        ----------
        images
            Of one optics group.
        rotation_prior, shift_prior
            Log priors of every class.
        cut
            What is kept.
        """


def scored(images: Prepared, cut: Cut) -> tuple[Tensor, Tensor]:
    """Return b and c at the true pixels of the first pass."""
    seen = images.view
    places = places_in(seen.coarse_radius, seen.scored.radius)[tight_index(seen.coarse_radius)]
    b = torch.complex(images.b_re[:, places], images.b_im[:, places])
    c = images.c[:, places]
    if not cut.correlation:  # the grey level of an image says nothing about its pose
        b[:, 0] = 0
        c[:, 0] = 0
    return b, c


def significant(
    found: Sequence[tuple[Tensor, ...]], n_shifts: int, n_rotations: int, classes: Tensor
) -> Significant:
    """Put together what blocks of images found, with the numbers of classes."""
    counts, index, weight, numbers = (torch.cat(column) for column in zip(*found, strict=True))
    chosen = index.to(torch.int64)
    rotation, shift = chosen // n_shifts, chosen % n_shifts
    of_class = classes[rotation // n_rotations]
    rotation = of_class * n_rotations + rotation % n_rotations
    return Significant(counts, rotation, shift, weight, numbers[:, 0], numbers[:, 1])


def runs(
    image: Int64[Tensor, " m"], rotation: Int64[Tensor, " m"]
) -> tuple[Int64[Tensor, " g"], Int64[Tensor, " g"]]:
    """Return where runs of entries of one image and rotation begin and end."""
    starts = torch.ones(len(image), dtype=torch.bool)
    starts[1:] = (image[1:] != image[:-1]) | (rotation[1:] != rotation[:-1])
    begin = torch.nonzero(starts)[:, 0]
    return begin, torch.cat([begin[1:], torch.tensor([len(image)])])


def shift_numbers(grid: PoseGrid) -> Int64[Tensor, "a a"]:
    """Return the number of the coarse shift at each pair of places on the axis; -1 for none."""
    numbers = torch.full((len(grid.axis_A), len(grid.axis_A)), -1, dtype=torch.int64)
    numbers[grid.shifts[:, 0], grid.shifts[:, 1]] = torch.arange(len(grid.shifts))
    return numbers


def shift_factors(grid: PoseGrid, seen: View) -> Tensor:
    """Return what each coarse shift multiplies an image by, ``t m``."""
    packing = disc(seen.coarse_radius)
    index = tight_index(seen.coarse_radius)
    k = torch.stack([packing.kx[index], packing.ky[index]]).to(torch.float64)
    axis_px = grid.coarse_axis_A() / seen.pixel_size_A
    turns = -2 * torch.pi * (axis_px[grid.shifts] @ k) / seen.box_px
    return torch.polar(torch.ones_like(turns), turns).to(torch.complex64)


def inverse_norm(images: Prepared, part: slice) -> Float[Tensor, " n"]:
    """Return 1 / |X| of images scored by correlation, from ``b = C X`` and ``c = C^2``."""
    c = images.c[part]
    squared = (images.b_re[part].square() + images.b_im[part].square()) / c.clamp(min=1e-30)
    return squared.sum(1).clamp(min=1e-30).rsqrt()
