"""From numbers to grey values and picture files; row 0 is at the top."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.io.colours import AROUND_ZERO, coloured

_QUALITY: Final = 88


@dataclass(frozen=True)
class Look:
    """How an image is shown; the fields of `vitreous.gui.routes.images.Look`.

    Parameters
    ----------
    sigma
        Grey values run so many deviations to both sides of the mean; 0 takes the whole range.
    black, white
        Fixed limits, where they differ.
    lowpass_A, highpass_A
        Filters, 0 for none.
    percentile
        In place of `sigma`: so many percent of the pixels are black, and as many white.
    pixel_size_A
        In place of the one of the file; 0 for that.
    colour
        ``grey`` or a scheme of `vitreous.io.colours`.
    oriented
        Turn and shift by the orientation in the table.
    denoised
        What Topaz made of a micrograph, in tiles and along lines.
    """

    sigma: float = 0.0
    black: float = 0.0
    white: float = 0.0
    lowpass_A: float = 0.0
    highpass_A: float = 0.0
    percentile: float = 0.0
    pixel_size_A: float = 0.0
    colour: str = "grey"
    oriented: bool = False
    denoised: bool = False

    @property
    def filtered(self) -> bool:
        """Whether a filter is asked for."""
        return self.lowpass_A > 0 or self.highpass_A > 0


@dataclass(frozen=True)
class Spread:
    """Mean, deviation and range of the values of an image or volume."""

    mean: float
    deviation: float
    minimum: float
    maximum: float


def spread(values: NDArray[np.floating[Any]]) -> Spread:
    """Return how values are spread; those that are not finite are left out."""
    flat = np.asarray(values, np.float32).ravel()
    if not np.isfinite(flat.sum(dtype=np.float64)):
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Spread(0.0, 0.0, 0.0, 0.0)
    return Spread(
        float(flat.mean(dtype=np.float64)),
        float(flat.std(dtype=np.float64)),
        float(flat.min()),
        float(flat.max()),
    )


def limits(look: Look, found: Spread) -> tuple[float, float]:
    """Return the values shown black and white."""
    if look.black != look.white:
        return look.black, look.white
    if look.sigma > 0 and found.deviation > 0:
        reach = look.sigma * found.deviation
        return found.mean - reach, found.mean + reach
    if look.colour in AROUND_ZERO:
        most = max(-found.minimum, found.maximum)
        return -most, most
    return found.minimum, found.maximum


def to_grey(image: NDArray[np.floating[Any]], black: float, white: float) -> NDArray[np.uint8]:
    """Return 8-bit grey values; what is not finite is black."""
    width = white - black if white != black else 1.0
    scaled = (np.asarray(image, np.float32) - np.float32(black)) * np.float32(255.0 / width)
    np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    return np.asarray(np.clip(scaled + np.float32(0.5), 0, 255), np.uint8)


def encode(grey: NDArray[np.uint8], colour: str, kind: str) -> tuple[bytes, str]:
    """Return the bytes of a picture, and its media type.

    Parameters
    ----------
    grey
        ``y x`` or ``y x 3``.
    colour
        ``grey`` or a scheme.
    kind
        ``JPEG`` or ``PNG``.
    """
    from PIL import Image

    pixels = coloured(grey, colour) if colour != "grey" and grey.ndim == 2 else grey
    stream = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if kind == "JPEG":
        picture.save(stream, "JPEG", quality=_QUALITY)
        return stream.getvalue(), "image/jpeg"
    picture.save(stream, "PNG", compress_level=3)
    return stream.getvalue(), "image/png"
