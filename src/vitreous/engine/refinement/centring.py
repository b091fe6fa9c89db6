"""Moving references so that their mass is in the middle of the box (refinement.md section 7.8)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import boxing, fourier


def centring_shift(
    reference: Float[Tensor, "*zyx"], most_px: float, least_px: float = 0.0
) -> tuple[float, ...]:
    """Return the shift x y (z) that brings the mass of a reference to its centre.

    Parameters
    ----------
    reference
        ``z y x`` or ``y x``.
    most_px
        Longest shift; a longer one is shortened.
    least_px
        A shorter one is not made at all.

    Returns
    -------
    tuple
        Zeros where there is no positive density.
    """
    none = (0.0,) * reference.ndim
    if not bool((reference > 0).any()):
        return none
    centre = boxing.centre_of_mass(reference)
    distance = math.hypot(*centre)
    if distance < max(least_px, 1e-6):
        return none
    share = min(1.0, most_px / distance)
    return tuple(-share * c for c in centre)


def moved(reference: Float[Tensor, "*zyx"], shift_px: tuple[float, ...]) -> Float[Tensor, "*zyx"]:
    """Move a reference by a part of a pixel without blurring it: what leaves the box comes back."""
    if not any(shift_px):
        return reference
    shift = torch.tensor(shift_px, dtype=reference.dtype, device=reference.device)
    transform = fourier.shift(fourier.forward(reference, reference.ndim), shift)
    return fourier.inverse(transform, reference.ndim, reference.shape[-1])
