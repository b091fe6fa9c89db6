"""Gather and insert of central slices on CUDA, in Triton; `reference` says what they compute.

Each program takes one block of pixels of one slice. Insertion adds with atomics, so that the last
digits of its sums depend on the order in which blocks happen to run.
"""

# Triton gives the values inside a kernel no types that Python could name.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.kernels.reference import limit_radius
from vitreous.engine.kernels.triton_kernel import kernel

_BLOCK = 256


def gather(
    grid: Complex[Tensor, "*grid"],
    planes: Float[Tensor, "n c m"],
    size: int,
    image_radius: int,
    grid_radius: float,
) -> Complex[Tensor, "n y xh"]:
    """Interpolate slices from a grid; see `reference.gather`."""
    slices = torch.zeros(len(planes), size, size // 2 + 1, 2, device=grid.device)
    if len(planes):
        limit = limit_radius(grid_radius, grid.shape[-1])
        _gather[_programs(planes, size)](
            torch.view_as_real(grid.resolve_conj().contiguous()),
            planes.contiguous(),
            slices,
            size,
            image_radius**2,
            limit**2,
            grid.shape[-1],
            CURVED=planes.shape[-1] == 3,
            BLOCK=_BLOCK,
        )
    return torch.view_as_complex(slices)


def insert_(
    grid: Float[Tensor, "*grid 4"],
    planes: Float[Tensor, "n c m"],
    values: Complex[Tensor, "n y xh"],
    weights: Float[Tensor, "n y xh"],
    image_radius: int,
    grid_radius: float,
    *,
    every: bool = False,
) -> None:
    """Add slices and weights to a grid; see `reference.insert_`.

    With `every` also the redundant pixels, as the gradient of `gather` needs.
    """
    if not len(planes):
        return
    size = values.shape[-2]
    limit = limit_radius(grid_radius, grid.shape[-2])
    _insert[_programs(planes, size)](
        grid,
        planes.contiguous(),
        torch.view_as_real(values.resolve_conj().contiguous()),
        weights.contiguous(),
        size,
        image_radius**2,
        limit**2,
        grid.shape[-2],
        CURVED=planes.shape[-1] == 3,
        EVERY=every,
        BLOCK=_BLOCK,
    )


def _programs(planes: Tensor, size: int) -> tuple[int, int]:
    return len(planes), triton.cdiv(size * (size // 2 + 1), _BLOCK)


@kernel
def _coordinate(row, kx, ky, CURVED: tl.constexpr):
    """Return one component of the grid points of pixels from its row of a plane's matrix."""
    at = kx * tl.load(row) + ky * tl.load(row + 1)
    if CURVED:
        at += (kx * kx + ky * ky) * tl.load(row + 2)
    return at


@kernel
def _locate(planes, size, radius2, limit2, width, CURVED: tl.constexpr, BLOCK: tl.constexpr):
    """Return where the pixels of this program are, in the stack and in the grid."""
    image = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    half = size // 2 + 1
    row = pixel // half
    kx_int = pixel - row * half
    ky_int = tl.where(row > size // 2, row - size, row)
    inside = (row < size) & (kx_int * kx_int + ky_int * ky_int <= radius2)
    kx, ky = kx_int.to(tl.float32), ky_int.to(tl.float32)
    columns: tl.constexpr = 3 if CURVED else 2
    plane = planes + image * 3 * columns
    x = _coordinate(plane, kx, ky, CURVED)
    y = _coordinate(plane + columns, kx, ky, CURVED)
    z = _coordinate(plane + 2 * columns, kx, ky, CURVED)
    inside = inside & (x * x + y * y + z * z <= limit2)
    sign = tl.where(x < 0, -1.0, 1.0)
    # What is outside is moved to the origin, where reading does no harm.
    centre = width - 1
    x = tl.where(inside, sign * x, 0.0)
    y = tl.where(inside, sign * y, 0.0) + centre
    z = tl.where(inside, sign * z, 0.0) + centre
    ix, iy, iz = x.to(tl.int32), y.to(tl.int32), z.to(tl.int32)
    corner = (iz.to(tl.int64) * (2 * width - 1) + iy) * width + ix
    redundant = (kx_int == 0) & (ky_int < 0)
    return image * size * half + pixel, inside, redundant, sign, corner, x - ix, y - iy, z - iz


@kernel
def _share(step: tl.constexpr, fraction):
    """Return the weight of the lower (0) or upper (1) neighbour."""
    return fraction if step == 1 else 1.0 - fraction


@kernel
def _gather(
    grid, planes, slices, size, radius2, limit2, width, CURVED: tl.constexpr, BLOCK: tl.constexpr
):
    pixel, inside, _, sign, corner, fx, fy, fz = _locate(
        planes, size, radius2, limit2, width, CURVED, BLOCK
    )
    real = tl.zeros([BLOCK], tl.float32)
    imaginary = tl.zeros([BLOCK], tl.float32)
    for step in tl.static_range(8):
        share = _share(step & 1, fx) * _share(step >> 1 & 1, fy) * _share(step >> 2, fz)
        at = corner + ((step >> 2) * (2 * width - 1) + (step >> 1 & 1)) * width + (step & 1)
        real += share * tl.load(grid + 2 * at, mask=inside, other=0.0)
        imaginary += share * tl.load(grid + 2 * at + 1, mask=inside, other=0.0)
    tl.store(slices + 2 * pixel, real, mask=inside)
    tl.store(slices + 2 * pixel + 1, sign * imaginary, mask=inside)


@kernel
def _insert(
    grid,
    planes,
    values,
    weights,
    size,
    radius2,
    limit2,
    width,
    CURVED: tl.constexpr,
    EVERY: tl.constexpr,
    BLOCK: tl.constexpr,
):
    pixel, used, redundant, sign, corner, fx, fy, fz = _locate(
        planes, size, radius2, limit2, width, CURVED, BLOCK
    )
    if not EVERY:
        used = used & (redundant == 0)
    weight = tl.load(weights + pixel, mask=used, other=0.0)
    used = used & (weight > 0)
    real = tl.load(values + 2 * pixel, mask=used, other=0.0)
    imaginary = sign * tl.load(values + 2 * pixel + 1, mask=used, other=0.0)
    for step in tl.static_range(8):
        share = _share(step & 1, fx) * _share(step >> 1 & 1, fy) * _share(step >> 2, fz)
        at = corner + ((step >> 2) * (2 * width - 1) + (step >> 1 & 1)) * width + (step & 1)
        tl.atomic_add(grid + 4 * at, share * real, mask=used)
        tl.atomic_add(grid + 4 * at + 1, share * imaginary, mask=used)
        tl.atomic_add(grid + 4 * at + 2, share * weight, mask=used)
