"""Class averages brought to one size, so that all that is measured on them is comparable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.engine import boxing, filtering
from vitreous.engine.masking import radius

SIZE_PX = 64
RADIUS_PX = 30.0
LOW_PASS_A = 25.0


@dataclass(frozen=True)
class Prepared:
    """Averages in a box of 64 pixels, the mask of the classification 60 across.

    Parameters
    ----------
    images
        ``(n, 64, 64)``, in units of their own root mean square inside the mask; zero is solvent.
    amplitudes
        ``(n,)``, that root mean square, in the units of the averages.
    low_passed
        ``(n, 64, 64)``, the same images at 25 Å, or an eighth of the mask where that is more.
    pixel_A
        Of these images.
    """

    images: Float[Tensor, "n y x"]
    amplitudes: Float[Tensor, " n"]
    low_passed: Float[Tensor, "n y x"]
    pixel_A: float


def prepare(averages: Float[Tensor, "n y x"], pixel_size_A: float, diameter_A: float) -> Prepared:
    """Bring averages to one size and one strength.

    Parameters
    ----------
    averages
        As the classification wrote them: white, masked, even box.
    pixel_size_A
        Of the averages.
    diameter_A
        Of the mask of the classification.
    """
    pixel_A = diameter_A / (2 * RADIUS_PX)
    images = _sampled(averages.to(torch.float64), pixel_A / pixel_size_A)
    inside = disc(1.0)
    amplitudes = (images[:, inside] ** 2).mean(dim=1).sqrt()
    images = images / amplitudes.clamp(min=1e-12)[:, None, None]
    smooth = filtering.low_pass(images, max(LOW_PASS_A, diameter_A / 8), pixel_A, 2)
    return Prepared(images, amplitudes, smooth, pixel_A)


def distance() -> Float[Tensor, "y x"]:
    """Return the distance of each pixel from the middle, in radii of the mask."""
    return radius(SIZE_PX, 2).to(torch.float64) / RADIUS_PX


def disc(outer: float, inner: float = 0.0) -> Bool[Tensor, "y x"]:
    """Return which pixels lie between two radii, in radii of the mask."""
    r = distance()
    return (r >= inner) & (r < outer)


def _sampled(images: Float[Tensor, "n y x"], step_px: float) -> Float[Tensor, "n 64 64"]:
    """Sample images around their middle, after removing what a coarser grid cannot hold."""
    old = images.shape[-1]
    fine = boxing.rescale(images, 2 * old, 2)  # so that linear interpolation does little harm
    if step_px > 1:
        fine = filtering.low_pass(fine, 4 * step_px, 1.0, 2)
    place = (np.arange(SIZE_PX) - SIZE_PX // 2) * 2 * step_px + old
    y, x = torch.meshgrid(*(torch.from_numpy(place),) * 2, indexing="ij")
    span = 2 * old - 1
    grid = torch.stack([x, y], dim=-1) * (2 / span) - 1
    return torch.nn.functional.grid_sample(
        fine[:, None], grid.expand(len(images), -1, -1, -1), mode="bicubic", align_corners=True
    )[:, 0]
