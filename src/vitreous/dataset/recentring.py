"""Class averages moved so that their density lies in the middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def recentre(images: NDArray[np.floating]) -> NDArray[np.float32]:
    """Move the centre of mass of each image's positive pixels to pixel ``size // 2``.

    Parameters
    ----------
    images
        ``n y x``, even sizes. What leaves on one side comes in on the other: averages are masked.
    """
    return shifted(images, -np.stack([centre_of_mass(image) for image in images]))


def centre_of_mass(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the centre of mass ``(x, y)`` of the positive pixels, from pixel ``size // 2``."""
    weights = np.clip(image.astype(np.float64), 0, None)
    total = weights.sum()
    if total <= 0:
        return np.zeros(2)
    y, x = (np.arange(size) - size // 2 for size in image.shape)
    return np.array([weights.sum(axis=0) @ x / total, weights.sum(axis=1) @ y / total])


def shifted(images: NDArray[np.floating], shifts_px: NDArray[np.float64]) -> NDArray[np.float32]:
    """Move each image by its own shift ``(x, y)``, by turning the phases of its transform.

    A whole number of pixels is an exact roll.
    """
    _, height, width = images.shape
    whole = np.round(shifts_px)
    rest = shifts_px - whole
    ky = np.fft.fftfreq(height)[None, :, None]
    kx = np.fft.rfftfreq(width)[None, None, :]
    phase = np.exp(-2j * np.pi * (kx * rest[:, 0, None, None] + ky * rest[:, 1, None, None]))
    moved = np.fft.irfft2(np.fft.rfft2(images.astype(np.float64)) * phase, s=(height, width))
    rolled = [
        np.roll(image, (int(dy), int(dx)), axis=(0, 1))
        for image, (dx, dy) in zip(moved, whole, strict=True)
    ]
    return np.stack(rolled).astype(np.float32)
