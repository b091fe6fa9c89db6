"""The part of a box that a mask fills: all that a masked map has is in it, with fewer voxels.

A correlation inside a mask varies slowly from shell to shell, so that the fewer shells of a smaller
box lose nothing; a window of half the side costs an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

_PRIMES = (2, 3, 5, 7)
SMALLEST_PX = 24


@dataclass(frozen=True)
class Window:
    """A cube inside a box.

    Parameters
    ----------
    start_px
        First voxel along z, y, x.
    side_px
        Even (or that of the box) and quick to transform.
    """

    start_px: tuple[int, int, int]
    side_px: int

    def cut(self, volume: Float[Tensor, "z y x"]) -> Float[Tensor, "w w w"]:
        """Return the part of a volume."""
        z, y, x = (slice(start, start + self.side_px) for start in self.start_px)
        return volume[z, y, x].contiguous()


def around(inside: Bool[Tensor, "z y x"], margin_px: int) -> Window:
    """Return the smallest good window that holds a region and a margin around it.

    Parameters
    ----------
    inside
        The region, not empty; of a cube.
    margin_px
        On all sides, as far as the box has room.
    """
    box = inside.shape[0]
    first, last = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        line = torch.nonzero(inside.any(others[1]).any(others[0]))[:, 0]
        first.append(int(line[0]))
        last.append(int(line[-1]))
    length = max(end - begin + 1 for begin, end in zip(first, last, strict=True))
    side = quick_size(max(length + 2 * margin_px, SMALLEST_PX))
    if side >= box:
        return Window((0, 0, 0), box)
    starts = [
        min(max((begin + end + 1 - side) // 2, 0), box - side)
        for begin, end in zip(first, last, strict=True)
    ]
    return Window((starts[0], starts[1], starts[2]), side)


def quick_size(least: int) -> int:
    """Return the next even number that has no prime factor above 7."""
    size = least + least % 2
    while not _is_quick(size):
        size += 2
    return size


def _is_quick(size: int) -> bool:
    for prime in _PRIMES:
        while size % prime == 0:
            size //= prime
    return size == 1
