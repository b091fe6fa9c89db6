"""Large images as pyramids of tiles: level 0 has every pixel, each next one half as many a side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError
from vitreous.programs.display import denoised, grey, reading, sheets
from vitreous.programs.display.grey import Look, Spread
from vitreous.programs.display.shelf import Shelf, bytes_of
from vitreous.programs.display.tables import row_values

TILE_PX: Final = 512
_MOST_ON_LINE: Final = 4096


@dataclass(frozen=True)
class Pyramid:
    """An image at every level, and how its values are spread; ``quantiles`` in steps of 0.1 %."""

    levels: tuple[NDArray[np.float32], ...]
    spread: Spread
    quantiles: NDArray[np.float32]


def image_meta(shelf: Shelf, path: str, column: str | None, row: int) -> dict[str, Any]:
    """Return what `/api/images/meta` tells."""
    found, name = sheets.image_of(shelf, path, column, row)
    pyramid = _pyramid(shelf, path, column, row, Look())
    height, width = pyramid.levels[0].shape
    values = row_values(found.table, row)
    ctf = values.get("rlnCtfImage")
    return {
        "path": path,
        "row": row,
        "name": name,
        "version": shelf.version(path),
        "width_px": width,
        "height_px": height,
        "tile_px": TILE_PX,
        "levels": len(pyramid.levels),
        "pixel_size_A": sheets.pixel_size(shelf, found, name, Look()) or None,
        "mean": pyramid.spread.mean,
        "deviation": pyramid.spread.deviation,
        "minimum": pyramid.spread.minimum,
        "maximum": pyramid.spread.maximum,
        "ctf_image": str(ctf) if ctf else None,
        "values": values,
    }


def tile(
    shelf: Shelf, path: str, look: Look, *, column: str | None, row: int, level: int, x: int, y: int
) -> tuple[dict[str, Any], bytes]:
    """Return one tile as JPEG."""
    pyramid = _pyramid(shelf, path, column, row, look)
    if level >= len(pyramid.levels):
        raise InputError(f"{path}: has {len(pyramid.levels)} levels, there is no level {level}.")
    image = pyramid.levels[level]
    part = image[y * TILE_PX : (y + 1) * TILE_PX, x * TILE_PX : (x + 1) * TILE_PX]
    if not part.size:
        raise InputError(f"{path}: level {level} has no tile {x}, {y}.")
    black, white = _limits(look, pyramid)
    data, media = grey.encode(grey.to_grey(part, black, white), look.colour, "JPEG")
    return {"version": shelf.version(path), "media": media}, data


def value(shelf: Shelf, path: str, column: str | None, row: int, x: int, y: int) -> dict[str, Any]:
    """Return the value of a pixel."""
    image = _pyramid(shelf, path, column, row, Look()).levels[0]
    if x >= image.shape[1] or y >= image.shape[0]:
        raise InputError(f"{path}: has {image.shape[1]} x {image.shape[0]} pixels, not {x}, {y}.")
    return {"x": x, "y": y, "value": float(image[y, x])}


def line(
    shelf: Shelf,
    path: str,
    look: Look,
    *,
    column: str | None,
    row: int,
    ends: tuple[float, float, float, float],
) -> dict[str, Any]:
    """Return values along a line between two places (x, y, x, y), about one a pixel."""
    found, name = sheets.image_of(shelf, path, column, row)
    image = _pyramid(shelf, path, column, row, look).levels[0]
    x0, y0, x1, y1 = ends
    length = float(np.hypot(x1 - x0, y1 - y0))
    n = min(_MOST_ON_LINE, max(2, round(length) + 1))
    along = np.linspace(0.0, 1.0, n)
    values = _between(image, x0 + along * (x1 - x0), y0 + along * (y1 - y0))
    spacing = sheets.pixel_size(shelf, found, name, look)
    return {
        "kind": "line",
        "x": (along * length * (spacing or 1.0)).tolist(),
        "y": values.tolist(),
        "x_unit": "Å" if spacing else "px",
    }


def _between(
    image: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return values between pixels, linearly; those outside are of the nearest pixel."""
    height, width = image.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = x - left, y - top
    upper = image[top, left] * (1 - u) + image[top, right] * u
    lower = image[bottom, left] * (1 - u) + image[bottom, right] * u
    return np.asarray(upper * (1 - v) + lower * v, np.float64)


def _pyramid(shelf: Shelf, path: str, column: str | None, row: int, look: Look) -> Pyramid:
    found, name = sheets.image_of(shelf, path, column, row)
    filters = (look.lowpass_A, look.highpass_A, look.pixel_size_A) if look.filtered else ()
    source = name.partition("@")[2] or name
    key = ("pyramid", name, shelf.version(source.partition(":")[0]), filters, look.denoised)

    def make() -> Pyramid:
        image = denoised.read(shelf, name) if look.denoised else reading.read_one(shelf, name)
        if look.filtered:
            image = sheets.filtered(image, sheets.pixel_size(shelf, found, name, look), look)
        return build(image)

    return shelf.pictures.get(key, make, lambda made: bytes_of(made.levels))


def build(image: NDArray[np.float32]) -> Pyramid:
    """Return all levels of an image, down to one tile."""
    levels = [image]
    while max(levels[-1].shape) > TILE_PX:
        levels.append(halved(levels[-1]))
    middle = levels[min(1, len(levels) - 1)]
    few = middle[:: max(1, middle.shape[0] // 500), :: max(1, middle.shape[1] // 500)]
    finite = few[np.isfinite(few)]
    quantiles = np.quantile(finite if finite.size else np.zeros(1), np.linspace(0, 1, 1001))
    return Pyramid(tuple(levels), grey.spread(middle), quantiles.astype(np.float32))


def _limits(look: Look, pyramid: Pyramid) -> tuple[float, float]:
    """Return the values shown black and white."""
    if look.percentile > 0 and look.black == look.white:
        ends = (look.percentile, 100 - look.percentile)
        low, high = np.interp(ends, np.linspace(0, 100, 1001), pyramid.quantiles)
        if high > low:
            return float(low), float(high)
    return grey.limits(look, pyramid.spread)


def halved(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image with half as many pixels a side; an odd last row or column is averaged in."""
    height, width = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    top = padded[::2] + padded[1::2]
    return np.ascontiguousarray((top[:, ::2] + top[:, 1::2]) * np.float32(0.25))
