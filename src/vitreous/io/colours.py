"""Colour schemes for grey pictures, named as RELION's display and image handler name them.

A scheme is a row of colours at equal distances from black to white; between two of them colours
run in straight lines.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BLACK, _GREY, _WHITE = (0, 0, 0), (128, 128, 128), (255, 255, 255)
_RED, _YELLOW, _BLUE, _CYAN = (255, 0, 0), (255, 255, 0), (0, 0, 255), (0, 255, 255)

SCHEMES = {
    "fire": (_BLACK, _GREY, _WHITE, _RED),
    "ice": (_BLUE, _BLACK, _GREY, _WHITE),
    "fire-n-ice": (_BLUE, _GREY, _RED),
    "rainbow": (_CYAN, _BLUE, _BLACK, _RED, _YELLOW),
    "difference": (_CYAN, _BLUE, _BLACK, _RED, _YELLOW),
}
AROUND_ZERO = ("difference",)  # the middle of its range is 0 unless the range is given


def coloured(grey: npt.NDArray[np.uint8], scheme: str) -> npt.NDArray[np.uint8]:
    """Give grey values their colours.

    Parameters
    ----------
    grey
        ``y x``
    scheme
        A name of `SCHEMES`.

    Returns
    -------
    numpy.ndarray
        ``y x 3``: red, green, blue.
    """
    pixels: npt.NDArray[np.uint8] = _table(scheme)[grey]
    return pixels


def _table(scheme: str) -> npt.NDArray[np.uint8]:
    """Return the colour of each grey value, ``256 3``."""
    colours = np.array(SCHEMES[scheme], np.float64)
    places = np.rint(np.linspace(0, 255, len(colours)))
    parts = [np.interp(np.arange(256), places, part) for part in colours.T]
    table: npt.NDArray[np.uint8] = np.rint(np.stack(parts, 1)).astype(np.uint8)
    return table
