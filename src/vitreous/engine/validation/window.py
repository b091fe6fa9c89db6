"""The part of a box that a mask fills: all that a masked map has is in it, with fewer voxels.

A correlation inside a mask varies slowly from shell to shell, so that the fewer shells of a smaller
box lose nothing; a window of half the side costs an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_PRIMES = (2, 3, 5, 7)
SMALLEST_PX = 24
_REGION = 0.5


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

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Of an array ``z y x``."""
        z, y, x = (slice(start, start + self.side_px) for start in self.start_px)
        return z, y, x


def around(mask: Float[Tensor, "z y x"], margin_px: int) -> Window:
    """Return the smallest good window that holds a region and a margin around it.

    Parameters
    ----------
    mask
        Of a cube; somewhere above one half, which is the region.
    margin_px
        On all sides, as far as the box has room.
    """
    box = mask.shape[0]
    across, along = mask[0].clone(), []
    for plane in mask:
        torch.maximum(across, plane, out=across)
        along.append(plane.amax())
    first, last = [], []
    for highest in (torch.stack(along), across.amax(1), across.amax(0)):
        line = torch.nonzero(highest > _REGION)[:, 0]
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
