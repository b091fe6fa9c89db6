"""EER movies: lists of electrons, summed into fractions without ever holding the raw frames.

A raw frame is a run-length code of empty pixels with the position inside the pixel of each
electron (formats.md section 5). Only the electrons of one frame at a time are added to the
fraction that it belongs to; a fraction needs one byte a pixel while it is summed.
"""

from __future__ import annotations

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError, InputError
from vitreous.io.movies import Movie
from vitreous.io.mrc_header import FormatWarning
from vitreous.io.sources import FileSource, open_source
from vitreous.io.tiff import BROKEN, damaged, open_pages

if TYPE_CHECKING:
    from tifffile import TiffPage

_LEGACY_FOOTER = b"ThermoFisherECComprOK000"
_BITS = {65000: (8, 2, 2), 65001: (7, 2, 2)}
_RUN_TAG, _X_TAG, _Y_TAG = 65007, 65008, 65009
_METADATA_TAG = 65001


@dataclass(frozen=True)
class _RawFrame:
    """Where the code of a raw frame lies, and how many bits its symbols have (run, x, y)."""

    extents: tuple[tuple[int, int], ...]
    bits: tuple[int, int, int]


class EerMovie(Movie):
    """An EER file seen as a movie of fractions.

    Parameters
    ----------
    path
        The file.
    grouping
        Raw frames in a fraction; the remainder at the end is dropped.
    upsampling
        1: the detector's grid; 2: half pixels, by the first bit of the position.
    n_threads
        Fractions summed at the same time.
    permissive
        Skip raw frames whose code is damaged or missing, with a warning.
    """

    def __init__(
        self,
        path: Path,
        grouping: int,
        upsampling: int = 1,
        *,
        n_threads: int = 4,
        permissive: bool = False,
    ) -> None:
        if upsampling not in (1, 2):
            raise InputError(f"{path}: EER upsampling is {upsampling}; wanted 1 or 2.")
        if grouping < 1:
            raise InputError(f"{path}: EER grouping is {grouping}; wanted at least 1 raw frame.")
        self._raw, (ny, nx), metadata = _index(path, permissive=permissive)
        self.n_raw_frames = len(self._raw)
        if grouping > self.n_raw_frames:
            raise FormatError(
                f"{path}: {self.n_raw_frames} raw frames, but {grouping} are to be summed to a "
                "fraction. Choose a smaller EER grouping."
            )
        self.grouping = grouping
        self._upsampling = upsampling
        self._n_threads = max(1, n_threads)
        self._permissive = permissive
        self._opened = open_source(path)
        self._source = self._opened.__enter__()
        super().__init__(
            path,
            self.n_raw_frames // grouping,
            (ny * upsampling, nx * upsampling),
            _pixel_size(metadata) / upsampling,
        )

    def close(self) -> None:
        """Close the file."""
        self._opened.__exit__(None, None, None)

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        fractions = np.zeros((stop - start, *self.shape), np.uint16)

        def add(place: int) -> None:
            first = (start + place) * self.grouping
            self._sum(fractions[place], first, first + self.grouping)

        with ThreadPoolExecutor(min(self._n_threads, max(1, len(fractions)))) as pool:
            list(pool.map(add, range(len(fractions))))
        return fractions

    def _sum(self, target: npt.NDArray[np.uint16], first: int, stop: int) -> None:
        """Add raw frames to a fraction, at most 255 at a time in a byte a pixel."""
        for begin in range(first, stop, 255):
            numbers = list(range(begin, min(stop, begin + 255)))
            while (bad := self._try_sum(target, numbers)) is not None:
                numbers.remove(bad)

    def _try_sum(self, target: npt.NDArray[np.uint16], numbers: list[int]) -> int | None:
        """Add raw frames, or return the number of one that cannot be decoded and add nothing."""
        counts = np.zeros(self.shape, np.uint8)
        for number in numbers:
            try:
                self._add_raw(counts, self._raw[number])
            except BROKEN as error:
                if not self._permissive:
                    raise damaged(self.path, error, f", raw frame {number + 1}") from error
                warnings.warn(
                    f"{self.path}: raw frame {number + 1} is damaged and is left out.",
                    FormatWarning,
                    stacklevel=2,
                )
                return number
        target += counts
        return None

    def _add_raw(self, counts: npt.NDArray[np.uint8], raw: _RawFrame) -> None:
        import imagecodecs

        size = sum(length for _, length in raw.extents)
        code = bytearray(size + self._guard_bytes(raw.bits[0], size))
        code[size:] = b"\xff" * (len(code) - size)
        view, done = memoryview(code), 0
        for offset, length in raw.extents:
            self._source.read_into(offset, view[done : done + length])
            done += length
        imagecodecs.eer_decode(
            bytes(code), self.shape, *raw.bits, superres=self._upsampling - 1, out=counts
        )

    def _guard_bytes(self, run_bits: int, size: int) -> int:
        """Return how many bytes of longest runs to put after a frame.

        A frame that is complete never reaches them; one that is too short runs into them and past
        its last pixel, which the decoder notices. It takes whole 16-bit words only.
        """
        longest = (1 << run_bits) - 1
        n_pixels = (self.shape[0] * self.shape[1]) // self._upsampling**2
        needed = (n_pixels // longest + 2) * run_bits // 8 + 2
        return needed + (size + needed) % 2


def _index(path: Path, *, permissive: bool) -> tuple[list[_RawFrame], tuple[int, int], str]:
    """List the raw frames of an EER file, with the size of the detector and the metadata."""
    _refuse_legacy(path)
    file, pages = open_pages(path)
    with file:
        try:
            coded = [page for page in pages if int(page.compression) in (65000, 65001, 65002)]
            if not coded:
                raise FormatError(
                    f"{path}: a TIFF file without EER frames (compression "
                    f"{int(pages[0].compression)}). Read it as TIFF: {path}:tif"
                )
            shape = (int(coded[0].imagelength), int(coded[0].imagewidth))
            raw = [_raw_frame(path, page, shape) for page in coded]
            tag = pages[0].tags.get(_METADATA_TAG)
            metadata = tag.value if tag is not None else b""
        except BROKEN as error:
            raise damaged(path, error) from error
    text = metadata.decode(errors="replace") if isinstance(metadata, bytes) else str(metadata)
    return _present(path, raw, permissive=permissive), shape, text


def _raw_frame(path: Path, page: TiffPage, shape: tuple[int, int]) -> _RawFrame:
    if (int(page.imagelength), int(page.imagewidth)) != shape:
        raise FormatError(f"{path}: raw frames of different sizes; wanted one detector.")
    compression = int(page.compression)
    if compression in _BITS:
        bits = _BITS[compression]
    else:
        run, x, y = (
            int(page.tags.valueof(tag, default))
            for tag, default in ((_RUN_TAG, 7), (_X_TAG, 2), (_Y_TAG, 2))
        )
        bits = (run, x, y)
    if not (4 <= bits[0] <= 15 and bits[1:] in ((1, 1), (2, 2))):
        raise FormatError(
            f"{path}: EER symbols of {bits[0]} + {bits[1]} + {bits[2]} bits; wanted a run length "
            "of 4 to 15 bits and 1 or 2 bits of position along x and y."
        )
    pairs = zip(page.dataoffsets, page.databytecounts, strict=True)
    return _RawFrame(tuple((int(at), int(n_bytes)) for at, n_bytes in pairs), bits)


def _present(path: Path, raw: list[_RawFrame], *, permissive: bool) -> list[_RawFrame]:
    """Return the raw frames whose bytes lie inside the file; refuse a truncated one if strict."""
    size = path.stat().st_size
    whole = [
        frame
        for frame in raw
        if frame.extents and all(at + n <= size and n > 0 for at, n in frame.extents)
    ]
    if len(whole) == len(raw):
        return whole
    message = f"{path}: {len(raw)} raw frames are listed, only {len(whole)} are in the file."
    if not permissive or not whole:
        raise FormatError(f"{message} It is truncated: copy it again.")
    warnings.warn(message, FormatWarning, stacklevel=4)
    return whole


def _refuse_legacy(path: Path) -> None:
    with open_source(path) as source:
        if isinstance(source, FileSource) and source.size > len(_LEGACY_FOOTER):
            tail = bytearray(len(_LEGACY_FOOTER))
            source.read_into(source.size - len(tail), memoryview(tail))
            if bytes(tail) == _LEGACY_FOOTER:
                raise FormatError(
                    f"{path}: an EER file of the first, non-TIFF kind, which is not read. "
                    "Convert it with the microscope's software."
                )


def _pixel_size(metadata: str) -> float:
    """Return the pixel size in ångström that the acquisition metadata states, else 0."""
    found = re.search(
        r'name="sensorPixelSize\.width"[^>]*unit="m"[^>]*>\s*([0-9.eE+-]+)\s*<', metadata
    )
    if found is None:
        return 0.0
    try:
        return float(f"{float(found[1]) * 1e10:.7g}")
    except ValueError:
        return 0.0
