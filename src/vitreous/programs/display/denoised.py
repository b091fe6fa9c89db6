"""Micrographs that Topaz denoised: what it is given, what is kept of its result.

Topaz itself is run by the server (`vitreous.gui.pick_denoise`). Results are kept below
``.vitreous/denoised`` of the project, the last used ones up to a few GiB; they may be deleted at
any time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import FormatError, MissingFileError
from vitreous.io import write_mrc
from vitreous.programs.display import reading
from vitreous.programs.display.shelf import Shelf

FOLDER: Final = ".vitreous/denoised"
_MOST_BYTES: Final = 4 << 30
_IN: Final = "micrograph.mrc"
_OUT: Final = "out"


def prepare(shelf: Shelf, path: str, write: bool) -> dict[str, Any]:
    """Return whether a micrograph is denoised already; where not, write what Topaz reads.

    Parameters
    ----------
    path
        The micrograph.
    write
        Whether anything may be written.
    """
    kept = _kept(shelf, path)
    if kept.is_file():
        if write:
            os.utime(kept)  # the last used ones are kept longest
        return {"is_ready": True}
    if not write:
        return {"is_ready": False}
    image = reading.read_one(shelf, path)
    work = kept.with_suffix("")
    shutil.rmtree(work, ignore_errors=True)
    (work / _OUT).mkdir(parents=True)
    # float32 whatever the micrograph is: Topaz does not know every pixel type.
    write_mrc(work / _IN, image, max(0.0, reading.pixel_size_of(shelf, path)))
    return {"is_ready": False, "folder": str(work), "input": _IN, "output": _OUT}


def keep(shelf: Shelf, path: str) -> dict[str, Any]:
    """Take over what Topaz left, and make room."""
    kept = _kept(shelf, path)
    work = kept.with_suffix("")
    try:
        found = sorted((work / _OUT).glob("*.mrc"))
        if not found:
            raise FormatError(f"Topaz ended well but left no denoised picture of {path}.")
        wanted = reading.size_of(shelf, path)
        image = reading.read_one(shelf, str(found[0].relative_to(shelf.root)))
        if image.shape != wanted[::-1]:
            raise FormatError(
                f"Topaz left a picture of {image.shape[1]} x {image.shape[0]} pixels for {path}, "
                f"which has {wanted[0]} x {wanted[1]}."
            )
        found[0].replace(kept)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _make_room(kept)
    return {"is_ready": True}


def read(shelf: Shelf, path: str) -> NDArray[np.float32]:
    """Return the denoised micrograph.

    Raises
    ------
    MissingFileError
        It was not made, or was deleted.
    """
    kept = _kept(shelf, path)
    if not kept.is_file():
        raise MissingFileError(f"{path}: is not denoised yet.")
    return reading.read_one(shelf, str(kept.relative_to(shelf.root)))


def _kept(shelf: Shelf, path: str) -> Path:
    """Return where the result lies: another place whenever the micrograph changes."""
    text = f"{path}\n{shelf.version(path)}"
    name = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]
    return shelf.root / FOLDER / f"{name}.mrc"


def _make_room(newest: Path) -> None:
    """Delete what was not looked at for longest, down to what may be held."""
    held = [(one.stat(), one) for one in newest.parent.glob("*.mrc") if one != newest]
    held.sort(key=lambda entry: entry[0].st_mtime, reverse=True)
    room = _MOST_BYTES - newest.stat().st_size
    for about, one in held:
        room -= about.st_size
        if room < 0:
            one.unlink(missing_ok=True)
