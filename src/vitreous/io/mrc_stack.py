"""Stacks that grow: written bit by bit, added to, or corrected in place."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from vitreous.errors import InputError
from vitreous.io import mrc
from vitreous.io.atomic import replacing
from vitreous.io.image_refs import split_format
from vitreous.io.mrc_header import (
    HEADER_BYTES,
    MrcHeader,
    PixelSums,
    Statistics,
    format_header,
    require_whole,
)
from vitreous.io.sources import FileSource, open_descriptor


class StackWriter:
    """A stack written batch by batch, in constant memory; it appears whole when the block ends.

    Where the block raises, nothing is left and an older file of that name stays as it was.

    Parameters
    ----------
    path
        The file, usually ``.mrcs``.
    shape
        ``(y, x)`` of one image.
    pixel_size_A
        Spacing in ångström; 0 for unknown.
    float16
        Two bytes a pixel (mode 12); values above 65504 and NaN are refused.

    Examples
    --------
    >>> with StackWriter("particles.mrcs", (64, 64), 1.5) as stack:  # doctest: +SKIP
    ...     for batch in batches:
    ...         stack.write(batch)
    """

    def __init__(
        self,
        path: Path | str,
        shape: tuple[int, int],
        pixel_size_A: float,
        *,
        float16: bool = False,
    ) -> None:
        self.path, _ = split_format(path)
        self.shape = shape
        self.n_written = 0
        self._pixel_size_A = pixel_size_A
        self._mode = 12 if float16 else 2
        self._sums = PixelSums()
        self._replacing = replacing(self.path)

    def __enter__(self) -> StackWriter:
        self._stream = self._replacing.__enter__()
        self._stream.write(bytes(HEADER_BYTES))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException as failure:
            self._replacing.__exit__(type(failure), failure, failure.__traceback__)
            raise
        self._replacing.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self.n_written == 0:
            raise InputError(f"{self.path}: a stack without images cannot be written.")
        shape = (self.n_written, *self.shape)
        self._stream.seek(0)
        self._stream.write(
            format_header(
                shape, self._mode, self._pixel_size_A, self._sums.statistics(), is_stack=True
            )
        )

    def write(self, images: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> None:
        """Add images ``(n, y, x)``, or one ``(y, x)``."""
        batch = images if images.ndim == 3 else images[None]
        if batch.shape[1:] != self.shape:
            raise InputError(
                f"{self.path}: images of shape {batch.shape[1:]} do not fit into a stack of "
                f"{self.shape}."
            )
        if len(batch) == 0:
            return
        where = f"{self.path}, images from {self.n_written + 1} on"
        stored = mrc.to_mode(batch, self._mode, where)
        self._stream.write(mrc.to_bytes(stored, self._mode))
        self._sums.add(stored)
        self.n_written += len(batch)


def append_images(
    path: Path | str, images: npt.NDArray[np.floating] | npt.NDArray[np.integer]
) -> int:
    """Add images to the end of an existing stack, in its own pixel type.

    The data goes to the disk first and the header after it: whoever is killed in between leaves the
    stack as it was, for the number in the header decides what it holds.

    Parameters
    ----------
    path
        A stack in the machine's byte order.
    images
        ``(n, y, x)`` of the size of the stack, or one image ``(y, x)``.

    Returns
    -------
    int
        Number of images in the stack now.

    Raises
    ------
    InputError
        The size differs, or a value does not fit into the type of the stack.
    """
    batch = images if images.ndim == 3 else images[None]
    with _locked(path, batch) as (descriptor, header):
        if len(batch) == 0:
            return header.shape[0]
        stored = mrc.to_mode(batch, header.mode, str(path))
        data = mrc.to_bytes(stored, header.mode)
        _write_all(descriptor, data, header.offset + header.shape[0] * header.image_bytes)
        os.fsync(descriptor)
        count, ny, nx = header.shape
        sums = PixelSums()
        sums.add_known(count * ny * nx, header.statistics)
        sums.add(stored)
        _write_all(descriptor, _grown(descriptor, count + len(batch), sums.statistics()), 0)
        os.fsync(descriptor)
        return count + len(batch)


def rewrite_images(
    path: Path | str, start0: int, images: npt.NDArray[np.floating] | npt.NDArray[np.integer]
) -> None:
    """Put other images in place of those from number `start0` (from 0) on.

    Raises
    ------
    InputError
        The images do not lie within the stack, differ in size, or do not fit into its type.
    """
    batch = images if images.ndim == 3 else images[None]
    with _locked(path, batch) as (descriptor, header):
        if not 0 <= start0 <= header.shape[0] - len(batch):
            raise InputError(
                f"{path}: images {start0 + 1} to {start0 + len(batch)} are not all in the stack, "
                f"which has {header.shape[0]}. Append them instead."
            )
        data = mrc.to_bytes(mrc.to_mode(batch, header.mode, str(path)), header.mode)
        _write_all(descriptor, data, header.offset + start0 * header.image_bytes)
        os.fsync(descriptor)


@contextlib.contextmanager
def _locked(path: Path | str, batch: npt.NDArray[np.generic]) -> Iterator[tuple[int, MrcHeader]]:
    """Open a stack for change under a lock and check that a batch fits into it."""
    file, _ = split_format(path)
    descriptor = open_descriptor(file, os.O_RDWR)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        header = mrc.header_of(FileSource(file, descriptor))
        require_whole(header)
        if header.byte_order == ">":
            raise InputError(f"{file}: big-endian stacks are not changed. Write a new one.")
        if batch.shape[1:] != header.shape[1:]:
            raise InputError(
                f"{file}: images of shape {batch.shape[1:]} do not fit into a stack of "
                f"{header.shape[1:]}."
            )
        yield descriptor, header
    finally:
        os.close(descriptor)


def _grown(descriptor: int, count: int, statistics: Statistics) -> bytes:
    """Return the header of an open stack with another number of images and other statistics."""
    raw = bytearray(os.pread(descriptor, HEADER_BYTES, 0))
    raw[8:12] = raw[36:40] = np.int32(count).tobytes()
    raw[76:88] = np.array(
        [statistics.minimum, statistics.maximum, statistics.mean], "<f4"
    ).tobytes()
    raw[216:220] = np.float32(statistics.rms).tobytes()
    return bytes(raw)


def _write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    view, done = memoryview(data), 0
    while done < len(view):
        done += os.pwrite(descriptor, view[done:], offset + done)
