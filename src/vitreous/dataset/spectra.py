"""Rotationally averaged power spectra of images, for checks that need no GPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def radial_power(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the power of each image as a function of spatial frequency.

    Parameters
    ----------
    images
        ``n y x``, any size.

    Returns
    -------
    ndarray
        ``n s``: mean of the squared Fourier amplitudes in each shell, transform divided by
        the number of pixels. Shell `i` is the frequency ``i / box`` per pixel; shells go on
        into the corners of the transform, to ``box / sqrt(2)``.
    """
    n, height, width = images.shape
    power = np.abs(np.fft.rfft2(images.astype(np.float64)) / (height * width)) ** 2
    shell = shells(height, width).ravel()
    n_shells = int(shell.max()) + 1
    counts = np.bincount(shell, minlength=n_shells)
    sums = [np.bincount(shell, weights=row.ravel(), minlength=n_shells) for row in power]
    return np.stack(sums) / counts if n else np.zeros((0, n_shells))


def shells(height: int, width: int) -> NDArray[np.int64]:
    """Return the shell of each element of an rfft2 of ``height x width`` pixels."""
    longest = max(height, width)
    ky = np.fft.fftfreq(height, 1 / longest)[:, None]
    kx = np.fft.rfftfreq(width, 1 / longest)[None, :]
    return np.asarray(np.floor(np.hypot(ky, kx) + 0.5), dtype=np.int64)
