"""Sums over half shells of an accumulator, and the Wiener division, in one pass each.

Half shells are ``h = floor(2 r / p)`` with r in steps of a grid of p steps per shell; points
outside the grid's sphere belong to none (see `engine.refinement.weights`).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import grids

_HAIR = 1e-4


def n_half_shells(grid: Float[Tensor, "*grid 4"], padding: float) -> int:
    """Return the number of half shells in the sphere of an accumulator's grid."""
    return math.floor(2 * (grid.shape[-2] - 2 + _HAIR) / padding) + 1


def weight_sums(
    grid: Float[Tensor, "*grid 4"], padding: float
) -> tuple[Float[Tensor, " h"], Float[Tensor, " h"]]:
    """Add up weights and count points of each half shell, in float64.

    Parameters
    ----------
    grid
        Real part, imaginary part and weight (and one number unused) along the last axis.
    padding
        Grid steps per shell.
    """
    weight = grid[..., 2]
    n = n_half_shells(grid, padding)
    sums = torch.zeros(2, n + 1, dtype=torch.float64, device=grid.device)
    for rows in grids.rows_of(weight):
        index = _index(weight, padding, rows, n).flatten()
        values = weight[..., rows, :].to(torch.float64).flatten()
        sums[0] += torch.bincount(index, values, minlength=n + 1)
        sums[1] += torch.bincount(index, minlength=n + 1)
    return sums[0, :-1], sums[1, :-1]


def count_reached(
    grid: Float[Tensor, "*grid 4"], padding: float, threshold: Float[Tensor, " h"]
) -> Float[Tensor, " h"]:
    """Count the points of each half shell with a weight of `threshold` or more, as float64."""
    weight, n = grid[..., 2], len(threshold)
    table = _padded(threshold, torch.inf).to(weight.dtype)
    count = torch.zeros(n + 1, dtype=torch.float64, device=grid.device)
    for rows in grids.rows_of(weight):
        index = _index(weight, padding, rows, n)
        count += torch.bincount(index[weight[..., rows, :] >= table[index]], minlength=n + 1)
    return count[:n]


def wiener_rows(
    grid: Float[Tensor, "*grid 4"],
    padding: float,
    rows: slice,
    factor: Float[Tensor, " h"],
    extra: Float[Tensor, " h"],
    least: Float[Tensor, " h"],
    threshold: Float[Tensor, " h"],
    covered: Float[Tensor, " h"],
) -> Complex[Tensor, "*rows"]:
    """Divide data by ``max(weight factor + extra, least)``, for some rows of the second-last axis.

    Parameters
    ----------
    grid, padding
        As for `weight_sums`.
    rows
        Of the axis y.
    factor, extra, least, threshold
        Of each half shell.
    covered
        Number of points with a weight of `threshold` or more is added to it (float64).

    Returns
    -------
    Tensor
        ``z rows xh`` or ``rows xh``, complex of the precision of the grid; what it holds outside
        the sphere means nothing.
    """
    part = grid[..., rows, :, :]
    weight, n = part[..., 2], len(factor)
    index = _index(grid[..., 2], padding, rows, n)
    reached = weight >= _padded(threshold, torch.inf).to(weight.dtype)[index]
    covered += torch.bincount(index[reached], minlength=n + 1)[:n]
    divisor = weight * _padded(factor, 1)[index].to(weight.dtype)
    divisor += _padded(extra, 0).to(weight.dtype)[index]
    divisor = torch.maximum(divisor, _padded(least, 1).to(weight.dtype)[index])
    return torch.view_as_complex(part[..., :2].contiguous()) / divisor


def _padded(table: Tensor, last: float) -> Tensor:
    """Add an entry for the points outside the sphere."""
    return torch.cat([table, table.new_full((1,), last)])


def _index(weight: Tensor, padding: float, rows: slice, n: int) -> Int64[Tensor, "*rows"]:
    radius = grids.radius_of(weight, rows)
    index = (radius * (2 / padding)).floor_().to(torch.int64).clamp_(max=n)
    return index.masked_fill_(radius > weight.shape[-1] - 2 + _HAIR, n)
