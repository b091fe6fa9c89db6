"""The low frequencies of a frame, without transforming the high ones.

A frame of n pixels of which the frequencies of s < n are kept is first filtered with a short
window and thinned to n / d pixels. What aliases into the frequencies kept is damped to 0.3 % of its
amplitude, and what the filter does to those is divided out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.kernels import frames

_ATTENUATION_DB = 50.0
_MOST_TAPS = 48
_LEAST_MARGIN = 1.2


@dataclass(frozen=True)
class LowPass:
    """How frames of one size are filtered.

    Parameters
    ----------
    size
        ``(y, x)`` whose frequencies are kept.
    factor
        By which frames are thinned; 1 for not at all.
    taps
        ``(t,)`` of the filter.
    correction_y, correction_x
        What undoes the filter along each axis of the result.
    """

    size: tuple[int, int]
    factor: int
    taps: Float[Tensor, " t"]
    correction_y: Float[Tensor, " y"]
    correction_x: Float[Tensor, " xh"]

    def __call__(self, frame: Float[Tensor, "y x"]) -> Complex[Tensor, "yless xhless"]:
        """Return the low frequencies of a frame, origin at its first pixel."""
        if self.factor == 1:
            return fourier.forward_from_corner(frame, self.size)
        small = frames.thin(frame, self.taps, self.factor)
        wave = fourier.forward_from_corner(small, self.size)
        return wave * self.correction_y[:, None] * self.correction_x


def low_pass(shape: tuple[int, int], size: tuple[int, int], device: torch.device) -> LowPass:
    """Choose the filter for frames of a shape of which the frequencies of a size are kept.

    Parameters
    ----------
    shape, size
        ``(y, x)``.
    device
        Of the frames. Graphics cards transform faster than they filter.
    """
    factor = _factor(shape, size) if device.type == "cpu" else 1
    taps = torch.ones(1)
    if factor > 1:
        taps = _taps(factor, max(small / n for small, n in zip(size, shape, strict=True)) / 2)
    index = fourier.indices(size, 2)
    ky, kx = index[:, 0, 1] / shape[0], index[0, :, 0] / shape[1]
    return LowPass(size, factor, taps, 1 / _response(taps, ky), 1 / _response(taps, kx))


def _factor(shape: tuple[int, int], size: tuple[int, int]) -> int:
    for factor in (4, 3, 2):
        divides = all(n % factor == 0 for n in shape)
        if divides and all(
            n / factor >= _LEAST_MARGIN * small for n, small in zip(shape, size, strict=True)
        ):
            return factor
    return 1


def _taps(factor: int, highest_kept: float) -> Float[Tensor, " t"]:
    """Return a low-pass filter by the Kaiser window (Oppenheim & Schafer, section 7.6)."""
    width = 1 / factor - 2 * highest_kept
    needed = (_ATTENUATION_DB - 8) / (2.285 * 2 * math.pi * width)
    half = min(_MOST_TAPS, math.ceil(needed)) // 2 + 1
    beta = 0.5842 * (_ATTENUATION_DB - 21) ** 0.4 + 0.07886 * (_ATTENUATION_DB - 21)
    place = torch.arange(-half, half + 1, dtype=torch.float64)
    window = torch.kaiser_window(2 * half + 1, periodic=False, beta=beta, dtype=torch.float64)
    taps = torch.sinc(place / factor) * window
    return (taps / taps.sum()).to(torch.float32)


def _response(taps: Float[Tensor, " t"], k_per_px: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Return what symmetric taps leave of a wave."""
    place = torch.arange(len(taps), dtype=torch.float64) - len(taps) // 2
    waves = torch.cos(2 * torch.pi * k_per_px.to(torch.float64)[:, None] * place)
    return (waves @ taps.to(torch.float64)).to(torch.float32)
