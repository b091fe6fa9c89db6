"""One door for movies: MRC (also packed), TIFF and EER, frame by frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from vitreous.errors import FormatError
from vitreous.io import mrc
from vitreous.io.image_refs import split_format
from vitreous.io.mrc_header import require_whole
from vitreous.io.sources import open_source

EER_FORMATS = ("eer", "ecc")
MOVIE_FORMATS = ("mrc", "mrcs", "st", "tif", "tiff", *EER_FORMATS)


class Movie(ABC):
    """An open movie. Use it in a ``with`` block; frames may be read from several threads.

    Parameters
    ----------
    path
        The file.
    n_frames
        Number of frames; for EER the number of fractions.
    shape
        ``(y, x)`` of a frame.
    pixel_size_A
        Spacing in ångström, 0 where the file does not tell.
    """

    def __init__(
        self, path: Path, n_frames: int, shape: tuple[int, int], pixel_size_A: float
    ) -> None:
        self.path = path
        self.n_frames = n_frames
        self.shape = shape
        self.pixel_size_A = pixel_size_A

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def frame(self, index0: int) -> npt.NDArray[Any]:
        """Return frame `index0` (from 0) as ``(y, x)`` in the type of the file."""
        frame: npt.NDArray[Any] = self.frames(index0, index0 + 1)[0]
        return frame

    def frames(self, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Return frames `start` up to but without `stop` as ``(f, y, x)``, type of the file.

        Integers stay integers: what they mean is said by the gain reference.
        """
        stop = self.n_frames if stop is None else stop
        if not 0 <= start <= stop <= self.n_frames:
            raise FormatError(
                f"{self.path}: frames {start + 1} to {stop} are wanted, the movie has "
                f"{self.n_frames}."
            )
        return self._read(start, stop)

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    @abstractmethod
    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Read frames that are known to exist."""


def open_movie(
    path: Path | str,
    *,
    eer_grouping: int = 32,
    eer_upsampling: int = 1,
    n_threads: int = 4,
    permissive: bool = False,
) -> Movie:
    """Open a movie of any format that is read here.

    Row 0 is the bottom of the picture as MRC viewers show it: TIFF files are turned upside down
    when they are read, MRC and EER files are not (formats.md section 5).

    Parameters
    ----------
    path
        ``.mrc .mrcs .tif .tiff .eer``, MRC also packed as ``.bz2 .xz .zst``; ``path:format``
        overrides the extension.
    eer_grouping
        EER: raw frames summed to one fraction; what remains at the end is dropped.
    eer_upsampling
        EER: 1 for the grid of the detector, 2 for half pixels.
    n_threads
        Threads that decode TIFF pages and EER frames.
    permissive
        Return the frames present where an MRC or EER file is truncated, with a warning.

    Raises
    ------
    MissingFileError, FormatError
        No such file, an unknown format or a damaged file.
    """
    file, kind = split_format(path)
    if kind in EER_FORMATS:
        from vitreous.io.eer import EerMovie

        return EerMovie(
            file, eer_grouping, eer_upsampling, n_threads=n_threads, permissive=permissive
        )
    if kind in ("tif", "tiff"):
        from vitreous.io.tiff import TiffMovie

        return TiffMovie(file, n_threads=n_threads)
    if kind in MOVIE_FORMATS:
        return MrcMovie(file, permissive=permissive)
    raise FormatError(
        f"{path}: {kind or 'no extension'!r} is not a movie format; wanted one of "
        f"{', '.join(MOVIE_FORMATS)}. Add the format after a colon if the extension is wrong: "
        f"{path}:mrcs"
    )


class MrcMovie(Movie):
    """A movie in an MRC file; a packed one is unpacked into memory."""

    def __init__(self, path: Path, *, permissive: bool = False) -> None:
        self._opened = open_source(path)
        self._source = self._opened.__enter__()
        try:
            self._header = mrc.header_of(self._source, is_stack=True)
            require_whole(self._header, permissive=permissive)
        except BaseException:
            self.close()
            raise
        _, ny, nx = self._header.shape
        super().__init__(path, self._header.n_present, (ny, nx), self._header.pixel_size_A)

    def close(self) -> None:
        """Close the file."""
        self._opened.__exit__(None, None, None)

    def _read(self, start: int, stop: int) -> npt.NDArray[Any]:
        return mrc.read_section(self._source, self._header, start, stop - start)
