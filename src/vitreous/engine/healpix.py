"""Equal-area pixels of the sphere in the nested HEALPix order.

Pixels of order o divide each of 12 faces into 4^o squares of the HEALPix plane (Gorski 2005; the
plane and its inverse projection are those of Calabretta & Roukema 2007). The four children of
pixel p of one order are the pixels 4p to 4p + 3 of the next.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

QUARTER = torch.pi / 4


def n_pixels(order: int) -> int:
    """Return how many pixels cover the sphere: 12 * 4^order."""
    return int(12 * 4**order)


def spacing_deg(order: int) -> float:
    """Return the nominal distance of pixels, 60 degrees / 2^order."""
    return float(60.0 / 2**order)


def children(pixels: Int64[Tensor, " n"], levels: int) -> Int64[Tensor, "n m"]:
    """Return the 4^levels pixels, `levels` orders finer, that make up each pixel."""
    n = int(4**levels)
    return pixels[:, None] * n + torch.arange(n, device=pixels.device)


def directions(order: int, pixels: Int64[Tensor, " n"]) -> Float[Tensor, "n 2"]:
    """Return the centres of pixels as rot in (-180, 180] and tilt, in degrees and float64."""
    x, y = _plane(order, pixels)
    polar = y.abs() > QUARTER
    sigma = torch.where(polar, 2 - y.abs() / QUARTER, torch.ones_like(y))
    facet = 2 * QUARTER * torch.floor(x / (2 * QUARTER)) + QUARTER
    rot = torch.where(polar, facet + (x - facet) / sigma, x)
    cap = 2 * torch.asin(sigma / 6**0.5)
    belt = torch.acos((2 / 3 * y / QUARTER).clamp(-1, 1))
    tilt = torch.where(polar, torch.where(y > 0, cap, torch.pi - cap), belt)
    degrees = torch.rad2deg(torch.stack([rot, tilt], -1))
    degrees[:, 0] -= 360 * torch.ceil((degrees[:, 0] - 180 - 1e-9) / 360)
    return degrees


def _plane(order: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the places of pixel centres in the HEALPix plane, in radians."""
    face = pixels >> (2 * order)
    across, up = _every_other_bit(pixels, order), _every_other_bit(pixels >> 1, order)
    row = face // 4  # 0 north, 1 equator, 2 south
    x = (2 * (face % 4) + (row != 1)) * 2**order + across - up
    y = (1 - row) * 2**order + across + up + 1 - 2**order
    step = QUARTER / 2**order
    return x.to(torch.float64) * step, y.to(torch.float64) * step


def _every_other_bit(numbers: Tensor, order: int) -> Tensor:
    bits = torch.zeros_like(numbers)
    for level in range(order):
        bits = bits | (((numbers >> (2 * level)) & 1) << level)
    return bits
