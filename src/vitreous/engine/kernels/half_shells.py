"""Passes over an accumulator: sums over half shells, the Wiener division, a coarser grid.

Half shells are ``h = floor(2 r / p)`` with r in steps of a grid of p steps per shell; points
outside the grid's sphere belong to none (see `engine.refinement.weights`). On the CPU compiled
loops do it, elsewhere (or without a compiler) plain torch, the reference.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from functools import lru_cache
from types import ModuleType

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import grids

_HAIR = 1e-4


def compiled() -> ModuleType | None:
    """Return the compiled loops, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._half_shells") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._half_shells")


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
    n = n_half_shells(grid, padding)
    sums = torch.zeros(2, n + 1, dtype=torch.float64, device=grid.device)
    module = _module_for(grid)
    if module is not None:
        total, count = sums[0, :-1], sums[1, :-1]
        module.weight_sums(
            _volume(grid), _table(grid.shape[-2] - 2, padding), total, count, _threads()
        )
        return total, count
    weight = grid[..., 2]
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
    n = len(threshold)
    count = torch.zeros(n + 1, dtype=torch.float64, device=grid.device)
    module = _module_for(grid)
    if module is not None:
        table = _table(grid.shape[-2] - 2, padding)
        module.count_reached(_volume(grid), table, threshold.float(), count[:n], _threads())
        return count[:n]
    weight = grid[..., 2].float()
    least = _padded(threshold.to(grid.device), torch.inf).float()
    for rows in grids.rows_of(weight):
        index = _index(weight, padding, rows, n)
        count += torch.bincount(index[weight[..., rows, :] >= least[index]], minlength=n + 1)
    return count[:n]


def wiener_rows(
    grid: Float[Tensor, "*grid 4"],
    padding: float,
    rows: slice,
    tables: Float[Tensor, "4 h"],
    covered: Float[Tensor, " h"],
) -> Complex[Tensor, "*rows"]:
    """Divide data by ``max(weight factor + extra, least)``, for some rows of the second-last axis.

    Parameters
    ----------
    grid, padding
        As for `weight_sums`.
    rows
        Of the axis y.
    tables
        ``factor``, ``extra``, ``least`` and ``threshold`` of each half shell.
    covered
        Number of points with a weight of ``threshold`` or more is added to it (float64).

    Returns
    -------
    Tensor
        ``z rows xh`` or ``rows xh``, complex64; what it holds outside the sphere means nothing.
    """
    module, n = _module_for(grid), tables.shape[1]
    if module is not None:
        volume = _volume(grid)
        shape = (volume.shape[0], rows.stop - rows.start, volume.shape[2], 2)
        out = torch.empty(shape, dtype=torch.float32)
        table = _table(grid.shape[-2] - 2, padding)
        values = tables.float().contiguous()
        module.wiener_rows(volume, table, rows.start, values, out, covered, _threads())
        divided = torch.view_as_complex(out)
        return divided if grid.ndim == 4 else divided[0]
    part = grid[..., rows, :, :].float()
    weight = part[..., 2]
    index = _index(grid[..., 2], padding, rows, n)
    factor, extra, least, threshold = (
        _padded(table, last).float()[index]
        for table, last in zip(tables.to(grid.device), (1.0, 0.0, 1.0, torch.inf), strict=True)
    )
    covered += torch.bincount(index[weight >= threshold], minlength=n + 1)[:n]
    divisor = torch.maximum(weight * factor + extra, least)
    return torch.view_as_complex(part[..., :2].contiguous()) / divisor


def nearest_sums(grid: Float[Tensor, "*grid 4"], padding: float) -> Float[Tensor, "*coarse 4"]:
    """Add each point of a fine grid to the nearest frequency of an image (halves outwards).

    Parameters
    ----------
    grid, padding
        As for `weight_sums`.

    Returns
    -------
    Tensor
        ``z y xh 4`` or ``y xh 4``, origin in the middle of the slow axes, no margin.
    """
    centre = grid.shape[-2] - 1
    line = torch.arange(-centre, centre + 1, device=grid.device)
    nearest = line.sign() * (line.abs() / padding + 0.5).floor().to(torch.int64)
    radius, ndim = int(nearest.max()), grid.ndim - 1
    module = _module_for(grid)
    if module is not None:
        out = grid.new_zeros([2 * radius + 1] * (ndim - 1) + [radius + 1, 4])
        module.gather_nearest(_volume(grid), nearest.to(torch.int32), _volume(out), _threads())
        return out
    total = grid
    for axis in range(ndim):
        index = nearest[centre:] if axis == ndim - 1 else nearest + radius
        shape = list(total.shape)
        shape[axis] = radius + 1 if axis == ndim - 1 else 2 * radius + 1
        total = total.new_zeros(shape).index_add_(axis, index, total)
    return total


def _module_for(grid: Tensor) -> ModuleType | None:
    fits = grid.device.type == "cpu" and grid.dtype in (torch.float32, torch.float64)
    return compiled() if fits and grid.is_contiguous() else None


def _threads() -> int:
    return torch.get_num_threads()


def _volume(grid: Tensor) -> Tensor:
    """Return an image as a volume of one plane."""
    return grid if grid.ndim == 4 else grid[None]


@lru_cache(maxsize=8)
def _table(radius: int, padding: float) -> Tensor:
    """Return the half shell of each squared radius up to that of the sphere."""
    distance = torch.arange(radius**2 + 1, dtype=torch.float32).sqrt_()
    return (distance * (2 / padding)).floor_().to(torch.int16)


def _padded(table: Tensor, last: float) -> Tensor:
    """Add an entry for the points outside the sphere."""
    return torch.cat([table, table.new_full((1,), last)])


def _index(weight: Tensor, padding: float, rows: slice, n: int) -> Int64[Tensor, "*rows"]:
    radius = grids.radius_of(weight, rows)
    index = (radius * (2 / padding)).floor_().to(torch.int64).clamp_(max=n)
    return index.masked_fill_(radius > weight.shape[-1] - 2 + _HAIR, n)
