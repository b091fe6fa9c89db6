"""Shaded surfaces of volumes and what lies over them, for a viewer that cannot draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import FormatError, InputError
from vitreous.programs.display import grey
from vitreous.programs.display.shelf import Shelf
from vitreous.programs.display.volumes import cropped, volume

_RENDER_PX: Final = 160
_LIGHT: Final = np.array([-0.35, -0.45, -0.82])  # from the viewer's upper left
# Dark to pale; frontend/src/viewers/volume/colours.ts has the same.
_RAMP: Final = (
    np.array([[17, 59, 128], [43, 121, 178], [103, 178, 190], [190, 220, 190], [250, 240, 200]])
    / 255
)
# Colours of surfaces and how solid those are that lie over another; the same in that file.
_COLOURS: Final = {
    "map": (0.66, 0.74, 0.82),
    "half1": (0.24, 0.55, 0.78),
    "half2": (0.9, 0.58, 0.2),
    "mask": (0.86, 0.66, 0.16),
    "other": (0.66, 0.45, 0.78),
}
_OPACITY: Final = {"half2": 0.5, "mask": 0.35, "other": 0.5}
COLOURS: Final = tuple(_COLOURS)
_Picture = NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """A surface that lies over another one, and is seen through: its colour says what it is."""

    path: str
    threshold: float
    colour: str


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
    colour
        A name of `COLOURS`.
    over
        What lies over it.
    """

    threshold: float
    rot: float = 0.0
    tilt: float = 0.0
    psi: float = 0.0
    size: int = 384
    colour_by: str = ""
    low: float = 0.0
    high: float = 0.0
    colour: str = "map"
    over: Sequence[Layer] = ()


def surface(shelf: Shelf, path: str, view: View) -> tuple[dict[str, Any], bytes]:
    """Return a shaded surface as PNG, seen along z after the rotation."""
    side = min(_RENDER_PX, view.size)
    turned = _seen(shelf, path, view, side)
    level = _level(_cube(shelf, path, side), turned, view.threshold)
    depth, hit = _first_above(turned, level)
    tint = np.broadcast_to(np.array(_COLOURS[view.colour]), (*depth.shape, 3))
    if view.colour_by:
        colours = _seen(shelf, view.colour_by, view, side)
        tint = _ramp(_at_depth(colours, depth), view.low, view.high)
    solid = np.concatenate([_shading(turned, depth, hit)[..., None] * tint, hit[..., None]], -1)
    nearest = np.where(hit, depth, np.inf)
    for layer in view.over:
        _check_box(shelf, path, layer.path)
        over = _seen(shelf, layer.path, view, side)
        level = _level(_cube(shelf, layer.path, side), over, layer.threshold)
        solid = _laid_over(over, level, layer, solid, nearest)
    pixels = (solid * 255.0).clip(0, 255).astype(np.uint8)
    from PIL import Image

    # Nothing lies behind the surface: the page's own ground shows, light or dark.
    whole = Image.fromarray(pixels).resize((view.size, view.size), Image.Resampling.BICUBIC)
    packed, media = grey.encode(np.asarray(whole, np.uint8), "grey", "PNG")
    return {"version": shelf.version(path), "media": media}, packed


def _check_box(shelf: Shelf, path: str, over: str) -> None:
    mine, other = volume(shelf, path).data.shape, volume(shelf, over).data.shape
    if mine != other:
        raise InputError(
            f"{over} has {other[2]} x {other[1]} x {other[0]} voxels and cannot lie over {path} "
            f"with {mine[2]} x {mine[1]} x {mine[0]}."
        )


def _laid_over(
    cube: NDArray[np.float32], level: float, layer: Layer, below: _Picture, nearest: _Picture
) -> _Picture:
    """Return a picture ``y x rgba`` with another surface before it, where that is not behind."""
    depth, hit = _first_above(cube, level)
    seen = hit & (depth <= nearest)
    part = np.where(seen, _OPACITY.get(layer.colour, 1.0), 0.0)[..., None]
    shade = _shading(cube, depth, hit)[..., None] * np.array(_COLOURS[layer.colour])
    alpha = part + below[..., 3:] * (1 - part)
    mixed = shade * part + below[..., :3] * below[..., 3:] * (1 - part)
    return np.concatenate([mixed / np.maximum(alpha, 1e-6), alpha], -1)


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


def _seen(shelf: Shelf, path: str, view: View, side: int) -> NDArray[np.float32]:
    """Return a volume as it is seen; kept, so that a layer more costs no more than itself."""
    key = ("seen", path, shelf.version(path), view.rot, view.tilt, view.psi, side)
    cube = _cube(shelf, path, side)
    return shelf.pictures.get(key, lambda: _turned(cube, view, side), lambda made: made.nbytes)


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


def _level(cube: NDArray[np.float32], seen: NDArray[np.float32], threshold: float) -> float:
    """Return the level that encloses as much in what is seen as the threshold does in the map.

    More voxels than a map has are smooth, so its peaks are lower there: fine maps would fall apart.
    """
    share = np.count_nonzero(cube >= threshold) / cube.size
    if len(seen) <= len(cube) or not 0 < share < 0.5:
        return threshold
    some = seen[::2, ::2, ::2].ravel()
    place = some.size - max(1, round(share * some.size))
    return min(threshold, float(np.partition(some, place)[place]))


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
