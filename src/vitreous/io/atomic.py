"""Files that are either whole or not there: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacing(path: Path | str) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` when the block ends well.

    Where the block raises, `path` stays as it was and the temporary file is removed.
    A reader sees the old file or the new one, never a part, also after a power cut.

    Parameters
    ----------
    path
        The file to write. Its folder must exist.

    Yields
    ------
    BinaryIO
        The temporary file, open for writing.

    Raises
    ------
    OSError
        The folder cannot be written or the disk is full; `path` is untouched.
    """
    path = Path(path)
    # As unlike other writers' as can be, and within the 255 bytes of a name.
    stem = os.fsencode(path.name)[:200].decode(errors="ignore")
    temporary = path.with_name(f".{stem}.{os.getpid()}-{threading.get_native_id()}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename, error.filename2 = str(path), None  # the name that the caller knows
        raise
    sync_folder(path.parent)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` as one whole."""
    with replacing(path) as stream:
        stream.write(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` as one whole, in UTF-8."""
    write_bytes(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
