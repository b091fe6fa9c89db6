"""What can be wrong with a map, mask or half-map from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vitreous.dataset.findings import Finding
from vitreous.errors import FormatError
from vitreous.io import MrcHeader, read_header, read_volume

_SAME = 1e-3


def require_map(path: Path | str) -> MrcHeader:
    """Return the header of a map; refuse what is no volume."""
    header = read_header(path)
    if header.is_stack:
        raise FormatError(
            f"{path}: a stack of {header.shape[0]} images, as its name says; a map was wanted. If "
            "it is one, give it a name that ends in .mrc."
        )
    if header.shape[0] == 1:
        raise FormatError(
            f"{path}: one section of {header.shape[2]} x {header.shape[1]} pixels; a map has as "
            "many sections as rows."
        )
    return header


def map_findings(path: Path | str, *, is_mask: bool = False) -> Iterator[Finding]:
    """Yield what is odd about a map, or about a mask."""
    header = require_map(path)
    sizes = header.shape
    if len(set(sizes)) > 1 or sizes[0] % 2:
        yield Finding(
            f"The map has {sizes[2]} x {sizes[1]} x {sizes[0]} pixels; refinement needs an even "
            "cube. Pad or cut it first.",
            str(path),
        )
    if header.pixel_size_A == 0:
        yield Finding("The header tells no pixel size; jobs will need it as an option.", str(path))
    values = read_volume(path, permissive=True).data
    if not np.isfinite(values).all():
        yield Finding(
            "The map holds values that are not numbers; nothing can be computed from it.",
            str(path),
        )
    elif is_mask and (values.min() < -_SAME or values.max() > 1 + _SAME):
        yield Finding(
            f"A mask goes from 0 to 1, this one from {values.min():.3g} to {values.max():.3g}. "
            "Make a mask from it with a Mask creation job.",
            str(path),
        )
    elif is_mask and np.isin(values, (0, 1)).all():
        yield Finding(
            "The mask has a hard edge, which makes the FSC look better than it is. Add a soft "
            "edge with a Mask creation job.",
            str(path),
        )


def require_same_grid(first: Path | str, second: Path | str) -> None:
    """Refuse half-maps of different sizes or pixel sizes."""
    a, b = require_map(first), require_map(second)
    same_pixel = abs(a.pixel_size_A - b.pixel_size_A) <= _SAME * max(a.pixel_size_A, b.pixel_size_A)
    if a.shape != b.shape or not same_pixel:
        raise FormatError(
            f"{first} has {a.shape[::-1]} pixels of {a.pixel_size_A:g} Å, {second} has "
            f"{b.shape[::-1]} of {b.pixel_size_A:g} Å; two halves of one data set agree in both."
        )
