"""Unpacking of TIFF's LZW, the usual packing of movies: compiled where it was built."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_FIRST_BYTE: Final = 0x80  # the code that clears the table, highest bit first
# Places in the table have 32 bits.
_MOST_BYTES: Final = 2**32 - 1


def decode(data: bytes, out: npt.NDArray[np.uint8]) -> int:
    """Unpack the codes of a strip.

    Parameters
    ----------
    data
        As in the file.
    out
        ``(bytes,)``, contiguous; filled from its start.

    Returns
    -------
    int
        How many bytes were unpacked: fewer than fit where the codes end early or make no sense,
        where they are of the old form with the lowest bit first, or where nothing is compiled.
    """
    kernel = _kernel()
    if kernel is None or data[:1] != bytes([_FIRST_BYTE]) or out.size > _MOST_BYTES:
        return 0
    return int(kernel.decode(data, out))


@cache
def _kernel() -> Any:  # noqa: ANN401 - a compiled module, or None where there is none
    try:
        return importlib.import_module("vitreous.io._lzw")
    except ImportError:
        return None
