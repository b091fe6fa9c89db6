"""Low-pass and high-pass filters of what is shown."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.engine import filtering, fourier


def band_passed(
    images: NDArray[np.float32], pixel_size_A: float, lowpass_A: float, highpass_A: float
) -> NDArray[np.float32]:
    """Return images without what is finer or coarser than asked.

    Parameters
    ----------
    images
        ``y x`` or ``n y x``
    pixel_size_A
        Their pixel size.
    lowpass_A, highpass_A
        Where the filters end; not above 0 for none.
    """
    stack = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    sizes = tuple(stack.shape[-2:])
    transform = fourier.forward(stack, 2)
    radius = filtering.radius(sizes, stack)
    for resolution_A, keeps_low in ((lowpass_A, True), (highpass_A, False)):
        if resolution_A > 0:
            curve = filtering.low_pass_curve(max(sizes), resolution_A, pixel_size_A)
            keep = curve(radius)
            transform = transform * (keep if keeps_low else 1 - keep)
    done: NDArray[np.float32] = fourier.inverse(transform, 2, sizes).numpy()
    return done
