"""Half-stored Fourier grids with their origin in the middle: what slices are taken from.

The grid of radius R holds the frequencies ``|k| <= R`` of a transform, for ``x >= 0``, with one
more plane on every side so that interpolation never looks outside: ``grid[z + c, y + c, x]`` with
``c = R + 1``. It is the one place besides `fourier` that knows both orders of frequencies.
"""

from __future__ import annotations

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor


def centred(transform: Complex[Tensor, "*half"], radius: int) -> Complex[Tensor, "*grid"]:
    """Cut the sphere of frequencies out of a half transform.

    Parameters
    ----------
    transform
        ``z y xh`` or ``y xh`` of a square array, zero frequency at index 0.
    radius
        Largest frequency kept, in grid steps; at most half the side of the array.

    Returns
    -------
    Tensor
        Grid of side ``2 radius + 3`` (fast axis ``radius + 2``), zero outside the sphere.
    """
    ndim, side = transform.ndim, transform.shape[0]
    if radius > side // 2:
        message = f"radius {radius} is beyond the Nyquist frequency {side // 2} of the transform"
        raise ValueError(message)
    rows = torch.arange(-radius, radius + 1, device=transform.device) % side
    kept = transform[..., : radius + 1]
    for axis in range(ndim - 1):
        kept = kept.index_select(axis, rows)
    grid = transform.new_zeros([2 * radius + 3] * (ndim - 1) + [radius + 2])
    inner = (slice(1, -1),) * (ndim - 1) + (slice(0, -1),)
    grid[inner] = kept
    return grid * (radius_squared(grid) <= radius**2)


def uncentred(grid: Complex[Tensor, "*grid"], side: int) -> Complex[Tensor, "*half"]:
    """Undo `centred`: put a grid into the half transform of an array of the given side."""
    ndim, radius = grid.ndim, grid.shape[-1] - 2
    if radius > side // 2:
        message = f"a grid of radius {radius} does not fit an array of side {side}"
        raise ValueError(message)
    transform = grid.new_zeros([side] * (ndim - 1) + [side // 2 + 1])
    low = radius if 2 * radius < side else radius - 1  # the Nyquist row of an even side is +side/2
    inner = grid[(slice(1, -1),) * (ndim - 1) + (slice(0, -1),)]
    for part in range(2 ** (ndim - 1)):
        source: list[slice] = []
        target: list[slice] = []
        for axis in range(ndim - 1):
            if part >> axis & 1:
                source.append(slice(radius - low, radius))
                target.append(slice(side - low, side))
            else:
                source.append(slice(radius, 2 * radius + 1))
                target.append(slice(0, radius + 1))
        transform[(*target, slice(0, radius + 1))] = inner[tuple(source)]
    return transform


def radius_squared(grid: Tensor) -> Int64[Tensor, "*grid"]:
    """Return the squared distance of each grid point from the origin, in grid steps."""
    centre = grid.shape[-1] - 1
    slow = torch.arange(-centre, centre + 1, device=grid.device) ** 2
    total = torch.arange(centre + 1, device=grid.device) ** 2
    for axis in range(1, grid.ndim):
        total = slow.reshape([-1] + [1] * axis) + total
    return total


def shell_of(grid: Tensor, padding: float, *, floor: bool = False) -> Int64[Tensor, "*grid"]:
    """Return the shell of each grid point: its radius over the padding factor, rounded.

    Parameters
    ----------
    grid
        Any array of the shape of a grid.
    padding
        Grid steps per shell.
    floor
        Round down instead of to the nearest (as the floor of the weights does).
    """
    radius = radius_squared(grid).to(torch.float64).sqrt() / padding
    return (radius.floor() if floor else radius.round()).to(torch.int64)


def shell_mean(
    values: Float[Tensor, "*grid"], shells: Int64[Tensor, "*grid"], n_shells: int
) -> Float[Tensor, " s"]:
    """Average the points of each shell inside the grid's sphere; 0 where there are none.

    Returns
    -------
    Tensor
        float64.
    """
    inside = (radius_squared(values) <= (values.shape[-1] - 2) ** 2) & (shells < n_shells)
    index = shells[inside]
    sums = torch.zeros(n_shells, dtype=torch.float64, device=values.device)
    sums.index_add_(0, index, values[inside].to(torch.float64))
    counts = torch.bincount(index, minlength=n_shells)
    return sums / counts.clamp(min=1)


def fold_friedel_(grid: Float[Tensor, "*grid v"]) -> None:
    """Add to each point of the plane x = 0 the conjugate of its Friedel mate (in place).

    Parameters
    ----------
    grid
        Real part, imaginary part and weight (and one number unused) along the last axis.
    """
    plane = grid[..., 0, :]
    mate = plane.flip(list(range(plane.ndim - 1)))
    sign = torch.ones(grid.shape[-1], dtype=grid.dtype, device=grid.device)
    sign[1] = -1
    centre = tuple(side // 2 for side in plane.shape[:-1])
    origin = plane[centre].clone()
    plane += mate.clone() * sign
    plane[centre] = origin * (sign > 0)
