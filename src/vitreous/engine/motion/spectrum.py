"""The power spectrum that CTF estimation starts from (preprocessing.md section 3, step 2)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier

NYQUIST_PIXEL_A = 1.4


def picture(
    spectrum: Float[Tensor, "y xh"], size: tuple[int, int], pixel_size_A: float, side: int = 512
) -> tuple[Float[Tensor, "side side"], float]:
    """Return the whole plane of a sum of amplitudes as a small square image, zero in its middle.

    Parameters
    ----------
    spectrum
        ``(y, xh)``, zero frequency at index 0.
    size
        ``(y, x)`` of the images behind it.
    pixel_size_A
        Of those images.
    side
        Of the result.

    Returns
    -------
    tuple
        The image, and the pixel size of an image that has it as its spectrum: 1.4 Å, or that of
        the images where it is larger.
    """
    plane = whole_plane(spectrum, size)
    square = min(size)
    if size[0] != size[1]:
        plane = _resampled(plane, (square, square))
    keep = square
    if pixel_size_A < NYQUIST_PIXEL_A:
        keep = min(square, 2 * math.ceil(square * pixel_size_A / NYQUIST_PIXEL_A / 2))
    start = square // 2 - keep // 2
    plane = plane[start : start + keep, start : start + keep]
    return _resampled(plane, (side, side)), pixel_size_A * square / keep


def whole_plane(spectrum: Float[Tensor, "y xh"], size: tuple[int, int]) -> Float[Tensor, "y x"]:
    """Return all of a plane that is symmetric about zero frequency, which is put in its middle."""
    ny, nx = size
    x = torch.arange(nx, device=spectrum.device) - nx // 2
    y = torch.arange(ny, device=spectrum.device) - ny // 2
    sign = torch.where(x < 0, -1, 1)
    rows = (y[:, None] * sign[None]) % ny
    return spectrum[rows, x.abs()[None].expand(ny, -1)]


def _resampled(image: Float[Tensor, "y x"], size: tuple[int, int]) -> Float[Tensor, "y2 x2"]:
    """Give an image more or fewer pixels, by its Fourier transform."""
    wave = fourier.forward(image, 2)
    smaller = tuple(min(a, b) for a, b in zip(image.shape, size, strict=True))
    wave = fourier.crop(wave, smaller, 2)
    if smaller != size:
        padded = wave.new_zeros(size[0], size[1] // 2 + 1)
        low, high = smaller[0] // 2 + 1, (smaller[0] - 1) // 2
        padded[:low, : wave.shape[1]] = wave[:low]
        padded[size[0] - high :, : wave.shape[1]] = wave[smaller[0] // 2 + 1 :]
        wave = padded
    return fourier.inverse(wave, 2, size)
