"""Half planes inside a circle as plain rows of numbers, the form in which images are scored.

Rows follow each other in FFT order, each from kx = 0 and padded with zeros to whole vectors of 16.
Pixels that the half plane holds twice (kx = 0, ky < 0) are there and zero (refinement.md 1.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

PAD = 16


@dataclass(frozen=True)
class Disc:
    """The pixels with ``kx^2 + ky^2 <= radius^2`` of half transforms of side ``2 radius``.

    Parameters
    ----------
    radius
        In pixels of the transform.
    index
        ``m``, place of each number in a flattened ``y xh`` half transform; that of the padding
        and of twins is the first place after it.
    kx, ky
        ``m``
    shell
        ``m``, rounded radius; -1 for padding and twins.
    row_ky
        Frequency of every row.
    width
        Numbers of the longest row, padded.
    """

    radius: int
    index: Int64[Tensor, " m"]
    kx: Int64[Tensor, " m"]
    ky: Int64[Tensor, " m"]
    shell: Int64[Tensor, " m"]
    row_ky: Int64[Tensor, " y"]
    width: int

    @property
    def size(self) -> int:
        """Return the side of the transforms."""
        return 2 * self.radius

    def __len__(self) -> int:
        """Return how many numbers stand for an image."""
        return len(self.index)

    def pack(
        self, transforms: Complex[Tensor, "n y xh"]
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Return real and imaginary parts; transforms may be of any side from `size` up."""
        rows, columns = transforms.shape[-2:]
        index = self.index
        if rows != self.size:
            y = torch.where(self.ky < 0, self.ky + rows, self.ky)
            index = torch.where(self.shell >= 0, y * columns + self.kx, -1)
        else:
            index = torch.where(self.shell >= 0, index, -1)
        values = transforms.flatten(1)[:, index.clamp(min=0)]
        real, imaginary = values.real.contiguous(), values.imag.contiguous()
        outside = index < 0
        real[:, outside] = 0
        imaginary[:, outside] = 0
        return real, imaginary

    def pack_real(self, values: Float[Tensor, "n y xh"]) -> Float[Tensor, "n m"]:
        """Return real values of a half plane of side `size`; zero where there is no pixel."""
        flat = values.flatten(1)[:, self.index.clamp(max=values.shape[-2] * values.shape[-1] - 1)]
        flat[:, self.shell < 0] = 0
        return flat

    def unpack(self, values: Tensor) -> Tensor:
        """Return the ``n y xh`` half transforms of packed numbers."""
        size = self.size
        out = values.new_zeros(len(values), size * (size // 2 + 1) + 1)
        out[:, self.index] = values
        return out[:, :-1].reshape(-1, size, size // 2 + 1)

    def phases(
        self, shifts_px: Float[Tensor, " a"], box_px: int
    ) -> tuple[Float[Tensor, "c a x"], Float[Tensor, "c a y"]]:
        """Return ``exp(-2 pi i k t / box)`` along x and along y, real and imaginary parts first."""
        turns = -2 * torch.pi * shifts_px.to(torch.float64) / box_px
        kx = torch.arange(self.width, device=turns.device)
        return tuple(  # type: ignore[return-value] # of two
            torch.stack([(turns[:, None] * k).cos(), (turns[:, None] * k).sin()]).float()
            for k in (kx, self.row_ky.to(turns.device))
        )

    def to(self, device: torch.device | str) -> Disc:
        """Return the same disc on another device."""
        index, kx, ky = self.index.to(device), self.kx.to(device), self.ky.to(device)
        shell, row_ky = self.shell.to(device), self.row_ky.to(device)
        return Disc(self.radius, index, kx, ky, shell, row_ky, self.width)


@lru_cache(maxsize=64)
def disc(radius: int) -> Disc:
    """Return the disc of a radius."""
    size = 2 * radius
    row_ky = [y if y <= radius else y - size for y in range(size)]
    ends = [isqrt(radius * radius - ky * ky) + 1 for ky in row_ky]
    kx, ky, shell, index = [], [], [], []
    nowhere = size * (radius + 1)
    for y, (row, end) in enumerate(zip(row_ky, ends, strict=True)):
        padded = -(-end // PAD) * PAD
        for x in range(padded):
            real = x < end and not (x == 0 and row < 0)
            kx.append(x)
            ky.append(row)
            shell.append(round((x * x + row * row) ** 0.5) if real else -1)
            index.append(y * (radius + 1) + x if real else nowhere)
    width = -(-max(ends) // PAD) * PAD

    def numbers(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64)

    return Disc(
        radius, numbers(index), numbers(kx), numbers(ky), numbers(shell), numbers(row_ky), width
    )


@lru_cache(maxsize=64)
def tight_index(radius: int) -> Int64[Tensor, " m"]:
    """Return the places of the true pixels in a `Disc`, in its order, without padding or twins."""
    return torch.nonzero(disc(radius).shell >= 0)[:, 0]


@lru_cache(maxsize=64)
def places_in(inner: int, outer: int) -> Int64[Tensor, " m"]:
    """Return where each number of the disc of radius `inner` lies in that of `outer`.

    Padding and twins are given the place of padding, which is zero.
    """
    small, large = disc(inner), disc(outer)
    offsets = {int(ky): 0 for ky in large.row_ky}
    for place in range(len(large) - 1, -1, -1):
        if large.kx[place] == 0:
            offsets[int(large.ky[place])] = place
    zero = int(torch.nonzero(large.shell < 0)[0])
    rows = torch.tensor([offsets[int(ky)] for ky in small.ky.tolist()])
    return torch.where(small.shell >= 0, rows + small.kx, zero)
