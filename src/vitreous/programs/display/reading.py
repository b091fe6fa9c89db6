"""Images by name, as small as they are wanted: from stacks, maps, movies and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import FormatError
from vitreous.io import ImageStack, map_images, open_movie, parse_ref, read_header
from vitreous.io.image_refs import split_format
from vitreous.programs.display.shelf import Shelf

_MOVIES: Final = ("tif", "tiff", "eer", "ecc")
_PICTURES: Final = ("png", "jpg", "jpeg")
_LARGE_PX: Final = 2048 * 2048
_ROWS_READ: Final = 8  # of the rows of a large image that make one row of a thumbnail
_FRAMES_SUMMED: Final = 16


def size_of(shelf: Shelf, name: str) -> tuple[int, int]:
    """Return width and height of an image; its pixels are not read."""
    path = parse_ref(name).path
    file = shelf.path(str(split_format(path)[0]))
    kind = split_format(path)[1]
    if kind in _MOVIES:
        with open_movie(file) as movie:
            return movie.shape[1], movie.shape[0]
    if kind in _PICTURES:
        from PIL import Image

        with Image.open(file) as picture:
            return picture.size
    header = read_header(_named(shelf, path))
    return header.shape[2], header.shape[1]


def pixel_size_of(shelf: Shelf, name: str) -> float:
    """Return the pixel size that the header of an image's file tells; 0 where none does."""
    path = parse_ref(name).path
    if split_format(path)[1] in (*_MOVIES, *_PICTURES):
        return 0.0
    return read_header(_named(shelf, path)).pixel_size_A


def read_one(shelf: Shelf, name: str) -> NDArray[np.float32]:
    """Return an image ``y x``; of a map its middle section, of a movie the sum of frames."""
    return read_many(shelf, [name])[0]


def read_many(shelf: Shelf, names: Sequence[str]) -> list[NDArray[np.float32]]:
    """Return images in the order asked; each file is opened once."""
    found: list[NDArray[np.float32] | None] = [None] * len(names)
    by_file: dict[str, list[tuple[int, int | None]]] = {}
    for place, name in enumerate(names):
        ref = parse_ref(name)
        by_file.setdefault(ref.path, []).append((place, ref.index0))
    for path, wanted in by_file.items():
        indices = [index for _, index in wanted]
        for (place, _), image in zip(wanted, _of_file(shelf, path, indices), strict=True):
            found[place] = image
    return [image for image in found if image is not None]


def read_small(shelf: Shelf, name: str, side: int) -> NDArray[np.float32]:
    """Return an image that is to be shown with a longer side of `side` pixels.

    Of a large micrograph only some rows are read: enough for a thumbnail, in a fraction of the
    time.
    """
    ref = parse_ref(name)
    kind = split_format(ref.path)[1]
    if kind in (*_MOVIES, *_PICTURES):
        return read_one(shelf, name)
    named = _named(shelf, ref.path)
    header = read_header(named)
    _, height, width = header.shape
    step = max(height, width) // side
    is_mapped = header.mode != 101 and not str(named).endswith((".bz2", ".xz", ".zst"))
    if height * width < _LARGE_PX or step < 2 * _ROWS_READ or not is_mapped:
        return read_one(shelf, name)
    section = map_images(named)[ref.index0 or 0]
    rows = np.arange(height // step * step).reshape(-1, step)[:, :_ROWS_READ].ravel()
    picked = np.asarray(section[rows, : width // step * step], np.float32)
    blocks = picked.reshape(height // step, _ROWS_READ, width // step, step)
    small: NDArray[np.float32] = blocks.mean((1, 3), dtype=np.float32)
    return small


def _of_file(shelf: Shelf, path: str, indices: Sequence[int | None]) -> list[NDArray[np.float32]]:
    file, kind = split_format(path)
    shelf.path(str(file))
    if kind in _MOVIES:
        return [_movie(shelf, str(file), index) for index in indices]
    if kind in _PICTURES:
        from vitreous.io.pictures import read_picture

        picture = read_picture(shelf.path(str(file)))[::-1]
        return [np.ascontiguousarray(picture)] * len(indices)
    with ImageStack(_named(shelf, path), permissive=True) as stack:
        n = len(stack)
        if n < 1:
            raise FormatError(f"{path}: holds no image.")
        wanted = [n // 2 if index is None else index for index in indices]
        return list(stack.read(wanted))


def _named(shelf: Shelf, path: str) -> str:
    """Return the absolute name of a file, with the ``:format`` that it may end with."""
    file, _ = split_format(path)
    return (
        f"{shelf.path(str(file))}{path[len(str(file)) :]}"
        if str(file) != path
        else str(shelf.path(path))
    )


def _movie(shelf: Shelf, path: str, index: int | None) -> NDArray[np.float32]:
    with open_movie(shelf.path(path)) as movie:
        if index is not None:
            return np.asarray(movie.frame(index), np.float32)
        step = max(1, movie.n_frames // _FRAMES_SUMMED)
        total: NDArray[Any] = np.zeros(movie.shape, np.float32)
        for frame in range(0, movie.n_frames, step):
            total += movie.frame(frame)
        return total
