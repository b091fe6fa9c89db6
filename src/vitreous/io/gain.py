"""Gain references and defect lists, brought to the grid of the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError
from vitreous.io.image_refs import split_format
from vitreous.io.images import read_image
from vitreous.io.sources import open_descriptor
from vitreous.io.tiff import read_tiff

_SERIALEM_WORDS = ("CameraSize", "RotationAndFlip", "K2Type", "Bad")


def read_gain(
    path: Path | str, frame_shape: tuple[int, int], *, rotation: int = 0, flip: int = 0
) -> npt.NDArray[np.float32]:
    """Read the gain reference of a movie that is not EER: frames are multiplied by it.

    Parameters
    ----------
    path
        MRC or TIFF.
    frame_shape
        ``(y, x)`` that the gain must have after rotation.
    rotation
        Quarter turns, 0 to 3: one turn brings ``gain[y, x]`` to ``[x, ny - 1 - y]``.
    flip
        After the rotation. 0: none; 1: upside down; 2: left and right exchanged.

    Returns
    -------
    ndarray
        ``(y, x)``, float32. Pixels of gain 0 are defects.

    Raises
    ------
    FormatError
        The size does not fit; both sizes are told.
    """
    gain = turn(_read_map(path), rotation, flip)
    if gain.shape != frame_shape:
        raise FormatError(
            f"{path}: a gain reference of {_size(gain.shape)} pixels after {rotation} quarter "
            f"turns, but the frames have {_size(frame_shape)}. Check the file and the rotation."
        )
    return gain


def turn(gain: npt.NDArray[np.float32], rotation: int, flip: int) -> npt.NDArray[np.float32]:
    """Rotate a gain reference by quarter turns, then flip it (formats.md section 5)."""
    if rotation not in range(4) or flip not in range(3):
        raise InputError(
            f"Gain rotation {rotation} and flip {flip}; wanted 0 to 3 quarter turns and a flip of "
            "0 (none), 1 (upside down) or 2 (left-right)."
        )
    turned = np.rot90(gain, -rotation)
    if flip == 1:
        turned = turned[::-1]
    elif flip == 2:
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def read_eer_gain(path: Path | str, frame_shape: tuple[int, int]) -> npt.NDArray[np.float32]:
    """Read the gain reference of an EER movie: frames are multiplied by what is returned.

    A ``.gain`` file multiplies as it is. Any other file holds counts, and the gain is their mean
    over them; pixels without counts get 0.

    Parameters
    ----------
    path
        ``.gain`` (a TIFF file), TIFF or MRC.
    frame_shape
        ``(y, x)`` of the fractions. A reference of half that size is repeated; one of twice that
        size is binned (counts are added, a multiplying gain is averaged).
    """
    multiplies = split_format(path)[1] == "gain"
    values = _read_map(path, flip_tiff=not multiplies)
    ny, nx = frame_shape
    if values.shape == (ny // 2, nx // 2):
        values = values.repeat(2, axis=0).repeat(2, axis=1)
    elif values.shape == (ny * 2, nx * 2):
        values = values.reshape(ny, 2, nx, 2).sum(axis=(1, 3))
        values = values / 4 if multiplies else values
    if values.shape != frame_shape:
        raise FormatError(
            f"{path}: a gain reference of {_size(values.shape)} pixels, but the fractions have "
            f"{_size(frame_shape)}; wanted that size, half or twice of it."
        )
    if multiplies:
        return np.asarray(values, np.float32)
    gain = np.zeros(values.shape, np.float32)
    counted = values != 0
    gain[counted] = values.mean(dtype=np.float64) / values[counted]
    return gain


def read_defects(path: Path | str, frame_shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Read which pixels of the detector are bad.

    Parameters
    ----------
    path
        A text file with ``x y width height`` in each row (pixels from 0), or an MRC or TIFF map
        in which anything but 0 is bad.
    frame_shape
        ``(y, x)`` of the frames.

    Returns
    -------
    ndarray
        ``(y, x)``, true where bad.
    """
    if split_format(path)[1] in ("mrc", "mrcs", "tif", "tiff"):
        bad: npt.NDArray[np.bool_] = _read_map(path) != 0
        if bad.shape != frame_shape:
            raise FormatError(
                f"{path}: a defect map of {_size(bad.shape)} pixels, but the frames have "
                f"{_size(frame_shape)}."
            )
        return bad
    bad = np.zeros(frame_shape, np.bool_)
    for number, (x, y, width, height) in _read_rectangles(Path(path)):
        if x < 0 or y < 0 or width < 0 or height < 0:
            raise FormatError(
                f"{path}, line {number}: {x} {y} {width} {height}; none may be negative."
            )
        bad[y : y + height, x : x + width] = True
    return bad


def _read_rectangles(path: Path) -> list[tuple[int, tuple[int, int, int, int]]]:
    with open(open_descriptor(path), encoding="utf-8", errors="replace") as stream:
        lines = stream.read().splitlines()
    if any(line.lstrip().startswith(_SERIALEM_WORDS) for line in lines):
        raise FormatError(
            f"{path}: a defect list of SerialEM, which is not read. "
            "Convert it to rows of `x y width height`, or to a map with IMOD's clip."
        )
    rectangles = []
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        try:
            x, y, width, height = (int(word) for word in words)
        except ValueError as error:
            raise FormatError(
                f"{path}, line {number}: {line.strip()!r}; wanted four whole numbers, "
                "x y width height."
            ) from error
        rectangles.append((number, (x, y, width, height)))
    return rectangles


def _read_map(path: Path | str, *, flip_tiff: bool = True) -> npt.NDArray[np.float32]:
    file, kind = split_format(path)
    if kind in ("dm3", "dm4"):
        raise FormatError(
            f"{path}: Digital Micrograph files are not read. Convert it to MRC, for example with "
            "IMOD's dm2mrc."
        )
    if kind in ("tif", "tiff", "gain"):
        return read_tiff(file, flip=flip_tiff).astype(np.float32)
    return read_image(str(path)).data


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(shape))
