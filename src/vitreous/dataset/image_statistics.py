"""Images whose pixels are unlike those of all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mean_and_sd(images: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each image, in two passes and float64.

    Parameters
    ----------
    images
        ``n y x``.
    """
    pixels = images.reshape(len(images), -1)
    mean = pixels.mean(axis=1, dtype=np.float64)
    sd = np.empty(len(pixels))
    for row, values in enumerate(pixels):
        sd[row] = np.sqrt(np.mean(np.square(values - mean[row])))
    return mean, sd


def ordinary(
    means: NDArray[np.float64], sds: NDArray[np.float64], n_sigma: float
) -> NDArray[np.bool_]:
    """Return which images are like the others.

    Mean and standard deviation must both lie strictly within `n_sigma` standard deviations of
    their average over all images (postprocessing.md section 1). Values that are not finite are
    left out of the averages and never pass.

    Parameters
    ----------
    means, sds
        ``n``: of each image.
    """
    finite = np.isfinite(means) & np.isfinite(sds)
    kept = finite.copy()
    for values in (means, sds):
        known = values[finite]
        if known.size:
            centre, spread = known.mean(), known.std()
            kept[finite] &= np.abs(known - centre) < n_sigma * spread
    return kept
