"""What of a frame is compared with other frames: its low frequencies, and their weights.

The weight of a frequency in the cross-correlation is ``exp(-2 B k^2)`` with k in cycles per pixel
and B in px² (preprocessing.md section 3). Beyond ``k = s / 2`` with ``s^2 = -ln(1e-8) / 2 B`` it
is below 1e-2, and nothing of it is kept: a frame of 4096 pixels at B = 150 becomes one of 1024.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier

_LEAST_WEIGHT = 1e-8
# Sides of RELION's map of correlations (preprocessing.md section 3). None is below 192, so that
# maps of small frames are finer than the weight asks for, and their parabolas nearer the truth.
_RELION_SIZES = (
    192, 216, 256, 288, 324, 384, 432, 486, 512, 576, 648, 768, 800, 864, 972, 1024, 1296, 1536,
    1728, 1944, 2048, 2304, 2592, 3072,
)  # fmt: skip


def good_size(at_least: int, at_most: int) -> int:
    """Return the least even size with prime factors 2 and 3 only that is neither too small.

    Sizes without a factor 16 are passed over; where none fits, it is `at_most`, made even.
    """
    fitting = [
        size
        for power2 in range(4, 15)
        for power3 in range(6)
        if at_least <= (size := 2**power2 * 3**power3) <= at_most
    ]
    return min(fitting, default=at_most - at_most % 2)


def relion_size(at_least: int, at_most: int) -> int:
    """Return the size that RELION takes in place of `good_size`."""
    if at_least > _RELION_SIZES[-1]:
        return good_size(at_least, at_most)
    fitting = [size for size in _RELION_SIZES if at_least <= size <= at_most]
    return min(fitting, default=at_most - at_most % 2)


def correlation_size(
    shape: tuple[int, int],
    bfactor_px2: float,
    downsampling: float = 0,
    *,
    relion_compat: bool = False,
) -> tuple[int, int]:
    """Return the sizes ``(y, x)`` of the map in which shifts are looked for.

    Parameters
    ----------
    shape
        ``(y, x)`` of a frame.
    bfactor_px2
        B of the weight.
    downsampling
        Frame over map; 0 follows from B.
    relion_compat
        Take the sizes that RELION does.
    """
    scale = 1 / downsampling if downsampling > 0 else 1.0
    if downsampling <= 0 and bfactor_px2 > 0:
        scale = math.sqrt(-math.log(_LEAST_WEIGHT) / (2 * bfactor_px2))
    choose = relion_size if relion_compat else good_size
    ny, nx = (choose(max(16, int(n * min(scale, 1.0))), n) for n in shape)
    return ny, nx


def weight(
    size: tuple[int, int],
    shape: tuple[int, int],
    bfactor_px2: float,
    *,
    relion_compat: bool = False,
    device: torch.device | str | None = None,
) -> Float[Tensor, "y xh"]:
    """Return the weight of each frequency in the cross-correlation.

    Parameters
    ----------
    size
        ``(y, x)`` of the map, as `correlation_size` gives it.
    shape
        ``(y, x)`` of the frame.
    bfactor_px2
        B.
    relion_compat
        Divide the index along x by nx / 2 + 1 instead of nx, which damps x four times harder.
    """
    index = fourier.indices(size, 2, device).to(torch.float32)
    ny, nx = shape
    kx = index[..., 0] / (nx // 2 + 1 if relion_compat else nx)
    ky = index[..., 1] / ny
    return torch.exp(-2 * bfactor_px2 * (kx**2 + ky**2))


def ramps(
    shift_px: Float[Tensor, "n 2"], size: tuple[int, int], shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return the factors along y ``(n, y)`` and along x ``(n, xh)`` that move transforms.

    Parameters
    ----------
    shift_px
        x y, in pixels of the frame; the content moves to larger indices.
    size
        Sizes of the (cropped) image.
    shape
        Sizes of the frame.
    """
    ky = fourier.indices((size[0], 2), 2, shift_px.device)[:, 0, 1]
    kx = torch.arange(size[1] // 2 + 1, device=shift_px.device)
    turns_y = shift_px[:, 1:].to(torch.float64) * ky / shape[0]
    turns_x = shift_px[:, :1].to(torch.float64) * kx / shape[1]
    return _phase(turns_y), _phase(turns_x)


def _phase(turns: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(turns), -2 * torch.pi * turns).to(torch.complex64)
