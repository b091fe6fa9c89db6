"""Scores of poses on packed images (`refinement.disc`).

The compiled kernels take float32 tensors of the CPU, Triton those of a graphics card; everything
else goes to the plain-torch reference, which has the same signatures. Lists of hypotheses, and what
images keep, are on the CPU in any case.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.kernels import reference_poses
from vitreous.engine.kernels.packed import for_kernel, is_compiled, is_fast
from vitreous.engine.kernels.pose_records import Kept, Source, Tries
from vitreous.engine.kernels.slices import card_version, compiled, needed, on_card


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
    if on_card(cross):
        chosen: tuple[Tensor, Tensor, Tensor, Tensor] = card_version().choose(
            cross, power, rotation_prior, shift_prior,
            fraction=fraction, most=most, correlation=correlation,
        )  # fmt: skip
        return chosen
    if not is_fast(cross):
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
    if on_card(images[0]):
        kept: Kept = card_version().score(
            source, images, tries, phases,
            fraction=fraction, most=most, correlation=correlation,
        )  # fmt: skip
        return kept
    if not is_compiled(source, images[0]):
        return reference_poses.score(
            source, images, tries, phases,
            fraction=fraction, most=most, correlation=correlation,
        )  # fmt: skip
    found = needed(compiled()).score(
        *for_kernel(source), *phases, *images, tries.group_begin, tries.rotation, tries.prior,
        tries.shift_begin, tries.shift_end, tries.shifts, tries.shift_prior,
        tries.rotation_children, tries.shift_children, fraction, most, correlation,
        torch.get_num_threads(),
    )  # fmt: skip
    counts, rotation, shift, weight, numbers, _ = (torch.from_numpy(array) for array in found)
    return Kept(counts, rotation, shift, weight, numbers[:, 0], numbers[:, 1])
