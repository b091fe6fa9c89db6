"""Fourier transforms of images, as pictures and as curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.engine import fourier
from vitreous.programs.display import grey, reading, sheets
from vitreous.programs.display.grey import Look
from vitreous.programs.display.shelf import Shelf


def fft(
    shelf: Shelf, path: str, *, column: str | None, row: int, what: str, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return amplitudes (as logarithms) or phases as PNG, zero frequency in the middle."""
    _, name = sheets.image_of(shelf, path, column, row)
    whole = whole_transform(reading.read_one(shelf, name))
    if what == "phase":
        picture = np.angle(whole).astype(np.float32)
        black, white = -float(np.pi), float(np.pi)
    else:
        strength = np.log1p(np.abs(whole)).astype(np.float32)
        middle = strength.shape[0] // 2, strength.shape[1] // 2
        strength[middle] = np.median(strength)  # the mean of the image would outshine the rest
        picture = strength
        black, white = (float(v) for v in np.percentile(strength, (1, 99.8)))
    small = sheets.resized(picture, size)
    data, media = grey.encode(grey.to_grey(small, black, white), "grey", "PNG")
    return {"version": shelf.version(path), "media": media}, data


def profile(shelf: Shelf, path: str, *, column: str | None, row: int, what: str) -> dict[str, Any]:
    """Return layer lines (mean amplitude along x) or the radial average of the power spectrum."""
    found, name = sheets.image_of(shelf, path, column, row)
    strength = np.abs(whole_transform(reading.read_one(shelf, name)))
    pixel_size_A = sheets.pixel_size(shelf, found, name, Look())
    height, width = strength.shape
    unit = "1/Å" if pixel_size_A else "1/px"
    spacing = pixel_size_A or 1.0
    if what == "layer_lines":
        half = strength[:, width // 2 :].mean(0)
        x = np.arange(len(half)) / (width * spacing)
        return {"kind": what, "x": x.tolist(), "y": half.tolist(), "x_unit": unit}
    fy = (np.arange(height) - height // 2)[:, None] / height
    fx = (np.arange(width) - width // 2)[None] / width
    radius = np.rint(np.hypot(fy, fx) * max(height, width)).astype(int)
    n = max(height, width) // 2 + 1
    inside = radius < n
    total = np.bincount(radius[inside], np.square(strength[inside]), n)
    count = np.maximum(np.bincount(radius[inside], minlength=n), 1)
    x = np.arange(n) / (max(height, width) * spacing)
    return {"kind": what, "x": x.tolist(), "y": (total / count).tolist(), "x_unit": unit}


def whole_transform(image: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Return the transform of an image with all frequencies, zero in the middle.

    Parameters
    ----------
    image
        ``y x``

    Returns
    -------
    numpy.ndarray
        ``y x``; frequency 0 at ``size // 2``.
    """
    height, width = image.shape
    half = fourier.forward(torch.from_numpy(np.ascontiguousarray(image)), 2).numpy()
    rows = -np.arange(height) % height
    rest = np.conj(half[rows][:, 1 : (width + 1) // 2][:, ::-1])
    whole = np.concatenate([half, rest], 1)
    return np.roll(whole, (height // 2, width // 2), (0, 1))
