"""Scores of poses, and sums over them, on packed images (`refinement.disc`).

The compiled kernels take float32 tensors of the CPU; everything else goes to the plain-torch
reference, which has the same signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int16, Int32, Int64
from torch import Tensor

from vitreous.engine.kernels import reference_poses
from vitreous.engine.kernels.reference import limit_radius
from vitreous.engine.kernels.slices import compiled, needed


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
    """

    planes: Float[Tensor, "r 3 2"]
    classes: Int32[Tensor, " r"]
    radius: int
    grid_radius: float
    volumes: tuple[Complex[Tensor, "z y xh"], ...]
    table: Float[Tensor, "r m 2"] | None = None


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


def gather_packed(
    volume: Complex[Tensor, "z y xh"],
    planes: Float[Tensor, "r 3 2"],
    radius: int,
    grid_radius: float,
    n_numbers: int,
    *,
    tight: bool = False,
) -> Float[Tensor, "r m 2"]:
    """Slice a volume into packed rows, with padding or (`tight`) without padding and twins."""
    if not _fast(volume, planes):
        return reference_poses.gather_packed(volume, planes, radius, grid_radius, tight=tight)
    module = needed(compiled())
    make = torch.empty if tight else torch.zeros
    out = make(len(planes), n_numbers, 2)
    if tight and (limit_radius(grid_radius, volume.shape[-1]) < 1.01 * _reach(planes, radius)):
        out.zero_()
    module.gather_packed(
        torch.view_as_real(volume), planes.contiguous(), out, radius,
        limit_radius(grid_radius, volume.shape[-1]) ** 2, tight, torch.get_num_threads(),
    )  # fmt: skip
    return out


def gather_lines(
    volume: Complex[Tensor, "*grid"],
    steps: Float[Tensor, "n c"],
    n_samples: int,
    grid_radius: float,
) -> Complex[Tensor, "n q"]:
    """Sample a volume or an image along lines from its origin.

    Parameters
    ----------
    steps
        Grid coordinates x y (z) of the first sample after the origin; sample q lies q times as far.
    """
    if volume.ndim != 3 or not _fast(volume, steps):
        return reference_poses.gather_lines(volume, steps, n_samples, grid_radius)
    planes = torch.stack([steps, torch.zeros_like(steps)], -1)
    out = torch.zeros(len(steps), n_samples, 2)
    needed(compiled()).gather_lines(
        torch.view_as_real(volume), planes.contiguous(), out,
        limit_radius(grid_radius, volume.shape[-1]) ** 2, torch.get_num_threads(),
    )  # fmt: skip
    return torch.view_as_complex(out)


def insert_packed_(
    grid: Float[Tensor, "z y xh 4"],
    planes: Float[Tensor, "r 3 2"],
    values: Float[Tensor, "r m 2"],
    weights: Float[Tensor, "r m"],
    radius: int,
    grid_radius: float,
) -> None:
    """Add packed slices and weights to a grid; the adjoint of `gather_packed`."""
    if not _fast(grid, planes):
        reference_poses.insert_packed_(grid, planes, values, weights, radius, grid_radius)
        return
    needed(compiled()).insert_packed(
        grid, planes.contiguous(), values, weights, radius,
        limit_radius(grid_radius, grid.shape[-2]) ** 2, torch.get_num_threads(),
    )  # fmt: skip


def choose(
    cross: Float[Tensor, "n t r"],
    power: Float[Tensor, "n r"],
    rotation_prior: Float[Tensor, " r"],
    shift_prior: Float[Tensor, "n k t"],
    *,
    fraction: float,
    most: int = 0,
    correlation: Float[Tensor, " n"] | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Choose the significant hypotheses of images; `cross` is overwritten.

    Parameters
    ----------
    cross, power
        Re(b conj P) and c |P|^2 / 2 for every shift and rotation; the rotations of the classes
        follow each other.
    rotation_prior, shift_prior
        Log priors.
    fraction, most
        The fewest hypotheses that hold this part of the weight, at most so many.
    correlation
        ``1 / |X|`` of each image: keep only the highest correlation.

    Returns
    -------
    tuple
        Counts per image; ``rotation * t + shift`` in rising order; weights; largest log weight and
        log sum ``n 2``.
    """
    if not _fast(cross):
        return reference_poses.choose(
            cross, power, rotation_prior, shift_prior,
            fraction=fraction, most=most, correlation=correlation,
        )  # fmt: skip
    found = needed(compiled()).choose(
        cross, power.contiguous(), rotation_prior.contiguous(), shift_prior.contiguous(),
        correlation, fraction, most, torch.get_num_threads(),
    )  # fmt: skip
    counts, index, weight, numbers = (torch.from_numpy(array) for array in found)
    return counts, index, weight, numbers


def score(
    source: Source,
    images: Sequence[Float[Tensor, "n m"]],
    tries: Tries,
    phases: tuple[Float[Tensor, "c a x"], Float[Tensor, "c a y"]],
    *,
    fraction: float,
    most: int = 0,
    correlation: bool = False,
) -> Kept:
    """Score lists of hypotheses and keep the significant ones.

    Parameters
    ----------
    source
        Slices, numbered by fine rotation.
    images
        b_re, b_im and c of each image.
    tries
        What is tried for each image.
    phases
        Of the fine axis of shifts (`Disc.phases`).
    fraction, most, correlation
        As in `choose`. The pixel at zero frequency counts only in a correlation.
    """
    if not (_fast(images[0], source.planes) and _fits(source)):
        return reference_poses.score(
            source, images, tries, phases,
            fraction=fraction, most=most, correlation=correlation,
        )  # fmt: skip
    found = needed(compiled()).score(
        source.radius, _squared(source), _real(source), source.table, source.planes,
        source.classes, *phases, *images, tries.group_begin, tries.rotation, tries.prior,
        tries.shift_begin, tries.shift_end, tries.shifts, tries.shift_prior,
        tries.rotation_children, tries.shift_children, fraction, most, correlation,
        torch.get_num_threads(),
    )  # fmt: skip
    counts, rotation, shift, weight, numbers, _ = (torch.from_numpy(array) for array in found)
    return Kept(counts, rotation, shift, weight, numbers[:, 0], numbers[:, 1])


@dataclass(frozen=True)
class Sorted:
    """What images keep, rotation after rotation; images of a rotation in rising order."""

    rotation: Int32[Tensor, " r"]
    begin: Int64[Tensor, " r_and_1"]
    image: Int32[Tensor, " m"]
    tx: Int16[Tensor, " m"]
    ty: Int16[Tensor, " m"]
    weight: Float[Tensor, " m"]


def by_rotation(kept: Kept, n_rotations: int) -> Sorted:
    """Order by rotation what images keep."""
    if compiled() is None or kept.rotation.device.type != "cpu":
        return reference_poses.by_rotation(kept)
    found = needed(compiled()).by_rotation(
        n_rotations, kept.counts, kept.rotation, kept.shift, kept.weight
    )
    return Sorted(*(torch.from_numpy(array) for array in found))


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


def tally(
    kept: Kept,
    cell_of_rotation: Int64[Tensor, " r"],
    shape: tuple[int, int],
    axis: Float[Tensor, " a"],
    moved: Float[Tensor, "n 2"],
    centre: Float[Tensor, "n k 2"],
) -> Tally:
    """Add up what images keep, in float64.

    Parameters
    ----------
    kept
        Entries of the images.
    cell_of_rotation
        ``class * d + direction`` of every fine rotation.
    shape
        Number of classes and of directions.
    axis, moved
        Shifts of the fine axis; what each image was moved by before.
    centre
        Of the prior of shifts.
    """
    cells = torch.zeros(shape, dtype=torch.float64)
    class_shift = torch.zeros(shape[0], 2, dtype=torch.float64)
    if not _fast(kept.weight):
        return reference_poses.tally(kept, cell_of_rotation, cells, axis, moved, centre)
    total, best, distance2 = needed(compiled()).tally(
        kept.counts, kept.rotation, kept.shift, kept.weight, cell_of_rotation, shape[1],
        axis, moved.contiguous(), centre.contiguous(), cells.view(-1), class_shift,
    )  # fmt: skip
    return Tally(torch.from_numpy(total), torch.from_numpy(best), cells, class_shift, distance2)


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


def sums(
    source: Source,
    images: Contribution,
    kept: Sorted,
    part: slice,
    phases: tuple[Float[Tensor, "c a x"], Float[Tensor, "c a y"]],
    per_image: Float[Tensor, "n 3"],
    per_pixel: Float[Tensor, " m"],
) -> tuple[Float[Tensor, "r m 2"], Float[Tensor, "r m"]]:
    """Sum images over some of the rotations, and add to the statistics.

    Parameters
    ----------
    source
        Slices, numbered as in `kept`.
    images
        What is summed.
    kept, part
        Which rotations.
    phases
        Of the fine axis of shifts.
    per_image
        Grows by ``sum w (|CP|^2 - 2 Re X CP)``, and by ``Re X CP`` and ``|CP|^2`` of the pixels of
        the mask; float64.
    per_pixel
        Grows by the first of them; float64.

    Returns
    -------
    tuple
        Packed slices and their weights.
    """
    if not (_fast(images.u_re, source.planes) and _fits(source)):
        return reference_poses.sums(source, images, kept, part, phases, per_image, per_pixel)
    first, last, _ = part.indices(len(kept.rotation))
    begin = kept.begin[first : last + 1]
    low, high = int(begin[0]), int(begin[-1])
    n, length = last - first, images.u_re.shape[1]
    values, weights = torch.empty(n, length, 2), torch.empty(n, length)
    compared = images.compared or (None, None, None)
    groups = torch.zeros(len(images.u_re), dtype=torch.int32)
    needed(compiled()).sums(
        source.radius, _squared(source), _real(source), source.table, source.planes,
        source.classes, *phases, *compared, images.u_re, images.u_im, images.m,
        images.sigma2[None].contiguous(), images.mask.contiguous(), groups, images.residual,
        kept.rotation[first:last], begin - low, kept.image[low:high], kept.tx[low:high],
        kept.ty[low:high], kept.weight[low:high], values, weights, per_image, per_pixel[None],
        torch.get_num_threads(),
    )  # fmt: skip
    return values, weights


def _fast(*tensors: Tensor) -> bool:
    """Tell whether the compiled kernels can take these."""
    return compiled() is not None and all(
        t.device.type == "cpu" and t.dtype in {torch.float32, torch.complex64} and t.is_contiguous()
        for t in tensors
    )


def _fits(source: Source) -> bool:
    return source.table is not None or (bool(source.volumes) and source.volumes[0].ndim == 3)


def _squared(source: Source) -> float:
    if not source.volumes:
        return 1e30
    return float(limit_radius(source.grid_radius, source.volumes[0].shape[-1]) ** 2)


def _real(source: Source) -> list[Tensor]:
    if source.table is not None:
        return []
    return [torch.view_as_real(volume) for volume in source.volumes]


def _reach(planes: Tensor, radius: int) -> float:
    """Return how far from the origin of the grid a slice may reach."""
    return radius * float(planes.square().sum((1, 2)).max().sqrt()) if len(planes) else 0.0
