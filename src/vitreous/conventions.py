"""Signs, centres and orders that hold everywhere, each as one short function.

`docs/conventions.md` states every rule in words and names the test that proves it. The rules that
need transforms or rotations live in `engine.fourier` and `engine.geometry`. All functions take
numbers, NumPy arrays or tensors alike unless they say otherwise.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = TypeVar("Array")


def centre_index(size: int) -> int:
    """Return the index that is the origin of an axis: 4 of 8, and 4 of 9."""
    return size // 2


def signed_index(index: int, size: int) -> int:
    """Return the frequency at a place in FFT order; an even side has a positive Nyquist row."""
    return index - size if index > size // 2 else index


def flip_axes(vectors: Array) -> Array:
    """Turn components x y (z) into array order (z) y x, or back: the last axis reversed."""
    n = vectors.shape[-1]  # type: ignore[attr-defined]  # arrays and tensors share no base class
    return vectors[..., list(range(n))[::-1]]  # type: ignore[index, no-any-return]  # the same


def round_half_away(values: ArrayLike) -> NDArray[np.float64]:
    """Round to whole numbers, halves away from zero: 2.5 to 3, -2.5 to -3.

    NumPy and torch round halves to even, which moves particles by a pixel against RELION.
    """
    values = np.asarray(values, dtype=np.float64)
    whole: NDArray[np.float64] = np.trunc(values)
    halves = np.abs(values - whole) >= 0.5
    return np.where(halves, whole + np.sign(values), whole)


def box_corner(coordinates_px: ArrayLike, box_px: int) -> NDArray[np.int64]:
    """Return the first pixel of the boxes around STAR coordinates.

    Parameters
    ----------
    coordinates_px
        ``rlnCoordinateX`` or Y: 0-based, fractions are cut off towards zero.
    box_px
        Side of the box; the coordinate lands on its pixel ``box_px // 2``.
    """
    return np.trunc(np.asarray(coordinates_px, dtype=np.float64)).astype(np.int64) - box_px // 2


def recentre(
    coordinates_px: ArrayLike, origins_px: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move the whole pixels of refined origins into the coordinates.

    The origin is the shift that brings the particle to the centre of its box, so the particle
    lies at the coordinate *minus* the origin.

    Returns
    -------
    tuple
        New coordinates and the fractions that stay as origins; their difference is unchanged.
    """
    coordinates_px = np.asarray(coordinates_px, dtype=np.float64)
    origins_px = np.asarray(origins_px, dtype=np.float64)
    whole = round_half_away(origins_px)
    return coordinates_px - whole, origins_px - whole
