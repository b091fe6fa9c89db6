"""Sheets of thumbnails, single images, and averages of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError, VitreousError
from vitreous.io import Table
from vitreous.programs.display import grey, reading, tables
from vitreous.programs.display.grey import Look
from vitreous.programs.display.shelf import Shelf

_POOL: Final = ThreadPoolExecutor(4)
_CHUNK: Final = 200
_MISSING: Final = 40  # grey of a place whose image cannot be read
_ON_MISSING: Final = 170  # and of the words on it


@dataclass(frozen=True)
class Sheet:
    """Which thumbnails, and how they lie; the arguments of `/api/images/sprite`.

    Parameters
    ----------
    column
        The column with the names of the images; None for the first that has some.
    rows
        Their places in the table; None for `count` from `start` on in the order of `sort`.
    sort, reverse, seed, start, count
        See `vitreous.programs.display.tables.part`.
    size, across
        Side of a thumbnail in pixels, and how many lie in a line.
    """

    column: str | None = None
    rows: Sequence[int] | None = None
    sort: str | None = None
    reverse: bool = False
    seed: int = 0
    start: int = 0
    count: int = 100
    size: int = 128
    across: int = 10


def sprite(shelf: Shelf, path: str, look: Look, sheet: Sheet) -> tuple[dict[str, Any], bytes]:
    """Return a sheet of thumbnails; see `/api/images/sprite`."""
    found = tables.shown(shelf, path)
    names, rows = found.images(sheet.column), sheet.rows
    if rows is None:
        order = tables.ordered(found.table, sheet.sort, sheet.reverse, sheet.seed)
        rows = order[sheet.start : sheet.start + sheet.count].tolist()
    size, across = sheet.size, sheet.across
    wrong = [row for row in rows if row >= len(names)]
    if wrong:
        raise InputError(f"{path}: has {len(names):,} rows, there is no row {wrong[0]}.")
    small = _thumbnails(shelf, found, names, rows, size, look)
    deep = math.ceil(max(1, len(rows)) / across)
    canvas = np.zeros((deep * size, min(across, max(1, len(rows))) * size), np.uint8)
    for place, tile in enumerate(small):
        y, x = place // across * size, place % across * size
        top, left = (size - tile.shape[0]) // 2, (size - tile.shape[1]) // 2
        canvas[y + top : y + top + tile.shape[0], x + left : x + left + tile.shape[1]] = tile
    data, media = grey.encode(canvas, look.colour, "JPEG")
    return {"version": shelf.version(path), "n": len(rows), "media": media}, data


def one(
    shelf: Shelf, path: str, look: Look, *, column: str | None, row: int, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return an image as PNG; see `/api/images/one`."""
    found, name = image_of(shelf, path, column, row)
    image = _looked(shelf, found, row, name, reading.read_one(shelf, name), look)
    if size:
        image = resized(image, size)
    black, white = grey.limits(look, grey.spread(image))
    data, media = grey.encode(grey.to_grey(image, black, white), look.colour, "PNG")
    return {"version": shelf.version(path), "media": media}, data


def average(
    shelf: Shelf, path: str, *, column: str | None, rows: Sequence[int], what: str, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return the mean or the standard deviation of images as PNG."""
    found = tables.shown(shelf, path)
    names = found.images(column)
    wrong = [row for row in rows if not 0 <= row < len(names)]
    if wrong:
        raise InputError(f"{path}: has {len(names):,} rows, there is no row {wrong[0]}.")
    total: NDArray[np.float64] | None = None
    squares: NDArray[np.float64] | None = None
    for begin in range(0, len(rows), _CHUNK):
        chosen = [str(names[row]) for row in rows[begin : begin + _CHUNK]]
        for image in reading.read_many(shelf, chosen):
            if total is None or squares is None:
                total, squares = np.zeros(image.shape), np.zeros(image.shape)
            if image.shape != total.shape:
                raise InputError(f"{path}: its images differ in size and have no average.")
            total += image
            squares += np.square(image, dtype=np.float64)
    if total is None or squares is None:
        raise InputError(f"{path}: no image was named.")
    mean = total / len(rows)
    picture = mean if what == "mean" else np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    small = resized(picture.astype(np.float32), size)
    black, white = grey.limits(Look(), grey.spread(small))
    data, media = grey.encode(grey.to_grey(small, black, white), "grey", "PNG")
    return {"version": shelf.version(path), "media": media}, data


def image_of(shelf: Shelf, path: str, column: str | None, row: int) -> tuple[tables.Shown, str]:
    """Return the table of a file and the name of one of its images."""
    found = tables.shown(shelf, path)
    names = found.images(column)
    if not 0 <= row < len(names):
        raise InputError(f"{path}: has {len(names):,} rows, there is no row {row}.")
    return found, str(names[row])


def filtered(images: NDArray[np.float32], pixel_size_A: float, look: Look) -> NDArray[np.float32]:
    """Return images after the filters that were asked for.

    Parameters
    ----------
    images
        ``y x``, or ``n y x`` of one pixel size.
    """
    if not look.filtered:
        return images
    if not pixel_size_A > 0:
        raise InputError("A filter needs the pixel size, which is not known; give one.")
    from vitreous.programs.display.filters import band_passed

    return band_passed(images, pixel_size_A, look.lowpass_A, look.highpass_A)


def resized(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return an image with a longer side of `side` pixels: averaged down, or smoothly up."""
    from PIL import Image

    height, width = image.shape
    scale = side / max(height, width)
    if scale == 1:
        return image
    wanted = max(1, round(width * scale)), max(1, round(height * scale))
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    return np.asarray(picture.resize(wanted, how), np.float32)


def pixel_size(shelf: Shelf, found: tables.Shown, name: str, look: Look) -> float:
    """Return the pixel size that counts: the one given, else of the table, else of the file."""
    return look.pixel_size_A or found.pixel_size_A or reading.pixel_size_of(shelf, name)


def _thumbnails(
    shelf: Shelf,
    found: tables.Shown,
    names: NDArray[Any],
    rows: Sequence[int],
    size: int,
    look: Look,
) -> list[NDArray[np.uint8]]:
    """Return thumbnails as grey values; one that cannot be read says so."""
    groups = [rows[begin : begin + 25] for begin in range(0, len(rows), 25)]
    made = _POOL.map(lambda group: _group(shelf, found, names, group, size, look), groups)
    return [tile for group in made for tile in group]


def _group(
    shelf: Shelf,
    found: tables.Shown,
    names: NDArray[Any],
    rows: Sequence[int],
    size: int,
    look: Look,
) -> list[NDArray[np.uint8]]:
    wanted = [str(names[row]) for row in rows]
    images: list[NDArray[np.float32] | None]
    try:
        if found.kind in ("micrographs", "movies") or look.filtered or look.oriented:
            images = [_read(shelf, name, size, look) for name in wanted]
        else:
            images = [*reading.read_many(shelf, wanted)]
    except (VitreousError, OSError):
        images = [_or_nothing(shelf, name, size, look) for name in wanted]
    images = _filtered_together(shelf, found, wanted, images, look)
    tiles = []
    for row, name, image in zip(rows, wanted, images, strict=True):
        if image is None:
            tiles.append(_missing(size, shelf.is_outside(name.rpartition("@")[2])))
            continue
        shaped = _turned(shelf, found, row, name, image, look)
        small = resized(shaped, size)
        black, white = grey.limits(look, grey.spread(small if look.sigma == 0 else shaped))
        tiles.append(grey.to_grey(small, black, white))
    return tiles


def _read(shelf: Shelf, name: str, size: int, look: Look) -> NDArray[np.float32]:
    return reading.read_one(shelf, name) if look.filtered else reading.read_small(shelf, name, size)


def _or_nothing(shelf: Shelf, name: str, size: int, look: Look) -> NDArray[np.float32] | None:
    try:
        return _read(shelf, name, size, look)
    except (VitreousError, OSError):
        return None


def _missing(size: int, is_outside: bool) -> NDArray[np.uint8]:
    """Return a thumbnail that says why there is none; the image itself tells all of it."""
    from PIL import Image, ImageDraw, ImageFont

    text = "outside the\nproject: see\ngui --data" if is_outside else "cannot\nbe read"
    tile = Image.new("L", (size, size), _MISSING)
    font = ImageFont.load_default(max(6, size / 8.5))
    middle = (size / 2, size / 2)
    ImageDraw.Draw(tile).multiline_text(
        middle, text, _ON_MISSING, font, anchor="mm", align="center"
    )
    return np.asarray(tile, np.uint8)


def _looked(
    shelf: Shelf,
    found: tables.Shown,
    row: int,
    name: str,
    image: NDArray[np.float32],
    look: Look,
) -> NDArray[np.float32]:
    """Return an image filtered, turned and shifted as asked."""
    if look.filtered:
        image = filtered(image, pixel_size(shelf, found, name, look), look)
    return _turned(shelf, found, row, name, image, look)


def _turned(
    shelf: Shelf,
    found: tables.Shown,
    row: int,
    name: str,
    image: NDArray[np.float32],
    look: Look,
) -> NDArray[np.float32]:
    if not look.oriented:
        return image
    return oriented(image, found.table, row, pixel_size(shelf, found, name, look))


def _filtered_together(
    shelf: Shelf,
    found: tables.Shown,
    names: Sequence[str],
    images: list[NDArray[np.float32] | None],
    look: Look,
) -> list[NDArray[np.float32] | None]:
    """Filter images of one size in one go."""
    there = [image for image in images if image is not None]
    if not look.filtered or not there:
        return images
    pixel_size_A = pixel_size(shelf, found, names[0], look)
    if len({image.shape for image in there}) > 1:
        return [image if image is None else filtered(image, pixel_size_A, look) for image in images]
    done = iter(filtered(np.stack(there), pixel_size_A, look))
    return [image if image is None else next(done) for image in images]


def oriented(
    image: NDArray[np.float32], table: Table, row: int, pixel_size_A: float
) -> NDArray[np.float32]:
    """Return an image turned by its psi and shifted by its origins, as its reference lies.

    An image shows its reference at ``A v`` for ``v`` in the frame of the image, with the passive
    rotation A of psi; the origin is the shift that brings it to the centre (conventions.md).
    """
    from PIL import Image

    psi = np.deg2rad(float(table.get("rlnAnglePsi", np.zeros(row + 1))[row]))
    shift = [_origin(table, axis, row, pixel_size_A) for axis in "XY"]
    c, s = np.cos(psi), np.sin(psi)
    height, width = image.shape
    x0, y0 = width // 2, height // 2
    # PIL asks where in the image each pixel of the result lies, with half a pixel added.
    cx, cy = x0 + 0.5, y0 + 0.5
    matrix = (
        *(c, s, cx - c * cx - s * cy - shift[0]),
        *(-s, c, cy + s * cx - c * cy - shift[1]),
    )
    picture = Image.fromarray(np.ascontiguousarray(image, np.float32))
    mean = float(image.mean())
    turned = picture.transform(
        (width, height),
        Image.Transform.AFFINE,
        matrix,
        Image.Resampling.BILINEAR,
        fillcolor=mean,
    )
    return np.asarray(turned, np.float32)


def _origin(table: Table, axis: str, row: int, pixel_size_A: float) -> float:
    """Return an origin in pixels."""
    if f"rlnOrigin{axis}Angst" in table and pixel_size_A > 0:
        return float(table[f"rlnOrigin{axis}Angst"][row]) / pixel_size_A
    if f"rlnOrigin{axis}" in table:
        return float(table[f"rlnOrigin{axis}"][row])
    return 0.0
