"""MRC files as whole: read and write images, stacks and volumes.

Rows are kept in file order: row 0 of an array is the first row of the file, which viewers that
follow the MRC convention show at the bottom.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError
from vitreous.io.atomic import replacing
from vitreous.io.image_refs import is_stack_name, split_format
from vitreous.io.mrc_header import (
    FOUR_BIT,
    HEADER_BYTES,
    MODE_NAMES,
    MODES,
    FormatWarning,
    MrcHeader,
    PixelSums,
    Statistics,
    format_header,
    parse_header,
    require_whole,
)
from vitreous.io.sources import Source, open_source

__all__ = [
    "FormatWarning",
    "MrcHeader",
    "Statistics",
    "Volume",
    "map_images",
    "read_header",
    "read_mrc",
    "read_volume",
    "write_mrc",
    "write_volume",
]

FLOAT16_LIMIT = 65504.0


@dataclass(frozen=True)
class Volume:
    """A density map.

    Parameters
    ----------
    data
        ``(z, y, x)``, float32.
    pixel_size_A
        Spacing in ångström, 0 where the file does not tell.
    """

    data: npt.NDArray[np.float32]
    pixel_size_A: float


def read_header(path: Path | str) -> MrcHeader:
    """Read the header of an MRC file; the data is not touched.

    Parameters
    ----------
    path
        The file; may end in ``:mrc`` or ``:mrcs``, and be packed as bz2, xz or zst.

    Raises
    ------
    MissingFileError, FormatError
        No such file, or it is not an MRC file that can be read.
    """
    file, _ = split_format(path)
    with open_source(file) as source:
        return header_of(source, is_stack=is_stack_name(path))


def read_mrc(
    path: Path | str, *, permissive: bool = False
) -> tuple[npt.NDArray[np.generic], MrcHeader]:
    """Read all of an MRC file in the type that it is stored in.

    Parameters
    ----------
    path
        The file; may end in ``:mrc`` or ``:mrcs``, and be packed.
    permissive
        Return what is there where the file is truncated, with a warning.

    Returns
    -------
    tuple
        ``(n, y, x)`` in the machine's byte order (mode 101 becomes uint8), and the header.
    """
    file, _ = split_format(path)
    with open_source(file) as source:
        header = header_of(source, is_stack=is_stack_name(path))
        require_whole(header, permissive=permissive)
        return read_section(source, header, 0, header.n_present), header


def read_volume(path: Path | str, *, permissive: bool = False) -> Volume:
    """Read a map.

    Parameters
    ----------
    path
        An MRC file.
    permissive
        Accept values that are not finite, and a truncated file.

    Raises
    ------
    FormatError
        The file cannot be read or holds NaN or infinite values.
    """
    data, header = read_mrc(path, permissive=permissive)
    values = data.astype(np.float32, copy=False)
    if not permissive:
        require_finite(values, str(path))
    return Volume(values, header.pixel_size_A)


def write_volume(
    path: Path | str,
    data: npt.NDArray[np.floating] | npt.NDArray[np.integer],
    pixel_size_A: float,
    *,
    float16: bool = False,
) -> None:
    """Write a map, or one image as ``(y, x)``, in float32 or float16; whole or not at all.

    Raises
    ------
    InputError
        A value does not fit into float16, or the array has no or too many axes.
    """
    write_mrc(path, data, pixel_size_A, mode=12 if float16 else 2)


def write_mrc(
    path: Path | str,
    data: npt.NDArray[np.floating] | npt.NDArray[np.integer] | npt.NDArray[np.bool_],
    pixel_size_A: float,
    *,
    mode: int = 2,
) -> None:
    """Write an MRC file; whole or not at all.

    Parameters
    ----------
    path
        The file. ``.mrcs`` is written as a stack of images.
    data
        ``(y, x)`` or ``(z, y, x)`` or ``(n, y, x)``.
    pixel_size_A
        Spacing in ångström; 0 for unknown.
    mode
        Pixel type of the file: 0, 1, 2 (float32), 6, 12 (float16), 101 (4 bits).

    Raises
    ------
    InputError
        A value does not fit into the type, or the array has not two or three axes.
    """
    if data.ndim not in (2, 3) or 0 in data.shape:
        raise InputError(
            f"{path}: an array of shape {data.shape} cannot be written; "
            "wanted (y, x), (z, y, x) or (n, y, x) with at least one pixel."
        )
    file, _ = split_format(path)
    stack = data if data.ndim == 3 else data[None]
    nz, ny, nx = stack.shape
    sums = PixelSums()
    with replacing(file) as stream:
        stream.write(bytes(HEADER_BYTES))
        for image in stack:
            stored = to_mode(image, mode, str(path))
            stream.write(to_bytes(stored, mode))
            sums.add(stored)
        stream.seek(0)
        stream.write(
            format_header(
                (nz, ny, nx), mode, pixel_size_A, sums.statistics(), is_stack=is_stack_name(path)
            )
        )


def map_images(path: Path | str) -> npt.NDArray[np.generic]:
    """Return the stored pixels ``(n, y, x)`` as a read-only memory map, in the file's own type.

    Raises
    ------
    FormatError
        The file is truncated, or has four bits a pixel and therefore no array of its own.
    """
    header = read_header(path)
    require_whole(header)
    if header.mode == FOUR_BIT:
        raise FormatError(f"{path}: 4-bit pixels cannot be memory-mapped; read them instead.")
    file, _ = split_format(path)
    return np.memmap(file, header.dtype, "r", offset=header.offset, shape=header.shape)


def header_of(source: Source, *, is_stack: bool = False) -> MrcHeader:
    """Read the header of an open file."""
    raw = bytearray(HEADER_BYTES)
    n_read = source.read_into(0, memoryview(raw))
    return parse_header(bytes(raw[:n_read]), source.path, source.size, is_stack=is_stack)


def read_section(
    source: Source, header: MrcHeader, start: int, count: int
) -> npt.NDArray[np.generic]:
    """Read `count` images from `start` on, in the type of the file and the machine's byte order."""
    _, ny, nx = header.shape
    if header.mode == FOUR_BIT:
        stored: npt.NDArray[np.generic] = np.empty((count, ny * nx // 2), np.uint8)
    else:
        stored = np.empty((count, ny, nx), header.dtype)
    fill(source, header.offset + start * header.image_bytes, stored)
    return decode(stored, header)


def fill(source: Source, offset: int, target: npt.NDArray[np.generic]) -> None:
    """Read bytes at an offset into a contiguous array; a file that ends before is an error."""
    if target.size == 0:
        return
    view = bytes_of(target)
    require_read(source, source.read_into(offset, view), len(view))


def bytes_of(target: npt.NDArray[np.generic]) -> memoryview:
    """Return the memory of a contiguous array."""
    return memoryview(target.reshape(-1).view(np.uint8).data)


def require_read(source: Source, n_read: int, n_wanted: int) -> None:
    """Refuse a read that the end of the file cut short."""
    if n_read != n_wanted:
        raise FormatError(
            f"{source.path}: the file ends {n_wanted - n_read} bytes before the images wanted. "
            "It is truncated, or another program is writing it."
        )


def decode(stored: npt.NDArray[np.generic], header: MrcHeader) -> npt.NDArray[np.generic]:
    """Bring stored pixels to the machine's byte order; mode 101, low half first, to uint8."""
    if header.mode != FOUR_BIT:
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    packed = stored.view(np.uint8)
    pixels = np.empty((*packed.shape, 2), np.uint8)
    np.bitwise_and(packed, 15, out=pixels[..., 0])
    np.right_shift(packed, 4, out=pixels[..., 1])
    return pixels.reshape(-1, header.shape[1], header.shape[2])


def to_mode(image: npt.NDArray[np.generic], mode: int, where: str) -> npt.NDArray[np.generic]:
    """Convert pixels to the type of a mode (uint8 for 4 bits); refuse what does not fit."""
    if mode not in MODES:
        raise InputError(f"{where}: MRC mode {mode} cannot be written; wanted one of {[*MODES]}.")
    require_fitting(image, mode, where)
    if mode == FOUR_BIT and image.shape[-1] * image.shape[-2] % 2:
        raise InputError(f"{where}: 4-bit images need an even number of pixels.")
    return image.astype("<" + MODES[mode], copy=False)


def to_bytes(stored: npt.NDArray[np.generic], mode: int) -> bytes | memoryview:
    """Return what `to_mode` made as the bytes of a file, in its own memory where that will do."""
    if mode != FOUR_BIT:
        return bytes_of(np.ascontiguousarray(stored))
    pairs = stored.view(np.uint8).reshape(-1, 2)
    return (pairs[:, 0] | pairs[:, 1] << 4).tobytes()


def require_fitting(image: npt.NDArray[np.generic], mode: int, where: str) -> None:
    """Refuse pixels that the type of a mode cannot hold."""
    if mode == 2:
        return
    low, high = _limits(mode)
    # Limits of single precision are found three times faster there than in double.
    values = image if image.dtype == np.float32 else image.astype(np.float64, copy=False)
    least, most = float(values.min()), float(values.max())
    if not (least >= low and most <= high):
        if math.isnan(least) or math.isnan(most):
            found = f"{int(np.isnan(values).sum())} pixels are NaN"
        else:
            found = f"values run from {least:g} to {most:g}"
        raise InputError(
            f"{where}: {found}, but {MODE_NAMES[mode]} holds {low:g} to {high:g}. "
            "Write float32, or scale the image."
        )


def is_finite(values: npt.NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):  # one fast pass; only what spoils it is looked for
            return True
    return bool(np.isfinite(values).all())


def require_finite(values: npt.NDArray[np.float32], where: str) -> None:
    """Refuse NaN and infinite pixels, naming how many there are and where the first is."""
    if is_finite(values):
        return
    finite = np.isfinite(values)
    first = tuple(int(i) for i in np.argwhere(~finite)[0])
    raise FormatError(
        f"{where}: {int(finite.size - finite.sum())} of {finite.size} pixels are NaN or infinite, "
        f"the first at {first} (slow axis first); wanted finite values. "
        "`vitreous image --remove_nan` replaces them."
    )


def _limits(mode: int) -> tuple[float, float]:
    if mode == 12:
        return -FLOAT16_LIMIT, FLOAT16_LIMIT
    if mode == FOUR_BIT:
        return 0.0, 15.0
    kind = np.iinfo(MODES[mode])
    return float(kind.min), float(kind.max)
