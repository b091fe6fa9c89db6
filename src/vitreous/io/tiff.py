"""TIFF movies and images, read through tifffile.

TIFF counts rows from the top and MRC from the bottom, so that pages are turned upside down: a TIFF
and the MRC file made of it then hold the same array.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError
from vitreous.io.atomic import replacing
from vitreous.io.movies import Movie
from vitreous.io.sources import open_descriptor

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

# What tifffile and its codecs raise on files that are not what they say.
BROKEN = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    TypeError, ValueError, struct.error,
)  # fmt: skip
_LZW = 5
_TYPES = {"u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"}
# IMOD packs two pixels into a byte, without a mark: the width is half that of a detector.
_DETECTORS = {(3838, 3710), (7676, 7420), (5760, 4092), (11520, 8184)}
_PACKED = {(a // 2, b) for x, y in _DETECTORS for a, b in ((x, y), (y, x))}


class TiffMovie(Movie):
    """A movie in a TIFF file with one page a frame, all of one size and type.

    8-bit (signed or not), 16-bit, 32-bit and float32 pages; LZW, deflate and the other codecs of
    tifffile; 8-bit pages of half a K2 or K3 detector are taken apart into 4-bit pixels.
    """

    def __init__(self, path: Path, *, n_threads: int = 4) -> None:
        self._file, self._pages = open_pages(path)
        self._file.filehandle.set_lock(True)  # threads share the file and its place in it
        self._n_threads = max(1, n_threads)
        self._pool = ThreadPoolExecutor(self._n_threads)
        self._scratch = threading.local()
        try:
            first = self._pages[0]
            self._shape = (int(first.imagelength), int(first.imagewidth))
            self._dtype = _pixel_type(path, first)
            self._check_pages(path)
        except BROKEN as error:
            self._file.close()
            raise damaged(path, error) from error
        ny, nx = self._shape
        self._is_packed = self._dtype == np.uint8 and (nx, ny) in _PACKED
        super().__init__(path, len(self._pages), (ny, nx * 2 if self._is_packed else nx), 0.0)

    def close(self) -> None:
        """Close the file."""
        self._pool.shutdown()
        self._file.close()

    def _check_pages(self, path: Path) -> None:
        for number, page in enumerate(self._pages, start=1):
            found = (int(page.imagelength), int(page.imagewidth))
            if found != self._shape or _pixel_type(path, page) != self._dtype:
                raise FormatError(
                    f"{path}, page {number}: {found[1]} x {found[0]} {page.dtype}, but the first "
                    f"page is {self._shape[1]} x {self._shape[0]} {self._dtype}. "
                    "All frames of a movie must agree."
                )

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        frames = np.empty((stop - start, *self.shape), self._dtype)

        def decode(place: int) -> None:
            page = self._decode(start + place)
            if self._is_packed:
                frames[place, :, 0::2], frames[place, :, 1::2] = page & 15, page >> 4
            else:
                frames[place] = page

        if self._n_threads == 1 or len(frames) < 2:
            for place in range(len(frames)):
                decode(place)
        else:
            list(self._pool.map(decode, range(len(frames))))
        return frames

    def _decode(self, index0: int) -> npt.NDArray[Any]:
        """Return a page, the right way up; it holds until the thread decodes the next one."""
        page = self._pages[index0]
        decoded: npt.NDArray[Any]
        try:
            decoded = self._decode_lzw(page) if _is_plain_lzw(page) else page.asarray(maxworkers=1)
        except BROKEN as error:
            raise damaged(self.path, error, f", page {index0 + 1}") from error
        if decoded.shape != self._shape:
            raise FormatError(f"{self.path}, page {index0 + 1}: decoded to shape {decoded.shape}.")
        return decoded[::-1]

    def _decode_lzw(self, page: TiffPage) -> npt.NDArray[Any]:
        """Decode a page through libtiff, into memory that is used again.

        That takes half the time of the other decoder, and tells of pages that end too early. The
        page is handed over as a file of its own, for libtiff reads nothing else.
        """
        import imagecodecs
        import tifffile

        assert page.parent is not None
        source, segments = page.parent.filehandle, []
        for offset, n_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
            with source.lock:
                source.seek(offset)
                segments.append(source.read(n_bytes))
        alone = io.BytesIO()
        with tifffile.TiffWriter(alone, byteorder=page.parent.byteorder) as writer:
            writer.write(
                iter(segments), shape=page.shape, dtype=page.dtype, compression="lzw",
                predictor=page.predictor if page.predictor != 1 else None,
                rowsperstrip=page.rowsperstrip, photometric="minisblack", metadata=None,
            )  # fmt: skip
        if not hasattr(self._scratch, "page"):
            self._scratch.page = np.empty(self._shape, self._dtype)
        decoded: npt.NDArray[Any] = imagecodecs.tiff_decode(
            alone.getvalue(), out=self._scratch.page
        )
        return decoded


def read_tiff(path: Path | str, *, flip: bool = True) -> npt.NDArray[Any]:
    """Read the first page of a TIFF file as ``(y, x)``, upside down unless `flip` is off."""
    with TiffMovie(Path(path), n_threads=1) as movie:
        page = movie.frame(0)
    return page if flip else page[::-1]


def write_tiff(
    path: Path | str,
    frames: Iterable[npt.NDArray[Any]],
    *,
    compression: Literal["lzw", "deflate", "none"] = "lzw",
) -> int:
    """Write frames ``(y, x)`` as the pages of a TIFF file, upside down; whole or not at all.

    Parameters
    ----------
    path
        The file.
    frames
        8, 16 or 32-bit integers or float32, all of one shape and type.
    compression
        Of whole pages.

    Returns
    -------
    int
        Number of pages.
    """
    import tifffile

    codec = {"lzw": "lzw", "deflate": "adobe_deflate", "none": None}[compression]
    first: tuple[tuple[int, ...], np.dtype[Any]] | None = None
    number = 0
    with replacing(path) as stream, tifffile.TiffWriter(stream, bigtiff=True) as writer:
        for number, frame in enumerate(frames, start=1):
            first = first or (frame.shape, frame.dtype)
            if (frame.shape, frame.dtype) != first or frame.ndim != 2:
                raise InputError(
                    f"{path}, page {number}: {frame.shape} {frame.dtype}, the first is {first}."
                )
            writer.write(
                np.ascontiguousarray(frame[::-1]),
                compression=codec,
                photometric="minisblack",
                rowsperstrip=frame.shape[0],
                metadata=None,
            )
        if number == 0:
            raise InputError(f"{path}: a movie without frames cannot be written.")
    return number


def open_pages(path: Path) -> tuple[TiffFile, list[TiffPage]]:
    """Open a TIFF file and list its pages.

    Raises
    ------
    MissingFileError, FormatError
        No such file, or it is no TIFF file or has no pages.
    """
    import tifffile

    _without_remarks()
    os.close(open_descriptor(path))
    try:
        file = tifffile.TiffFile(path)
    except BROKEN as error:
        raise damaged(path, error) from error
    try:
        pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage)]
    except BROKEN as error:
        file.close()
        raise damaged(path, error) from error
    if not pages:
        file.close()
        raise FormatError(f"{path}: a TIFF file without pages; wanted one page a frame.")
    return file, pages


@cache
def _without_remarks() -> None:
    """Keep tifffile's remarks on a damaged file from the terminal; what matters is raised."""
    logging.getLogger("tifffile").addHandler(logging.NullHandler())


def damaged(path: Path, error: BaseException, where: str = "") -> FormatError:
    """Return the error to raise for a TIFF file that tifffile cannot read."""
    if isinstance(error, FormatError):
        return error
    return FormatError(
        f"{path}{where}: cannot be read ({str(error) or type(error).__name__}). "
        "It is damaged, truncated or not of the TIFF family."
    )


def _is_plain_lzw(page: TiffPage) -> bool:
    """Tell whether a page is strips of whole bytes by LZW, as movies are."""
    return (
        page.compression == _LZW
        and not page.is_tiled
        and page.fillorder == 1
        and page.bitspersample in {8, 16, 32}
        and len(page.dataoffsets) == -(-int(page.imagelength) // int(page.rowsperstrip))
    )


def _pixel_type(path: Path, page: TiffPage) -> np.dtype[Any]:
    """Return the pixel type of a page, or refuse colour and exotic types."""
    dtype = np.dtype(page.dtype) if page.dtype is not None else None
    if int(getattr(page, "samplesperpixel", 1)) != 1 or dtype is None:
        raise FormatError(f"{path}: colour or unknown pixels; wanted one grey value a pixel.")
    if dtype.str[1:] not in _TYPES:
        raise FormatError(
            f"{path}: pixels of type {dtype}; wanted 8, 16 or 32-bit integers or float32."
        )
    return dtype.newbyteorder("=")
