"""Gather and insert of central slices in plain torch: the reference for every fast version.

The grid holds the half ``x >= 0`` of a Fourier transform with its origin in the middle of the
slow axes: ``grid[z + c, y + c, x]`` with ``c = width - 1`` and slow sides ``2 c + 1``. A slice maps
image frequencies (kx, ky) to grid coordinates by a matrix of two columns, ``planes @ (kx, ky)``,
components in the order x y (z). A third column makes the slice a paraboloid, as the Ewald sphere
bends it: it is multiplied by ``kx^2 + ky^2``. Grid and slice may be three- and two-dimensional
or both two-dimensional (section 7.1 and 7.2 of refinement.md); the code does not differ.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor


def gather(
    grid: Complex[Tensor, "*grid"],
    planes: Float[Tensor, "n c m"],
    size: int,
    image_radius: int,
    grid_radius: float,
) -> Complex[Tensor, "n y xh"]:
    """Interpolate slices linearly from a grid.

    Parameters
    ----------
    grid
        ``z y xh`` or ``y xh``, origin in the middle (module docstring).
    planes
        Grid coordinates (x y z) of the unit steps along kx and ky and, for paraboloids, what
        ``kx^2 + ky^2`` is multiplied by, at right angles to both.
    size
        Side of the slices in pixels.
    image_radius
        Pixels with ``kx^2 + ky^2`` above its square are zero.
    grid_radius
        Points of the grid farther out than this are zero, in grid steps.

    Returns
    -------
    Tensor
        Half transforms in FFT order, origin at index 0.
    """
    index, weight, conjugate, inside = _corners(grid, planes, size, image_radius, grid_radius)
    values = (grid.reshape(-1)[index] * weight).sum(0)
    values = torch.where(conjugate, values.conj(), values)
    return torch.where(inside, values, torch.zeros_like(values))


def insert_(
    grid: Float[Tensor, "*grid v"],
    planes: Float[Tensor, "n c m"],
    values: Complex[Tensor, "n y xh"],
    weights: Float[Tensor, "n y xh"],
    image_radius: int,
    grid_radius: float,
) -> None:
    """Add slices and their weights to a grid: the exact adjoint of `gather`.

    The redundant pixels (kx = 0, ky < 0) and pixels without positive weight are left out.

    Parameters
    ----------
    grid
        ``z y xh 4`` or ``y xh 4``: real part, imaginary part, weight, unused. Changed in place.
    planes, image_radius, grid_radius
        As for `gather`.
    values, weights
        Half transforms in FFT order, added as they are (not multiplied with each other).
    """
    size = values.shape[-2]
    half = grid[..., 0]
    index, weight, conjugate, inside = _corners(half, planes, size, image_radius, grid_radius)
    ky = frequencies(size, grid.device)[:, None]
    first_column = torch.arange(values.shape[-1], device=grid.device) == 0
    used = inside & (weights > 0) & ~(first_column & (ky < 0))
    values = torch.where(conjugate, values.conj(), values)
    pixels = torch.stack(
        [values.real, values.imag, weights, torch.zeros_like(weights)], -1
    ) * used.unsqueeze(-1)
    flat = grid.view(-1, 4)
    for corner, share in zip(index, weight, strict=True):
        flat.index_add_(0, corner.reshape(-1), (pixels * share.unsqueeze(-1)).reshape(-1, 4))


def frequencies(size: int, device: torch.device) -> Int64[Tensor, " y"]:
    """Return ky of each row: 0 ... size // 2, then the negative ones."""
    ky = torch.arange(size, device=device)
    return torch.where(ky > size // 2, ky - size, ky)


def _corners(
    grid: Tensor, planes: Tensor, size: int, image_radius: int, grid_radius: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return flat indices and weights of the 2^d grid points around each pixel, and two masks."""
    ky = frequencies(size, planes.device)[:, None].to(planes.dtype)
    kx = torch.arange(size // 2 + 1, device=planes.device).to(planes.dtype)
    columns = planes[:, :, None, None, :]
    points = kx * columns[..., 0] + ky * columns[..., 1]  # n c y xh
    if planes.shape[-1] == 3:
        points = points + (kx**2 + ky**2) * columns[..., 2]
    inside = (kx**2 + ky**2 <= image_radius**2) & (
        (points**2).sum(1) <= limit_radius(grid_radius, grid.shape[-1]) ** 2
    )
    conjugate = points[:, 0] < 0
    points = torch.where(conjugate.unsqueeze(1), -points, points)
    origin = torch.tensor([0] + [grid.shape[-1] - 1] * (grid.ndim - 1), device=planes.device)
    points = points * inside.unsqueeze(1) + origin[:, None, None]
    lower = points.floor()
    fraction = points - lower
    corner = lower.long()
    strides = torch.tensor(list(reversed(grid.stride())), device=planes.device)
    strides = torch.div(strides, grid.stride(-1), rounding_mode="floor")
    base = (corner * strides[:, None, None]).sum(1)
    indices, weights = [], []
    for offset in itertools.product((0, 1), repeat=grid.ndim):
        step = torch.tensor(offset, device=planes.device)
        share = torch.where(step[:, None, None] == 1, fraction, 1 - fraction).prod(1)
        indices.append(base + (step * strides).sum())
        weights.append(share)
    return torch.stack(indices), torch.stack(weights), conjugate, inside


def limit_radius(grid_radius: float, width: int) -> float:
    """Return the radius actually used: a hair above the one asked for, inside the grid.

    The hair keeps pixels that lie on the sphere up to rounding, whatever the order of the sums.
    """
    return min(grid_radius * (1 + 1e-5), width - 2 + 0.999)
