"""Half-stored Fourier grids with their origin in the middle: what slices are taken from.

The grid of radius R holds the frequencies ``|k| <= R`` of a transform, for ``x >= 0``, with one
more plane on every side so that interpolation never looks outside: ``grid[z + c, y + c, x]`` with
``c = R + 1``. It is the one place besides `fourier` that knows both orders of frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import fourier

_IN_CACHE = 2**17  # numbers worked on at a time
_HAIR = 1e-4  # more than the rounding of a radius, less than half the gap to the next one


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
    _require_room(radius, side)
    rows = torch.arange(-radius, radius + 1, device=transform.device) % side
    kept = transform[..., : radius + 1]
    for axis in range(ndim - 1):
        kept = kept.index_select(axis, rows)
    grid = transform.new_zeros([2 * radius + 3] * (ndim - 1) + [radius + 2])
    inner = (slice(1, -1),) * (ndim - 1) + (slice(0, -1),)
    grid[inner] = kept
    return grid * (radius_of(grid) <= radius + _HAIR)


def uncentred(grid: Complex[Tensor, "*grid"], side: int) -> Complex[Tensor, "*half"]:
    """Undo `centred`: put a grid into the half transform of an array of the given side."""
    ndim, radius = grid.ndim, grid.shape[-1] - 2
    _require_room(radius, side)
    transform = grid[(slice(1, -1),) * (ndim - 1) + (slice(0, -1),)]
    for axis in range(ndim - 1):
        transform = _in_fft_order(transform, axis, side)
    return torch.nn.functional.pad(transform, (0, side // 2 - radius))


def from_real(
    array: Float[Tensor, "*zyx"], side: int, radius: int, factor: float = 1.0
) -> Complex[Tensor, "*grid"]:
    """Pad an array with zeros, transform it, and cut the sphere of frequencies out.

    The same as `centred` after `fourier.forward`, without arrays of the padded size: one axis
    after the other is padded, transformed and cropped, a few planes at a time.

    Parameters
    ----------
    array
        ``z y x`` or ``y x``, centred at ``size // 2``.
    side
        Side of the padded box.
    radius
        Largest frequency kept, in grid steps.
    factor
        Multiplies the result.
    """
    ndim, size = array.ndim, array.shape[-1]
    _require_room(radius, side)
    sides = [size] * (ndim - 2) + [2 * radius + 1, radius + 1]
    planes = array.new_empty(sides, dtype=array.dtype.to_complex())
    for some in _planes_of(array, side):
        fast = fourier.forward_axis(array[some], -1, side)[..., : radius + 1]
        _put_centred_(planes[some], fourier.forward_axis(fast, -2, side), -2)
    grid = planes.new_zeros([2 * radius + 3] * (ndim - 1) + [radius + 2])
    inner = grid[(slice(1, -1),) * (ndim - 1) + (slice(0, -1),)]
    for rows in rows_of(inner):
        within = (radius_of(inner, rows) <= radius + _HAIR) * (factor / side**ndim)
        if ndim == 3:
            _put_centred_(inner[:, rows], fourier.forward_axis(planes[:, rows], 0, side), 0)
        else:
            inner.copy_(planes)
        inner[..., rows, :] *= within
    return grid


def to_real(
    grid: Tensor, read: Callable[[slice], Complex[Tensor, "*rows"]], side: int, size: int
) -> Float[Tensor, "*zyx"]:
    """Return the centre of the array whose half transform is a grid: undo `from_real`.

    Parameters
    ----------
    grid
        Gives the shape (``z y xh`` or ``y xh``), precision and device.
    read
        Returns some rows of the values, ``z rows xh`` (or all of ``y xh``); what lies outside
        the sphere counts as zero.
    side
        Side of the padded box.
    size
        Side of the array returned, centred at ``size // 2``.
    """
    ndim, radius = grid.ndim, grid.shape[-1] - 2
    _require_room(radius, side)
    real = grid.dtype.to_real()
    inner = grid[(slice(1, -1),) * (ndim - 1) + (slice(0, -1),)]
    planes = grid.new_empty([size] * (ndim - 2) + list(inner.shape[-2:]), dtype=real.to_complex())
    for rows in rows_of(inner):
        outer = slice(rows.start + 1, rows.stop + 1)
        values = read(outer)[(slice(1, -1),) * (ndim - 2) + (slice(None), slice(0, -1))]
        values = values * (radius_of(inner, rows) <= radius + _HAIR)
        if ndim == 3:
            values = fourier.inverse_axis(_in_fft_order(values, 0, side), 0, size)
        planes[..., rows, :] = values
    array = grid.new_empty([size] * ndim, dtype=real)
    for some in _planes_of(array, side):
        part = fourier.inverse_axis(_in_fft_order(planes[some], -2, side), -2, size)
        part = torch.nn.functional.pad(part, (0, side // 2 - radius))
        array[some] = fourier.inverse_axis(part, -1, size, real_side=side)
    return array


def rows_of(grid: Tensor) -> Iterator[slice]:
    """Yield slices along the second-last axis that are worked on one after the other.

    Arrays as large as a grid cost more in fetching memory than in arithmetic; a few rows of a
    volume (all of an image) stay in the cache.
    """
    n = grid.shape[-2]
    step = n if grid.ndim == 2 else max(1, _IN_CACHE // (grid.shape[0] * grid.shape[-1]))
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def radius_of(grid: Tensor, rows: slice | None = None) -> Float[Tensor, "*rows"]:
    """Return the distance of grid points from the origin, in grid steps, as float32.

    Parameters
    ----------
    grid
        Any array of the shape of a grid, with or without its margin of one plane.
    rows
        Only these along the second-last axis.
    """
    ndim, centre = grid.ndim, grid.shape[-1] - 1
    slow = torch.arange(-centre, centre + 1, device=grid.device, dtype=torch.float32) ** 2
    total = torch.arange(centre + 1, device=grid.device, dtype=torch.float32) ** 2
    total = slow[slice(None) if rows is None else rows, None] + total
    if ndim == 3:
        total = slow[:, None, None] + total
    return total.sqrt()


def shell_of(
    grid: Tensor, padding: float, rows: slice | None = None, *, floor: bool = False
) -> Int64[Tensor, "*rows"]:
    """Return the shell of grid points: their radius over the padding factor, rounded (halves up).

    Parameters
    ----------
    grid
        Any array of the shape of a grid.
    padding
        Grid steps per shell.
    rows
        Only these along the second-last axis.
    floor
        Round down instead of to the nearest (as the floor of the weights does).
    """
    radius = radius_of(grid, rows) / padding
    return (radius if floor else radius.add_(0.5)).floor_().to(torch.int64)


def shell_mean(
    values: Float[Tensor, "*grid"], padding: float, n_shells: int, *, floor: bool = False
) -> Float[Tensor, " s"]:
    """Average the points of each shell inside the grid's sphere; 0 where there are none.

    Parameters
    ----------
    values
        A grid.
    padding, floor
        As for `shell_of`.
    n_shells
        Shells wanted.

    Returns
    -------
    Tensor
        float64.
    """
    sums = torch.zeros(n_shells + 1, dtype=torch.float64, device=values.device)
    counts = torch.zeros_like(sums)
    for rows in rows_of(values):
        shells = shell_of(values, padding, rows, floor=floor).clamp_(max=n_shells)
        outside = radius_of(values, rows) > values.shape[-1] - 2 + _HAIR
        index = shells.masked_fill_(outside, n_shells).flatten()
        weights = values[..., rows, :].to(torch.float64).flatten()
        sums += torch.bincount(index, weights, minlength=n_shells + 1)
        counts += torch.bincount(index, minlength=n_shells + 1)
    return (sums / counts.clamp(min=1))[:-1]


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


def _in_fft_order(values: Tensor, axis: int, side: int) -> Tensor:
    """Turn planes ``-R ... R`` along an axis into ``0, 1, ..., -1`` of an array of `side`."""
    radius = values.shape[axis] // 2
    low = radius if 2 * radius < side else radius - 1  # the Nyquist row of an even side is +side/2
    shape = list(values.shape)
    shape[axis] = side - radius - 1 - low
    positive = values.narrow(axis, radius, radius + 1)
    return torch.cat(
        [positive, values.new_zeros(shape), values.narrow(axis, radius - low, low)], axis
    )


def _put_centred_(target: Tensor, values: Tensor, axis: int) -> None:
    """Copy frequencies in FFT order along an axis to planes ``-R ... R``."""
    radius, side = target.shape[axis] // 2, values.shape[axis]
    target.narrow(axis, 0, radius).copy_(values.narrow(axis, side - radius, radius))
    target.narrow(axis, radius, radius + 1).copy_(values.narrow(axis, 0, radius + 1))


def _planes_of(array: Tensor, side: int) -> Iterator[slice]:
    """Yield slices along the first axis of a volume, or all of an image."""
    if array.ndim == 2:
        yield slice(None)
        return
    step = max(1, 2 * _IN_CACHE // side**2)
    for start in range(0, array.shape[0], step):
        yield slice(start, start + step)


def _require_room(radius: int, side: int) -> None:
    if radius > side // 2:
        message = f"a grid of radius {radius} goes beyond the Nyquist frequency of side {side}"
        raise ValueError(message)
