"""Bytes of a file at an offset, whether it lies plain on the disk or packed as bz2, xz or zst."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from vitreous.errors import FormatError, InputError, MissingFileError

_ADVICE_BYTES = 64 << 20


class Source(Protocol):
    """Something that bytes can be read from at any offset."""

    path: Path
    size: int

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill `target` from `offset` on and return how many bytes there were."""
        ...

    def scatter(self, offset: int, targets: Sequence[memoryview]) -> int:
        """Fill `targets` one after the other and return how many bytes there were."""
        ...

    def expect(self, offset: int, n_bytes: int) -> None:
        """Tell that these bytes will be wanted soon."""
        ...


class FileSource:
    """A plain file, read with positioned reads (safe to share between threads)."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill `target` from `offset` on and return how many bytes there were."""
        done = 0
        while done < len(target):
            n = os.preadv(self._descriptor, [target[done:]], offset + done)
            if n == 0:
                break
            done += n
        return done

    def scatter(self, offset: int, targets: Sequence[memoryview]) -> int:
        """Fill `targets` (at most 1024) one after the other, in one call of the kernel."""
        wanted = sum(len(target) for target in targets)
        if os.preadv(self._descriptor, targets, offset) == wanted:
            return wanted
        return _one_by_one(self, offset, targets)

    def expect(self, offset: int, n_bytes: int) -> None:
        """Let the kernel start reading."""
        if hasattr(os, "posix_fadvise") and n_bytes <= _ADVICE_BYTES:
            os.posix_fadvise(self._descriptor, offset, n_bytes, os.POSIX_FADV_WILLNEED)


class MemorySource:
    """A file whose bytes are all in memory."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.size = len(data)
        self._data = memoryview(data)

    def read_into(self, offset: int, target: memoryview) -> int:
        """Fill `target` from `offset` on and return how many bytes there were."""
        part = self._data[offset : offset + len(target)]
        target[: len(part)] = part
        return len(part)

    def scatter(self, offset: int, targets: Sequence[memoryview]) -> int:
        """Fill `targets` one after the other and return how many bytes there were."""
        return _one_by_one(self, offset, targets)

    def expect(self, offset: int, n_bytes: int) -> None:
        """Nothing to do: it is in memory."""


@contextlib.contextmanager
def open_source(path: Path | str) -> Iterator[Source]:
    """Open a file for reading; a packed one is unpacked into memory.

    Raises
    ------
    MissingFileError
        There is no such file.
    FormatError
        It is no file, or its packing is damaged.
    InputError
        It may not be read.
    """
    path = Path(path)
    descriptor = open_descriptor(path)
    try:
        if path.suffix.lower() in (".bz2", ".xz", ".zst"):
            with os.fdopen(os.dup(descriptor), "rb") as stream:
                yield MemorySource(path, _unpack(path, stream.read()))
        else:
            yield FileSource(path, descriptor)
    finally:
        os.close(descriptor)


def open_descriptor(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file and say clearly why it cannot be."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file.") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be opened: {error.strerror}.") from error
    if not os.path.isfile(path):
        os.close(descriptor)
        raise FormatError(f"{path}: is not a file but a folder or device; wanted an image file.")
    return descriptor


def _one_by_one(source: Source, offset: int, targets: Sequence[memoryview]) -> int:
    done = 0
    for target in targets:
        done += source.read_into(offset + done, target)
    return done


def _unpack(path: Path, data: bytes) -> bytes:
    import zstandard

    try:
        match path.suffix.lower():
            case ".bz2":
                return bz2.decompress(data)
            case ".xz":
                return lzma.decompress(data)
            case _:
                return _unpack_zst(data)
    except (OSError, ValueError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
        raise FormatError(
            f"{path}: cannot be unpacked ({error}). It is damaged or truncated: copy it again."
        ) from error


def _unpack_zst(data: bytes) -> bytes:
    """Unpack all frames of a zst file; the library's own reader does not notice truncation."""
    import zstandard

    parts = []
    while data:
        frame = zstandard.ZstdDecompressor().decompressobj()
        parts.append(frame.decompress(data))
        if not frame.eof:
            raise EOFError("the last frame is not complete")
        data = frame.unused_data
    return b"".join(parts)
