"""PNG and JPEG pictures, to and from arrays in the row order of MRC.

A picture starts with its top row; an MRC file with its lowest. Row 0 of the arrays here is the
bottom of the picture, so that viewers which show MRC files with y upwards show the same picture.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError
from vitreous.io.atomic import write_bytes
from vitreous.io.colours import AROUND_ZERO, coloured
from vitreous.io.image_refs import split_format
from vitreous.io.sources import open_descriptor

PICTURES = ("png", "jpg", "jpeg")


def read_picture(path: Path | str) -> npt.NDArray[np.float32]:
    """Read a picture as grey values, ``(y, x)`` in float32, row 0 at the bottom.

    8 and 16-bit grey values are kept as they are; colours become their luminance (ITU-R 601).

    Raises
    ------
    MissingFileError, FormatError
        No such file, or it is no picture that can be read.
    """
    from PIL import Image

    file, _ = split_format(path)
    os.close(open_descriptor(file))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as picture:
                deep = picture.mode in ("I", "I;16", "I;16B", "I;16L", "F")
                grey = np.asarray(picture if deep else picture.convert("L"), np.float32)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FormatError(
            f"{path}: cannot be read as PNG or JPEG ({error}). It is damaged or something else."
        ) from error
    return np.ascontiguousarray(grey[::-1])


def write_picture(
    path: Path | str,
    image: npt.NDArray[np.floating],
    *,
    black: float | None = None,
    white: float | None = None,
    scheme: str | None = None,
) -> None:
    """Write an image as an 8-bit PNG or JPEG, row 0 at the bottom; whole or not at all.

    Parameters
    ----------
    path
        ``.png``, ``.jpg`` or ``.jpeg``.
    image
        ``(y, x)``.
    black, white
        Values shown black and white; the smallest and largest where not given.
    scheme
        Colours instead of grey, see `colours.SCHEMES`. Without `black` and `white`, differences
        run from minus to plus the largest value.
    """
    from PIL import Image

    file, kind = split_format(path)
    if kind not in PICTURES:
        raise InputError(f"{path}: wanted a name that ends in .png, .jpg or .jpeg.")
    if image.ndim != 2 or image.size == 0:
        raise InputError(f"{path}: an array of shape {image.shape} is no picture; wanted (y, x).")
    if not np.isfinite(image).all():
        raise InputError(f"{path}: the image holds NaN or infinite values.")
    low, high = float(image.min()), float(image.max())
    if scheme in AROUND_ZERO:
        low, high = -max(-low, high), max(-low, high)
    low, high = low if black is None else black, high if white is None else white
    scaled = (image.astype(np.float64) - low) * (255.0 / (high - low) if high != low else 0.0)
    grey = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[::-1]
    pixels = grey if scheme is None else coloured(grey, scheme)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, "PNG" if kind == "png" else "JPEG")
    write_bytes(file, stream.getvalue())
