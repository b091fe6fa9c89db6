"""How many movies, micrographs or particles a STAR file lists, without reading its values."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import Final

_BLOCK: Final = re.compile(rb"^data_(\S*)[^\n]*$", re.MULTILINE)
_LABELS: Final = re.compile(rb"\s*(?:#[^\n]*\n\s*)*loop_[ \t\r]*\n(?:[ \t]*_[^\n]*\n)+")
_BLANK: Final = re.compile(rb"\n[ \t\r]*\n")


def count_rows(path: Path) -> int | None:
    """Return the rows of the main table of a STAR file, None where there is none to count.

    The main table is the last loop that does not describe optics groups. Lines are counted
    from its labels to the first empty line, which is how RELION ends a table; files larger
    than memory are no trouble.
    """
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as text,
        ):
            return _count(text)
    except (OSError, ValueError):  # ValueError: an empty file
        return None


def _count(text: mmap.mmap) -> int | None:
    found = None
    for block in _BLOCK.finditer(text):
        labels = _LABELS.match(text, block.end())
        if labels and block[1] != b"optics":
            found = labels.end()
    if found is None:
        return None
    end = _BLANK.search(text, max(found - 1, 0))
    rows = text[found : end.start() + 1 if end else len(text)]
    return sum(1 for line in rows.splitlines() if line.strip())
