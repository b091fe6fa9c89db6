"""Images turned in real space, as their in-plane angle says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def turned(images: Float[Tensor, "n y x"], psi_rad: Float[Tensor, " n"]) -> Float[Tensor, "n y x"]:
    """Turn images about their centre to in-plane angle 0, by linear interpolation.

    Parameters
    ----------
    images
        Centred at ``size // 2``.
    psi_rad
        In-plane angle of each image.

    Returns
    -------
    Tensor
        Of the same size; 0 where it shows what lay outside the image.
    """
    height, width = images.shape[-2:]
    y = torch.arange(height, dtype=torch.float64)[:, None] - height // 2
    x = torch.arange(width, dtype=torch.float64) - width // 2
    cos, sin = psi_rad.double().cos()[:, None, None], psi_rad.double().sin()[:, None, None]
    column, row = cos * x + sin * y + width // 2, cos * y - sin * x + height // 2
    inside = (column >= 0) & (column <= width - 1) & (row >= 0) & (row <= height - 1)
    place = torch.stack([2 * column / (width - 1) - 1, 2 * row / (height - 1) - 1], -1)
    values = torch.nn.functional.grid_sample(
        images[:, None].double(), place, padding_mode="border", align_corners=True
    )[:, 0]
    return (values * inside).to(images.dtype)
