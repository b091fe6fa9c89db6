"""Sums over the poses that images keep, rotation by rotation.

As with scores (`poses`), the compiled kernels take float32 tensors of the CPU, Triton images on a
graphics card, and everything else goes to the plain-torch reference.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.kernels import reference_poses
from vitreous.engine.kernels.packed import for_kernel, is_compiled, is_fast
from vitreous.engine.kernels.pose_records import Contribution, Kept, Sorted, Source, Tally
from vitreous.engine.kernels.slices import card_version, compiled, needed, on_card


def by_rotation(kept: Kept, n_rotations: int) -> Sorted:
    """Order by rotation what images keep."""
    if compiled() is None or kept.rotation.device.type != "cpu":
        return reference_poses.by_rotation(kept)
    found = needed(compiled()).by_rotation(
        n_rotations, kept.counts, kept.rotation, kept.shift, kept.weight
    )
    return Sorted(*(torch.from_numpy(array) for array in found))


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
    if not is_fast(kept.weight):
        return reference_poses.tally(kept, cell_of_rotation, cells, axis, moved, centre)
    total, best, distance2 = needed(compiled()).tally(
        kept.counts, kept.rotation, kept.shift, kept.weight, cell_of_rotation, shape[1],
        axis, moved.contiguous(), centre.contiguous(), cells.view(-1), class_shift,
    )  # fmt: skip
    return Tally(torch.from_numpy(total), torch.from_numpy(best), cells, class_shift, distance2)


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
    if on_card(images.u_re):
        summed: tuple[Tensor, Tensor] = card_version().sums(
            source, images, kept, part, phases, per_image, per_pixel
        )
        return summed
    if not is_compiled(source, images.u_re):
        return reference_poses.sums(source, images, kept, part, phases, per_image, per_pixel)
    first, last, _ = part.indices(len(kept.rotation))
    begin = kept.begin[first : last + 1]
    low, high = int(begin[0]), int(begin[-1])
    n, length = last - first, images.u_re.shape[1]
    values, weights = torch.empty(n, length, 2), torch.empty(n, length)
    compared = images.compared or (None, None, None)
    groups = torch.zeros(len(images.u_re), dtype=torch.int32)
    needed(compiled()).sums(
        *for_kernel(source), *phases, *compared, images.u_re, images.u_im, images.m,
        images.sigma2[None].contiguous(), images.mask.contiguous(), groups, images.residual,
        kept.rotation[first:last], begin - low, kept.image[low:high], kept.tx[low:high],
        kept.ty[low:high], kept.weight[low:high], values, weights, per_image, per_pixel[None],
        torch.get_num_threads(),
    )  # fmt: skip
    return values, weights
