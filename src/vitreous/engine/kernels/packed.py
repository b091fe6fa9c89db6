"""Slices in packed rows (`refinement.disc`): taken from a grid, and inserted into it.

The compiled kernels take float32 tensors of the CPU, Triton those of a graphics card; everything
else goes to the plain-torch reference, which has the same signatures.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float, Int16
from torch import Tensor

from vitreous.engine.kernels import reference_poses
from vitreous.engine.kernels.pose_records import Source
from vitreous.engine.kernels.reference import limit_radius
from vitreous.engine.kernels.slices import card_version, compiled, needed, on_card

_LARGEST_HALF = 2.0**15


def gather_packed(
    volume: Complex[Tensor, "z y xh"],
    planes: Float[Tensor, "r 3 2"],
    radius: int,
    grid_radius: float,
    n_numbers: int,
    *,
    tight: bool = False,
) -> Float[Tensor, "r m 2"]:
    """Slice a volume into packed rows, with padding or (`tight`) without padding and twins."""
    if on_card(volume):
        found: Tensor = card_version().gather_packed(
            volume, planes, radius, grid_radius, tight=tight
        )
        return found
    if not is_fast(volume, planes):
        return reference_poses.gather_packed(volume, planes, radius, grid_radius, tight=tight)
    module = needed(compiled())
    make = torch.empty if tight else torch.zeros
    out = make(len(planes), n_numbers, 2)
    if tight and (limit_radius(grid_radius, volume.shape[-1]) < 1.01 * _reach(planes, radius)):
        out.zero_()
    module.gather_packed(
        torch.view_as_real(volume), planes.contiguous(), out, radius,
        limit_radius(grid_radius, volume.shape[-1]) ** 2, tight, torch.get_num_threads(),
    )  # fmt: skip
    return out


def has_corners() -> bool:
    """Tell whether the compiled kernels can slice volumes in half precision on this machine."""
    module = compiled()
    return module is not None and bool(module.has_corners())


def with_corners(volume: Complex[Tensor, "z y xh"]) -> tuple[Int16[Tensor, " h"], float]:
    """Return a volume that keeps with every point its neighbours in y and z, in half precision.

    A slice reads one stretch of 32 bytes for each pixel then, which takes half of the time.

    Parameters
    ----------
    volume
        Complex64, on the CPU; `has_corners` must hold.

    Returns
    -------
    tuple
        Bits of half-precision numbers, eight for each point, and what the numbers are to be
        multiplied by, a power of two.
    """
    parts = torch.view_as_real(volume)
    low, high = torch.aminmax(parts)
    largest = max(-float(low), float(high), 1e-30)
    power = math.floor(math.log2(_LARGEST_HALF / largest))
    out = torch.empty(8 * (volume.numel() + 1), dtype=torch.int16)
    needed(compiled()).pack_corners(parts, out, 2.0**power, torch.get_num_threads())
    return out, 2.0**-power


def gather_lines(
    volume: Complex[Tensor, "*grid"],
    steps: Float[Tensor, "n c"],
    n_samples: int,
    grid_radius: float,
) -> Complex[Tensor, "n q"]:
    """Sample a volume or an image along lines from its origin.

    Parameters
    ----------
    steps
        Grid coordinates x y (z) of the first sample after the origin; sample q lies q times as far.
    """
    if volume.ndim != 3 or not is_fast(volume, steps):
        return reference_poses.gather_lines(volume, steps, n_samples, grid_radius)
    planes = torch.stack([steps, torch.zeros_like(steps)], -1)
    out = torch.zeros(len(steps), n_samples, 2)
    needed(compiled()).gather_lines(
        torch.view_as_real(volume), planes.contiguous(), out,
        limit_radius(grid_radius, volume.shape[-1]) ** 2, torch.get_num_threads(),
    )  # fmt: skip
    return torch.view_as_complex(out)


def insert_packed_(
    grid: Float[Tensor, "z y xh 4"],
    planes: Float[Tensor, "r 3 2"],
    values: Float[Tensor, "r m 2"],
    weights: Float[Tensor, "r m"],
    radius: int,
    grid_radius: float,
) -> None:
    """Add packed slices and weights to a grid; the adjoint of `gather_packed`."""
    if on_card(grid):
        card_version().insert_packed_(grid, planes, values, weights, radius, grid_radius)
        return
    if not is_fast(grid, planes):
        reference_poses.insert_packed_(grid, planes, values, weights, radius, grid_radius)
        return
    needed(compiled()).insert_packed(
        grid, planes.contiguous(), values, weights, radius,
        limit_radius(grid_radius, grid.shape[-2]) ** 2, torch.get_num_threads(),
    )  # fmt: skip


def is_fast(*tensors: Tensor) -> bool:
    """Tell whether the compiled kernels can take these."""
    return compiled() is not None and all(
        t.device.type == "cpu" and t.dtype in {torch.float32, torch.complex64} and t.is_contiguous()
        for t in tensors
    )


def _reach(planes: Tensor, radius: int) -> float:
    """Return how far from the origin of the grid a slice may reach."""
    return radius * float(planes.square().sum((1, 2)).max().sqrt()) if len(planes) else 0.0


def is_compiled(source: Source, image: Tensor) -> bool:
    """Tell whether the compiled kernels can take images like this one with a source."""
    sliced = bool(source.volumes) and source.volumes[0].ndim == 3
    return is_fast(image, source.planes) and (source.table is not None or sliced)


def for_kernel(
    source: Source,
) -> tuple[int, float, list[Tensor], list[tuple[Tensor, float]], Tensor | None, Tensor, Tensor]:
    """Return what the compiled kernels want to know of a source."""
    limit2, volumes = 1e30, list[Tensor]()
    if source.volumes:
        limit2 = float(limit_radius(source.grid_radius, source.volumes[0].shape[-1]) ** 2)
    if source.table is None:
        volumes = [torch.view_as_real(volume) for volume in source.volumes]
    return (
        source.radius, limit2, volumes, list(source.corners), source.table, source.planes,
        source.classes,
    )  # fmt: skip
