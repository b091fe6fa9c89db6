"""What a file between jobs holds, as far as its first lines or its header say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from vitreous.errors import VitreousError
from vitreous.io import read_header
from vitreous.io.star import parse_star
from vitreous.project.row_count import count_rows

_HEAD_BYTES: Final = 64 << 10
_MAPS: Final = (".mrc", ".mrcs", ".map", ".ccp4", ".st", ".rec")
_PIXEL_SIZES: Final = ("rlnImagePixelSize", "rlnMicrographPixelSize", "rlnPixelSize")
_LARGEST_COUNTED: Final = 2 << 30


@dataclass(frozen=True)
class Facts:
    """What is known of a file; None for what it does not tell.

    Parameters
    ----------
    count
        Rows of the main table of a STAR file; images or sections of an MRC file.
    box_px
        Side of its images.
    pixel_size_A
        Of its images.
    n_bytes, modified_ns
        Size and time of the file.
    """

    count: int | None = None
    box_px: int | None = None
    pixel_size_A: float | None = None
    n_bytes: int | None = None
    modified_ns: int | None = None


def facts(path: Path) -> Facts:
    """Return what is known of a file; nothing where it is not there."""
    try:
        entry = os.stat(path)
    except OSError:
        return Facts()
    return _facts(str(path), entry.st_mtime_ns, entry.st_size)


@lru_cache(maxsize=4096)
def _facts(path: str, modified_ns: int, n_bytes: int) -> Facts:
    suffix = Path(path).suffix.lower()
    count, box, pixel_size = None, None, None
    if suffix == ".star":
        count = count_rows(Path(path)) if n_bytes < _LARGEST_COUNTED else None
        box, pixel_size = _of_optics(Path(path))
    elif suffix in _MAPS:
        count, box, pixel_size = _of_header(Path(path))
    return Facts(count, box, pixel_size, n_bytes, modified_ns)


def _of_header(path: Path) -> tuple[int | None, int | None, float | None]:
    try:
        header = read_header(path)
    except (VitreousError, OSError):
        return None, None, None
    return header.n_present, header.shape[2], header.pixel_size_A or None


def _of_optics(path: Path) -> tuple[int | None, float | None]:
    """Return box and pixel size of the first optics group."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        begin = head.index(b"data_optics")
        end = head.find(b"\ndata_", begin)
        text = head[begin : end if end > 0 else len(head)].decode(errors="replace")
        table = parse_star(text).first
        found = [float(table.value(label)) for label in _PIXEL_SIZES if label in table]
        box = int(table.value("rlnImageSize")) if "rlnImageSize" in table else None
    except (OSError, ValueError, VitreousError):
        return None, None
    return box, found[0] if found else None
