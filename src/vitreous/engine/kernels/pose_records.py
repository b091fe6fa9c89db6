"""What goes into scores of poses and sums over them, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int16, Int32, Int64
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """Where slices come from: a table of them, or volumes that are sliced when needed.

    Parameters
    ----------
    planes
        ``r 3 2``, float32: grid coordinates of the unit steps of image frequency.
    classes
        ``r``, number of the volume.
    radius
        Of the disc.
    grid_radius
        Points of the grid farther out are zero.
    volumes
        Grids ``z y xh``.
    table
        ``r m 2``: real and imaginary parts, packed; None where volumes are sliced.
    corners
        The volumes as `packed.with_corners` has them, or nothing.
    """

    planes: Float[Tensor, "r 3 2"]
    classes: Int32[Tensor, " r"]
    radius: int
    grid_radius: float
    volumes: tuple[Complex[Tensor, "z y xh"], ...]
    table: Float[Tensor, "r m 2"] | None = None
    corners: tuple[tuple[Int16[Tensor, " h"], float], ...] = ()


@dataclass(frozen=True)
class Tries:
    """Hypotheses of images: groups of a rotation with a list of shifts.

    Parameters
    ----------
    group_begin
        ``n + 1``: groups of image i are ``group_begin[i] : group_begin[i + 1]``.
    rotation, prior
        Of each group: coarse rotation, and log prior.
    shift_begin, shift_end
        Of each group: its part of the lists of shifts.
    shifts, shift_prior
        ``q 2``: places of x and y on the coarse axis; log prior.
    rotation_children, shift_children
        Fine rotations of a coarse one; fine shifts along an axis.
    """

    group_begin: Int64[Tensor, " n_and_1"]
    rotation: Int32[Tensor, " g"]
    prior: Float[Tensor, " g"]
    shift_begin: Int64[Tensor, " g"]
    shift_end: Int64[Tensor, " g"]
    shifts: Int16[Tensor, "q 2"]
    shift_prior: Float[Tensor, " q"]
    rotation_children: int = 1
    shift_children: int = 1


@dataclass(frozen=True)
class Kept:
    """What images keep, image after image.

    Parameters
    ----------
    counts
        ``n``, how many each image keeps.
    rotation
        Fine rotation, ``coarse * rotation_children + child``.
    shift
        ``m 2``, places on the fine axis.
    weight
        Part of the whole weight of the image.
    largest, log_sum
        ``n``: of the log weights of the image.
    """

    counts: Int64[Tensor, " n"]
    rotation: Int32[Tensor, " m"]
    shift: Int16[Tensor, "m 2"]
    weight: Float[Tensor, " m"]
    largest: Float[Tensor, " n"]
    log_sum: Float[Tensor, " n"]

    def with_images(self, keep: Int64[Tensor, " k"]) -> Kept:
        """Return the lists of some images, in rising order."""
        which = torch.zeros(len(self.counts), dtype=torch.bool)
        which[keep] = True
        at = which.repeat_interleave(self.counts)
        return Kept(
            self.counts[keep], self.rotation[at], self.shift[at].contiguous(), self.weight[at],
            self.largest[keep], self.log_sum[keep],
        )  # fmt: skip


@dataclass(frozen=True)
class Sorted:
    """What images keep, rotation after rotation; images of a rotation in rising order."""

    rotation: Int32[Tensor, " r"]
    begin: Int64[Tensor, " r_and_1"]
    image: Int32[Tensor, " m"]
    tx: Int16[Tensor, " m"]
    ty: Int16[Tensor, " m"]
    weight: Float[Tensor, " m"]


@dataclass(frozen=True)
class Tally:
    """Sums of weights over what images keep.

    Parameters
    ----------
    total
        ``n``, of each image.
    best
        ``n``, the heaviest entry of each image; -1 where it keeps nothing.
    cells
        ``k d``, by class and direction.
    class_shift
        ``k 2``, of weighted shifts.
    distance2
        Of weighted squared distances of shifts from their centres.
    """

    total: Float[Tensor, " n"]
    best: Int64[Tensor, " n"]
    cells: Float[Tensor, "k d"]
    class_shift: Float[Tensor, "k 2"]
    distance2: float


@dataclass(frozen=True)
class Contribution:
    """What images add to sums.

    Parameters
    ----------
    compared
        b_re, b_im, c (divided by sigma2) for statistics; None to count none.
    u_re, u_im, m
        For the reference.
    sigma2
        ``m`` noise power at each number of the disc.
    mask
        ``k m``: 1 where a pixel of a class tells the scale of a group.
    residual
        Sum what references do not explain (gradients) instead of images.
    """

    compared: tuple[Tensor, Tensor, Tensor] | None
    u_re: Float[Tensor, "n m"]
    u_im: Float[Tensor, "n m"]
    m: Float[Tensor, "n m"]
    sigma2: Float[Tensor, " m"]
    mask: Float[Tensor, "k m"]
    residual: bool = False
