"""EER files written from lists of electrons: for simulated movies and for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import InputError
from vitreous.io.atomic import replacing

_RUN_BITS, _POSITION_BITS = 7, 2
_LONGEST = (1 << _RUN_BITS) - 1
_MASK = 0b1010  # what is stored is the position inside the pixel with these bits turned
_SHORT, _LONG, _UNDEFINED, _LONG8 = 3, 4, 7, 16


def write_eer(
    path: Path | str,
    raw_frames: Iterable[npt.NDArray[np.integer]],
    shape: tuple[int, int],
    *,
    pixel_size_A: float = 0.0,
) -> int:
    """Write an EER movie (compression 65001); whole or not at all.

    Parameters
    ----------
    path
        The file.
    raw_frames
        For each raw frame the electrons, ``(n, 2)``: x and y in quarters of a detector pixel,
        0 to ``4 * shape - 1``. A pixel counts one electron a frame; of several the first is kept.
    shape
        ``(y, x)`` of the detector.
    pixel_size_A
        Written into the acquisition metadata; 0 for unknown.

    Returns
    -------
    int
        Number of raw frames written.
    """
    extents = []
    with replacing(path) as stream:
        stream.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        metadata = _metadata(pixel_size_A)
        metadata_at = stream.tell()
        stream.write(metadata + bytes(len(metadata) % 2))
        for electrons in raw_frames:
            code = encode_frame(electrons, shape)
            extents.append((stream.tell(), len(code)))
            stream.write(code)
        if not extents:
            raise InputError(f"{path}: a movie without frames cannot be written.")
        directories_at = stream.tell()
        stream.write(_directories(extents, shape, directories_at, (metadata_at, len(metadata))))
        stream.seek(8)
        stream.write(struct.pack("<Q", directories_at))
    return len(extents)


def encode_frame(electrons: npt.NDArray[np.integer], shape: tuple[int, int]) -> bytes:
    """Return the run-length code of one raw frame; see `write_eer`."""
    ny, nx = shape
    x, y = electrons[:, 0].astype(np.int64), electrons[:, 1].astype(np.int64)
    if len(x) and (min(x.min(), y.min()) < 0 or x.max() >= 4 * nx or y.max() >= 4 * ny):
        raise InputError(f"An electron lies outside the detector of {nx} x {ny} pixels.")
    pixels, first = np.unique((y // 4) * nx + x // 4, return_index=True)
    inside = ((y[first] % 4) << _POSITION_BITS | (x[first] % 4)) ^ _MASK
    runs = np.diff(pixels, prepend=-1) - 1
    n_full, rest = np.divmod(runs, _LONGEST)
    tail = ny * nx - 1 - (int(pixels[-1]) if len(pixels) else -1)
    values = np.append(rest | inside << _RUN_BITS, tail % _LONGEST)
    widths = np.append(np.full(len(rest), _RUN_BITS + 2 * _POSITION_BITS), _RUN_BITS)
    full = np.append(n_full, tail // _LONGEST)
    return _pack(values, widths, full)


def _pack(
    values: npt.NDArray[np.int64], widths: npt.NDArray[np.int64], full: npt.NDArray[np.int64]
) -> bytes:
    """Put symbols one after the other, lowest bit first, each after `full` longest runs."""
    starts = np.cumsum(widths + full * _RUN_BITS) - widths
    bits = np.ones(int(starts[-1] + widths[-1]), np.uint8)
    for bit in range(int(widths.max())):
        has = widths > bit
        bits[starts[has] + bit] = values[has] >> bit & 1
    packed = np.packbits(bits, bitorder="little").tobytes()
    return packed + bytes(len(packed) % 2)


def _directories(
    extents: list[tuple[int, int]],
    shape: tuple[int, int],
    start: int,
    metadata: tuple[int, int],
) -> bytes:
    """Return the BigTIFF directories of all frames, that lie one after the other from `start`."""
    result = b""
    for number, (at, n_bytes) in enumerate(extents):
        tags = [
            (256, _LONG, 1, shape[1]),
            (257, _LONG, 1, shape[0]),
            (258, _SHORT, 1, 8),
            (259, _SHORT, 1, 65001),
            (262, _SHORT, 1, 1),
            (273, _LONG8, 1, at),
            (277, _SHORT, 1, 1),
            (278, _LONG, 1, shape[0]),
            (279, _LONG8, 1, n_bytes),
        ]
        if number == 0:
            tags.append((65001, _UNDEFINED, metadata[1], metadata[0]))
        body = b"".join(struct.pack("<HHQQ", *tag) for tag in tags)
        end = start + len(result) + 8 + len(body) + 8
        following = end if number < len(extents) - 1 else 0
        result += struct.pack("<Q", len(tags)) + body + struct.pack("<Q", following)
    return result


def _metadata(pixel_size_A: float) -> bytes:
    item = (
        f'<item name="sensorPixelSize.width" unit="m">{pixel_size_A * 1e-10:.7g}</item>'
        if pixel_size_A
        else ""
    )
    return f"<metadata>{item}</metadata>".encode()
