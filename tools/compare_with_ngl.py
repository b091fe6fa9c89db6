"""How well maps of beta-galactosidase agree with an independent map of it.

    python tools/compare_with_ngl.py INDEPENDENT.mrc MAP.mrc [MAP.mrc ...]

The independent map (github.com/nglviewer/ngl, data/betaGal.mrc) has its axes in another order, one
of them mirrored, and another origin. All are found here by trying each mirror with the best
shift, once for every map and by the same rule, so that figures of different maps can be compared.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, shift

from vitreous.io import read_volume

RADIUS_PX = 28
AXES = (0, 2, 1)


def main(argv: Sequence[str]) -> int:
    """Print the correlation of each map."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("independent", help="map to compare with")
    parser.add_argument("maps", nargs="+", help="maps of one box and pixel size each")
    arguments = parser.parse_args(argv)
    for path in arguments.maps:
        print(f"{correlation(arguments.independent, path):.4f}  {path}")
    return 0


def correlation(independent: str, path: str) -> float:
    """Return the largest correlation inside the radius over mirrors and shifts."""
    wanted, other = read_volume(path), read_volume(independent)
    size = wanted.data.shape[0]
    ratio = wanted.pixel_size_A / other.pixel_size_A
    turned = other.data.astype(np.float64).transpose(AXES)
    fitted = resampled(turned, size, ratio)
    mirrors = [
        np.flip(fitted, axes) for n in (0, 1) for axes in itertools.combinations(range(3), n)
    ]
    fixed = wanted.data.astype(np.float64)
    starts = [whole_pixel_shift(mirror, fixed) for mirror in mirrors]
    moving, (_, start) = max(zip(mirrors, starts, strict=True), key=lambda pair: pair[1][0])
    return at_best_shift(moving, fixed, start)


def resampled(volume: NDArray[np.float64], size: int, ratio: float) -> NDArray[np.float64]:
    """Sample a map on another grid of which the centre is the same point."""
    centre = np.array(volume.shape) // 2
    offset = centre - ratio * (size // 2)
    return affine_transform(volume, np.full(3, ratio), offset, (size,) * 3, order=3)


def whole_pixel_shift(
    moving: NDArray[np.float64], fixed: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the correlation at the best shift by whole pixels, and that shift."""
    size = fixed.shape[0]
    target = np.where(inside(size), fixed - fixed[inside(size)].mean(), 0)
    axes = (0, 1, 2)
    product = np.fft.rfftn(target, axes=axes) * np.fft.rfftn(moving, axes=axes).conj()
    cross = np.fft.irfftn(product, fixed.shape, axes)
    peak = np.array(np.unravel_index(cross.argmax(), cross.shape))
    start = np.where(peak > size // 2, peak - size, peak).astype(np.float64)
    return at(moving, fixed, start), start


def at_best_shift(
    moving: NDArray[np.float64], fixed: NDArray[np.float64], start: NDArray[np.float64]
) -> float:
    """Return the correlation at the best shift near `start`, to a tenth of a pixel."""
    best = at(moving, fixed, start)
    for step in (0.5, 0.2, 0.1):
        for axis, sign in itertools.product(range(3), (1, -1)):
            trial = start.copy()
            trial[axis] += sign * step
            found = at(moving, fixed, trial)
            if found > best:
                best, start = found, trial
    return best


def at(
    moving: NDArray[np.float64], fixed: NDArray[np.float64], where: NDArray[np.float64]
) -> float:
    """Return the correlation inside the radius after a shift."""
    chosen = inside(fixed.shape[0])
    return float(np.corrcoef(shift(moving, where, order=3)[chosen], fixed[chosen])[0, 1])


def inside(size: int) -> NDArray[np.bool_]:
    """Tell which pixels are within the radius."""
    return ((np.indices((size,) * 3) - size // 2) ** 2).sum(0) <= RADIUS_PX**2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
