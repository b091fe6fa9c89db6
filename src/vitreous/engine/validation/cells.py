"""Half transforms summed by direction and shell, once; cones and sectors are sums of such cells.

Directions are those of axes: k and -k are the same. The three pairs of faces of a cube are cut
into squares, which are found without any angle. A square is at most 5.7 degrees wide, much
narrower than the cones that are made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.kernels import shells

SQUARES = 20
"""Squares along the side of a face."""
N_CELLS = 3 * SQUARES**2
_ROWS = 16


@dataclass(frozen=True)
class CellSums:
    """What correlations of two maps are made of, by direction and shell.

    Parameters
    ----------
    common, power1, power2
        ``cells s``, float64: sums of Re(F1 F2*), |F1|^2 and |F2|^2.
    count
        ``cells s``: how many coefficients there are; of a Friedel pair one counts.
    """

    common: Tensor
    power1: Tensor
    power2: Tensor
    count: Tensor

    def curve(self) -> Float[Tensor, " s"]:
        """Return the correlation of whole shells."""
        return correlation(self.common.sum(0), self.power1.sum(0), self.power2.sum(0))


def cell_sums(
    first: Complex[Tensor, "z y xh"], second: Complex[Tensor, "z y xh"], n_shells: int | None = None
) -> CellSums:
    """Add up the products of two half transforms of a cube.

    Parameters
    ----------
    first, second
        Half transforms of cubes of one side.
    n_shells
        Only shells below this; by default all up to Nyquist.
    """
    size = first.shape[0]
    n_shells = size // 2 + 1 if n_shells is None else min(n_shells, size // 2 + 1)
    sums = shells.cells(first, second, n_shells, SQUARES)
    if sums is None:
        sums = _plain_sums(first, second, n_shells)
    return CellSums(*sums.unbind(-1))


def _plain_sums(
    first: Complex[Tensor, "z y xh"], second: Complex[Tensor, "z y xh"], n_shells: int
) -> Float[Tensor, "cells s 4"]:
    """Add up in plain torch: the reference of `shells.cells`."""
    size = first.shape[0]
    nowhere = N_CELLS * n_shells
    table = torch.zeros(4, nowhere + 1, dtype=torch.float64, device=first.device)
    index = fourier.shell_index(size, 3, first.device)[..., :n_shells]
    along = fourier.indices((size, size, size), 3, first.device)[:, 0, 0, 2].float()
    x = torch.arange(n_shells, device=first.device, dtype=torch.float32)[None, None]
    weight = torch.where(x == 0, 0.5, 1.0).expand(1, size, -1)  # kx = 0 holds both of a pair
    for start in range(0, size, _ROWS):
        rows = slice(start, start + _ROWS)
        cell = _cell(x, along[None, :, None], along[rows, None, None])
        place = cell.mul_(n_shells).add_(index[rows])
        place[index[rows] >= n_shells] = nowhere
        place = place.flatten()
        one, two = first[rows, :, :n_shells], second[rows, :, :n_shells]
        counts = weight.expand(len(one), -1, -1)
        values = (
            one.real * two.real + one.imag * two.imag,
            one.real.square() + one.imag.square(),
            two.real.square() + two.imag.square(),
            torch.ones_like(one.real),
        )
        for row, value in enumerate(values):
            weights = (value * counts).double().flatten()
            table[row] += torch.bincount(place, weights, nowhere + 1)
    return table[:, :-1].reshape(4, N_CELLS, n_shells).movedim(0, -1)


def correlation(
    common: Float[Tensor, "*b"], power1: Float[Tensor, "*b"], power2: Float[Tensor, "*b"]
) -> Float[Tensor, "*b"]:
    """Return the normalised correlation, 0 where there is no power."""
    power = (power1 * power2).sqrt()
    return torch.where(power > 0, common / power.clamp(min=torch.finfo(power.dtype).tiny), 0.0)


def directions() -> Float[Tensor, "cells 3"]:
    """Return the unit vector to the middle of each cell, x y z, float64."""
    middle = (torch.arange(SQUARES, dtype=torch.float64) + 0.5) * 2 / SQUARES - 1
    first, second = torch.meshgrid(middle, middle, indexing="ij")
    one = torch.ones_like(first)
    faces = [
        torch.stack([one, first, second], -1),
        torch.stack([first, one, second], -1),
        torch.stack([first, second, one], -1),
    ]
    vectors = torch.stack(faces).reshape(-1, 3)
    unit: Tensor = vectors / vectors.norm(dim=-1, keepdim=True)
    return unit


def cell_of(vectors: Float[Tensor, "n 3"]) -> Int64[Tensor, " n"]:
    """Return the cell of each vector x y z; zero is in the first."""
    return _cell(*vectors.unbind(-1))


def _cell(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Return the cell of broadcast components; the face is that of the largest one."""
    ax, ay, az = x.abs(), y.abs(), z.abs()
    face_x = (ax >= ay) & (ax >= az)
    face_y = (ay >= az) & ~face_x
    largest = torch.where(face_x, x, torch.where(face_y, y, z))
    divisor = torch.where(largest == 0, 1.0, largest)
    first = (torch.where(face_x, y, x) + largest) * (SQUARES / 2) / divisor
    second = (torch.where(face_x | face_y, z, y) + largest) * (SQUARES / 2) / divisor
    face = torch.where(face_x, 0, torch.where(face_y, 1, 2))
    row, column = (part.to(torch.int64).clamp(0, SQUARES - 1) for part in (first, second))
    cell: Tensor = (face * SQUARES + row) * SQUARES + column
    return cell
