"""The picture that picks are put on: a micrograph filtered, scaled and brought to grey values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.engine import filtering, fourier
from vitreous.errors import InputError


@dataclass(frozen=True)
class Display:
    """How a micrograph is shown, as in the form of a ManualPick job.

    Parameters
    ----------
    scale
        Picture pixels over micrograph pixels.
    low_pass_A, high_pass_A
        Filters; not above 0 for none.
    contrast_sigma
        Grey values run so many deviations to both sides of the mean; 0 takes the whole range.
    white_value, black_value
        Fixed limits; 0 for none.
    """

    scale: float = 0.2
    low_pass_A: float = 20.0
    high_pass_A: float = -1.0
    contrast_sigma: float = 3.0
    white_value: float = 0.0
    black_value: float = 0.0


def picture(
    micrograph: NDArray[np.float32], pixel_size_A: float, display: Display
) -> NDArray[np.uint8]:
    """Return a picture of a micrograph, first row of the file first.

    Parameters
    ----------
    micrograph
        ``y x``
    pixel_size_A
        Needed by the filters.

    Raises
    ------
    InputError
        A filter is asked for and nobody knows the pixel size.
    """
    return _grey(shown(micrograph, pixel_size_A, display), display)


def shown(
    micrograph: NDArray[np.float32], pixel_size_A: float, display: Display
) -> NDArray[np.float32]:
    """Return the filtered and scaled micrograph, not yet grey values."""
    image = torch.from_numpy(np.ascontiguousarray(micrograph, np.float32))
    sizes = tuple(image.shape)
    small = tuple(max(2, int(side * display.scale / 2 + 0.5) * 2) for side in sizes)
    small = tuple(min(a, b - b % 2) for a, b in zip(small, sizes, strict=True))
    transform = fourier.forward(image, 2)
    radius = filtering.radius(sizes, image)
    for resolution_A, keeps_low in ((display.low_pass_A, True), (display.high_pass_A, False)):
        if resolution_A <= 0:
            continue
        if not pixel_size_A > 0:
            raise InputError("A filter needs the pixel size of the micrograph, which is not known.")
        curve = filtering.low_pass_curve(max(sizes), resolution_A, pixel_size_A)
        keep = curve(radius)
        transform = transform * (keep if keeps_low else 1 - keep)
    return fourier.inverse(fourier.crop(transform, small, 2), 2, small).numpy()


def _grey(image: NDArray[np.float32], display: Display) -> NDArray[np.uint8]:
    mean, sigma = float(image.mean()), float(image.std())
    low, high = float(image.min()), float(image.max())
    if display.white_value or display.black_value:
        low, high = display.black_value, display.white_value
    elif display.contrast_sigma > 0:
        low, high = mean - display.contrast_sigma * sigma, mean + display.contrast_sigma * sigma
    width = high - low if high != low else 1.0
    return np.asarray(np.rint(np.clip((image - low) / width, 0, 1) * 255), np.uint8)
