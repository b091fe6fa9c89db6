"""Add up the symmetry mates of a half-stored Fourier grid (refinement.md section 7.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.kernels import slices


def symmetrise(
    grid: Float[Tensor, "z y xh 4"], operators: Float[Tensor, "g 3 3"]
) -> Float[Tensor, "z y xh 4"]:
    """Return the sum, over all operators R, of the grid read at R k.

    Parameters
    ----------
    grid
        Real part, imaginary part, weight, unused; see `engine.grids`. The plane x = 0 must hold
        both Friedel mates.
    operators
        Rotations acting on vectors x y z; the identity must be among them (the sum runs over
        all that are given).
    """
    module = slices.compiled()
    if module is None or grid.device.type != "cpu" or grid.dtype != torch.float32:
        return reference(grid, operators)
    out = torch.zeros_like(grid)
    matrices = operators.to(torch.float32).contiguous()
    module.symmetrise(grid.contiguous(), matrices, out, torch.get_num_threads())
    return out


def reference(
    grid: Float[Tensor, "z y xh 4"], operators: Float[Tensor, "g 3 3"]
) -> Float[Tensor, "z y xh 4"]:
    """Do what `symmetrise` does, in plain torch, plane by plane."""
    centre, width = grid.shape[2] - 1, grid.shape[2]
    side = 2 * centre + 1
    flat = grid.reshape(-1, 4)
    out = torch.zeros_like(grid)
    conjugate = torch.tensor([1, -1, 1, 1], dtype=grid.dtype, device=grid.device)
    y, x = torch.meshgrid(
        torch.arange(-centre, centre + 1, device=grid.device),
        torch.arange(width, device=grid.device),
        indexing="ij",
    )
    strides = torch.tensor([1, width, width * side], device=grid.device)
    origin = torch.tensor([0, centre, centre], device=grid.device, dtype=grid.dtype)
    for z in range(-centre, centre + 1):
        inside = x**2 + y**2 + z**2 <= (centre - 1) ** 2
        points = torch.stack([x, y, torch.full_like(x, z)], -1)[inside].to(grid.dtype)
        total = torch.zeros(len(points), 4, dtype=grid.dtype, device=grid.device)
        for operator in operators.to(grid.dtype):
            moved = points @ operator.T
            opposite = moved[:, :1] < 0
            moved = torch.where(opposite, -moved, moved) + origin
            lower = moved.floor()
            fraction = moved - lower
            base = (lower.long() * strides).sum(-1)
            value = torch.zeros_like(total)
            for corner in range(8):
                step = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2], device=grid.device)
                share = torch.where(step == 1, fraction, 1 - fraction).prod(-1)
                value += share[:, None] * flat[base + (step * strides).sum()]
            total += torch.where(opposite, value * conjugate, value)
        out[z + centre][inside] = total
    return out
