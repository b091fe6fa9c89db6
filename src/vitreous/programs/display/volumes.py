"""Volumes: bytes for a viewer that draws them; slices and shaded surfaces for one that cannot."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import FormatError, InputError
from vitreous.io import read_volume
from vitreous.programs.display import grey, sheets
from vitreous.programs.display.grey import Look, Spread
from vitreous.programs.display.shelf import Shelf

BOXES: Final = (64, 96, 128, 192, 256, 384, 512)
_AXES: Final = {"z": 0, "y": 1, "x": 2}
_HALF: Final = ("half1", "half2")
_RENDER_PX: Final = 160
_LIGHT: Final = np.array([-0.35, -0.45, -0.82])  # from the viewer's upper left
# Dark to pale; frontend/src/viewers/volume/colours.ts has the same.
_RAMP: Final = (
    np.array([[17, 59, 128], [43, 121, 178], [103, 178, 190], [190, 220, 190], [250, 240, 200]])
    / 255
)
_SURFACE: Final = np.array([0.66, 0.74, 0.82])


@dataclass(frozen=True)
class Map:
    """A volume ``z y x`` and what is known of it."""

    data: NDArray[np.float32]
    pixel_size_A: float
    spread: Spread


def volume(shelf: Shelf, path: str) -> Map:
    """Return a volume, kept while somebody looks at it."""

    def read() -> Map:
        found = read_volume(shelf.path(path), permissive=True)
        data = np.nan_to_num(found.data, nan=0.0, posinf=0.0, neginf=0.0)
        return Map(data, found.pixel_size_A, grey.spread(data))

    key = ("volume", path, shelf.version(path))
    return shelf.pictures.get(key, read, lambda made: made.data.nbytes)


def meta(shelf: Shelf, path: str) -> dict[str, Any]:
    """Return what `/api/volumes/meta` tells."""
    found = volume(shelf, path)
    side = max(found.data.shape)
    low, high = found.spread.minimum, found.spread.maximum
    counts, edges = np.histogram(found.data, 128, (low, high if high > low else low + 1))
    return {
        "path": path,
        "version": shelf.version(path),
        "shape": list(found.data.shape),
        "pixel_size_A": found.pixel_size_A or None,
        "minimum": low,
        "maximum": high,
        "mean": found.spread.mean,
        "deviation": found.spread.deviation,
        "threshold": threshold(found),
        "is_mask": _is_mask(found),
        "boxes": [box for box in BOXES if box < side] + [min(side, BOXES[-1])],
        "histogram": {
            "label": "density",
            "edges": edges.tolist(),
            "counts": counts.tolist(),
            "n_missing": 0,
        },
        "half_map": _other_half(shelf, path),
        "symmetry": _symmetry(shelf, path),
    }


def data(
    shelf: Shelf, path: str, box: int, *, form: str = "uint8", lowpass_A: float = 0.0
) -> tuple[dict[str, Any], bytes]:
    """Return a volume as bytes, Fourier-cropped to a side of `box`, gzip-packed.

    Parameters
    ----------
    shelf, path
        The map.
    box
        Its longer side is at most that many voxels.
    form
        ``uint8``, or ``float16`` from 0 to 1 (little-endian).
    lowpass_A
        Nothing finer than that; 0 for all.
    """
    key = ("bytes", path, shelf.version(path), box, form, lowpass_A)
    return shelf.pictures.get(
        key, lambda: _packed(shelf, path, box, form, lowpass_A), lambda made: len(made[1])
    )


def one_slice(
    shelf: Shelf, path: str, look: Look, *, axis: str, index: int, size: int
) -> tuple[dict[str, Any], bytes]:
    """Return a slice as PNG, in the contrast of the whole volume."""
    found = volume(shelf, path)
    number = _AXES[axis]
    if index >= found.data.shape[number]:
        raise InputError(
            f"{path}: has {found.data.shape[number]} slices along {axis}, not {index}."
        )
    image = np.ascontiguousarray(np.take(found.data, index, number))
    image = sheets.filtered(image, look.pixel_size_A or found.pixel_size_A, look)
    if size:
        image = sheets.resized(image, size)
    black, white = grey.limits(look, found.spread)
    picture, media = grey.encode(grey.to_grey(image, black, white), look.colour, "PNG")
    return {"version": shelf.version(path), "media": media}, picture


@dataclass(frozen=True)
class View:
    """How a surface is shown; the arguments of `/api/volumes/surface.png`.

    Parameters
    ----------
    threshold
        Density of the surface.
    rot, tilt, psi
        Orientation in degrees.
    size
        Side of the picture in pixels.
    colour_by
        A second map whose values colour the surface, or nothing.
    low, high
        Values of that map shown pale and dark; its range where they are equal.
    """

    threshold: float
    rot: float = 0.0
    tilt: float = 0.0
    psi: float = 0.0
    size: int = 384
    colour_by: str = ""
    low: float = 0.0
    high: float = 0.0


def surface(shelf: Shelf, path: str, view: View) -> tuple[dict[str, Any], bytes]:
    """Return a shaded surface as PNG, seen along z after the rotation."""
    size = view.size
    cube = _cube(shelf, path, min(_RENDER_PX, size))
    turned = _turned(cube, view, min(_RENDER_PX, size))
    depth, hit = _first_above(turned, view.threshold)
    shade = _shading(turned, depth, hit)
    tint = np.broadcast_to(_SURFACE, (*shade.shape, 3))
    if view.colour_by:
        colours = _turned(_cube(shelf, view.colour_by, cube.shape[0]), view, turned.shape[0])
        tint = _ramp(_at_depth(colours, depth), view.low, view.high)
    solid = np.concatenate([shade[..., None] * tint, hit[..., None]], -1)
    pixels = (solid * 255.0).clip(0, 255).astype(np.uint8)
    from PIL import Image

    # Nothing lies behind the surface: the page's own ground shows, light or dark.
    side = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
    packed, media = grey.encode(np.asarray(side, np.uint8), "grey", "PNG")
    return {"version": shelf.version(path), "media": media}, packed


def threshold(found: Map) -> float:
    """Return a level at which the molecule is likely to show.

    A mask shows at 0.5. In a map the molecule fills a few hundredths of the box: the level above
    which 1.5 % of it lie, but at least three deviations.
    """
    if _is_mask(found):
        return 0.5
    sample = found.data.ravel()[:: max(1, found.data.size // 1_000_000)]
    level = float(np.percentile(sample, 98.5))
    return max(level, found.spread.mean + 3.0 * found.spread.deviation)


def cropped(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return a volume with a longer side of `side`, cut in Fourier space."""
    import torch

    from vitreous.engine import fourier

    longest = max(values.shape)
    if side >= longest:
        return values
    sizes = tuple(max(2, round(one * side / longest / 2) * 2) for one in values.shape)
    transform = fourier.cropped_forward(torch.from_numpy(values), sizes, 3)
    return fourier.inverse(transform, 3, sizes).numpy()


def _packed(
    shelf: Shelf, path: str, box: int, form: str, lowpass_A: float
) -> tuple[dict[str, Any], bytes]:
    found = volume(shelf, path)
    small = cropped(_low_passed(found, lowpass_A), box)
    low = 0.0 if _is_mask(found) else float(np.percentile(small, 0.05))
    high = float(small.max())
    scale = max(found.data.shape) / max(small.shape)
    about = {
        "version": shelf.version(path),
        "shape": list(small.shape),
        "low": low,
        "high": high,
        "pixel_size_A": found.pixel_size_A * scale,
        "form": form,
    }
    return about, gzip.compress(_as_bytes(small, low, high, form), 1)


def _as_bytes(values: NDArray[np.float32], low: float, high: float, form: str) -> bytes:
    if form == "uint8":
        return grey.to_grey(values, low, high).tobytes()
    width = high - low if high > low else 1.0
    parts = np.clip((values - np.float32(low)) / np.float32(width), 0, 1)
    # Eleven bits tell more than eyes can; below a thousandth nothing is to be seen.
    return bytes((np.round(parts * 4096) / 4096).astype("<f2").tobytes())


def _low_passed(found: Map, lowpass_A: float) -> NDArray[np.float32]:
    if lowpass_A <= 0:
        return found.data
    if not found.pixel_size_A > 0:
        raise InputError(
            "The map tells no pixel size, which a low-pass needs. Set it in the header with "
            "`vitreous image --i MAP --rescale_angpix`, or leave the low-pass out."
        )
    import torch

    from vitreous.engine import filtering

    if lowpass_A <= 2 * found.pixel_size_A:
        return found.data
    whole = torch.from_numpy(found.data)
    done: NDArray[np.float32] = filtering.low_pass(whole, lowpass_A, found.pixel_size_A, 3).numpy()
    return done


def _is_mask(found: Map) -> bool:
    """Tell whether a volume runs from 0 to 1 and is mostly one of the two."""
    if found.spread.minimum < -1e-3 or not 0.99 < found.spread.maximum < 1.01:
        return False
    sample = found.data.ravel()[:: max(1, found.data.size // 200_000)]
    return bool(np.mean((sample < 0.01) | (sample > 0.99)) > 0.6)


def _other_half(shelf: Shelf, path: str) -> str | None:
    for mine, other in (_HALF, _HALF[::-1]):
        if mine in path.rpartition("/")[2]:
            folder, slash, base = path.rpartition("/")
            name = folder + slash + base.replace(mine, other)
            return name if (shelf.root / name).is_file() else None
    return None


def _symmetry(shelf: Shelf, path: str) -> str | None:
    """Return the point group that the job of a map was told."""
    from vitreous.errors import VitreousError
    from vitreous.jobs import job_star
    from vitreous.project.pipeline import job_of_path

    job = job_of_path(path)
    try:
        texts = job_star.read_raw(shelf.root / job).texts if job else {}
    except (VitreousError, OSError):
        return None
    return texts.get("sym_name") or None


def _cube(shelf: Shelf, path: str, side: int) -> NDArray[np.float32]:
    """Return a volume as a cube of at most `side` a side."""
    found = volume(shelf, path)
    key = ("cube", path, shelf.version(path), side)

    def make() -> NDArray[np.float32]:
        small = cropped(found.data, side)
        longest = max(small.shape)
        if longest < 2:
            raise FormatError(f"{path}: is too small for a surface.")
        gaps = [(longest - one) // 2 for one in small.shape]
        pads = [(gap, longest - one - gap) for gap, one in zip(gaps, small.shape, strict=True)]
        return np.pad(small, pads, constant_values=float(small.min()))

    return shelf.pictures.get(key, make, lambda made: made.nbytes)


def _turned(cube: NDArray[np.float32], view: View, side: int) -> NDArray[np.float32]:
    """Return a cube of another side as it is seen after a rotation; around it is its least value.

    Small maps are drawn in more voxels than they have, else the picture is made of blocks.
    """
    import torch
    from scipy.ndimage import affine_transform, gaussian_filter

    from vitreous.engine.geometry import matrix_from_euler

    angles = torch.tensor([[view.rot, view.tilt, view.psi]], dtype=torch.float64)
    pose = matrix_from_euler(angles)[0].numpy()
    matrix = pose.T[::-1, ::-1]  # from the frame of the picture to the volume, axes z y x
    scale = cube.shape[0] / side
    centre = np.full(3, cube.shape[0] // 2, np.float64)
    offset = centre - matrix @ np.full(3, side // 2 * scale)
    turned: NDArray[np.float32] = affine_transform(
        cube,
        matrix * scale,
        offset,
        (side,) * 3,
        order=1,
        mode="constant",
        cval=float(cube.min()),
    )
    return gaussian_filter(turned, 0.5 / scale, truncate=2.5) if scale < 1 else turned


def _first_above(
    cube: NDArray[np.float32], level: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return for each line of sight where it enters the surface, between two voxels."""
    above = cube >= level
    hit = np.asarray(above.any(0))
    index = above.argmax(0)
    before = np.maximum(index - 1, 0)
    y, x = np.indices(index.shape)
    inside, outside = cube[index, y, x], cube[before, y, x]
    gap = np.where(index > 0, (inside - level) / np.maximum(inside - outside, 1e-12), 0.0)
    return np.asarray(index - np.clip(gap, 0, 1), np.float64), hit


def _shading(
    cube: NDArray[np.float32], depth: NDArray[np.float64], hit: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return how bright each point is: its slope against the light, and darker further back."""
    slopes = [_at_depth(np.asarray(part), depth) for part in np.gradient(cube)]
    normal = -np.stack(slopes[::-1], -1)
    length = np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    facing = np.clip((normal / length) @ light, 0, 1)
    near = 1.0 - 0.45 * depth / cube.shape[0]
    return np.where(hit, near * (0.4 + 0.75 * facing) * _openness(depth, hit), 0.0)


def _openness(depth: NDArray[np.float64], hit: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much a point lies in the open: less in grooves, from the depths around it."""
    from scipy.ndimage import gaussian_filter

    weight = gaussian_filter(hit.astype(np.float64), 4.0)
    around = gaussian_filter(np.where(hit, depth, 0.0), 4.0) / np.maximum(weight, 1e-6)
    return np.clip(1.0 - 0.05 * (depth - around), 0.7, 1.1)


def _at_depth(cube: NDArray[Any], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import map_coordinates

    y, x = np.indices(depth.shape)
    found: NDArray[np.float64] = map_coordinates(cube, [depth, y, x], order=1, mode="nearest")
    return found


def _ramp(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Return colours from dark blue (low) to pale: the ramp of the page's own viewer."""
    if low == high:
        low, high = float(values.min()), float(values.max())
    part = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    places = np.linspace(0, 1, len(_RAMP))
    return np.stack([np.interp(part, places, _RAMP[:, c]) for c in range(3)], -1)
