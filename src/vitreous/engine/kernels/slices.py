"""Choose the version of gather and insert that suits the tensors.

float32 on the CPU goes to the compiled kernels, CUDA to Triton, everything else (float64, no
compiler at build time, other devices) to the plain-torch reference. All have its signature.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.kernels import reference
from vitreous.engine.kernels.reference import limit_radius
from vitreous.errors import EnvironmentMissing


def compiled() -> ModuleType | None:
    """Return the compiled CPU kernels, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._cpu") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._cpu")


def triton_version() -> ModuleType | None:
    """Return the kernels for CUDA, or None where Triton is not installed."""
    if importlib.util.find_spec("triton") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels.triton_slices")


def card_version() -> ModuleType:
    """Return the kernels that score and sum poses on a graphics card."""
    if importlib.util.find_spec("triton") is None:
        raise EnvironmentMissing(
            "Refining on a graphics card needs Triton, which comes with CUDA builds of torch: "
            "`pip install triton`, or switch the cards off (use_gpu=No)."
        )
    return importlib.import_module("vitreous.engine.kernels.triton_poses")


def on_card(tensor: Tensor) -> bool:
    """Tell whether a tensor lives on a graphics card that Triton computes on."""
    return tensor.device.type == "cuda" and tensor.dtype in {torch.float32, torch.complex64}


def gather(
    grid: Complex[Tensor, "*grid"],
    planes: Float[Tensor, "n c m"],
    size: int,
    image_radius: int,
    grid_radius: float,
) -> Complex[Tensor, "n y xh"]:
    """Interpolate slices from a grid; see `reference.gather`. Differentiable in the grid."""
    if not _is_fast(grid, planes):
        return reference.gather(grid, planes, size, image_radius, grid_radius)
    slices: Tensor = _Gather.apply(  # type: ignore[no-untyped-call] # torch leaves it untyped
        grid, planes, size, image_radius, grid_radius
    )
    return slices


def insert_(
    grid: Float[Tensor, "*grid v"],
    planes: Float[Tensor, "n c m"],
    values: Complex[Tensor, "n y xh"],
    weights: Float[Tensor, "n y xh"],
    image_radius: int,
    grid_radius: float,
) -> None:
    """Add slices and weights to a grid; see `reference.insert_`."""
    if not (_is_fast(grid, planes) and values.dtype == torch.complex64):
        reference.insert_(grid, planes, values, weights, image_radius, grid_radius)
        return
    _insert_compiled_(grid, planes, values, weights, (image_radius, grid_radius), every=False)


def many(grid: Tensor, size: int) -> int:
    """Return how many slices to take or insert at once: one passage through a large grid pays.

    Parameters
    ----------
    grid
        Of complex numbers, or of four numbers a point.
    size
        Side of the slices.
    """
    bytes_fetched = 128 if grid.is_complex() else 256  # per pixel, by slices one after the other
    points = math.pi / 8 * size**2
    return math.ceil(3 * grid.nbytes / (bytes_fetched * max(1.0, points)))


def _is_fast(grid: Tensor, planes: Tensor) -> bool:
    """Tell whether a compiled version can take these tensors."""
    return (
        grid.dtype in {torch.complex64, torch.float32}
        and grid.is_contiguous()
        and planes.shape[1] == 3
        and planes.dtype == torch.float32
        and not planes.requires_grad
        and (
            compiled() is not None
            if grid.device.type == "cpu"
            else grid.device.type == "cuda" and triton_version() is not None
        )
    )


def _insert_compiled_(
    grid: Tensor,
    planes: Tensor,
    values: Tensor,
    weights: Tensor,
    limits: tuple[int, float],
    *,
    every: bool,
) -> None:
    """Insert; with `every` also the redundant pixels that `insert_` leaves out."""
    image_radius, grid_radius = limits
    if grid.device.type != "cpu":
        needed(triton_version()).insert_(
            grid, planes, values, weights, image_radius, grid_radius, every=every
        )
        return
    needed(compiled()).insert(
        grid,
        planes.contiguous(),
        torch.view_as_real(values.resolve_conj().contiguous()),
        weights.contiguous(),
        image_radius,
        limit_radius(grid_radius, grid.shape[-2]) ** 2,
        every,
        torch.get_num_threads(),
    )


def _gather_compiled(
    grid: Tensor, planes: Tensor, size: int, image_radius: int, grid_radius: float
) -> Tensor:
    if grid.device.type != "cpu":
        found: Tensor = needed(triton_version()).gather(
            grid, planes, size, image_radius, grid_radius
        )
        return found
    out = torch.zeros(len(planes), size, size // 2 + 1, dtype=torch.complex64)
    needed(compiled()).gather(
        torch.view_as_real(grid.resolve_conj()),
        planes,
        torch.view_as_real(out),
        image_radius,
        limit_radius(grid_radius, grid.shape[-1]) ** 2,
        torch.get_num_threads(),
    )
    return out


def needed(module: ModuleType | None) -> ModuleType:
    """Return the module, or tell how to get it."""
    if module is None:
        message = "the compiled kernels are missing: reinstall vitreous with a C++ compiler"
        raise EnvironmentMissing(message)
    return module


class _Gather(torch.autograd.Function):
    """The compiled gather, with the compiled insert as its adjoint."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch gives its context no public type
        grid: Tensor,
        planes: Tensor,
        size: int,
        image_radius: int,
        grid_radius: float,
    ) -> Tensor:
        planes = planes.contiguous()
        out = _gather_compiled(grid.detach(), planes, size, image_radius, grid_radius)
        ctx.save_for_backward(planes)
        ctx.shape, ctx.limits = grid.shape, (image_radius, grid_radius)
        return out

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401 - torch gives its context no public type
        slices: Tensor,
    ) -> tuple[Tensor | None, ...]:
        (planes,) = ctx.saved_tensors
        grid = torch.zeros(*ctx.shape, 4, device=slices.device)
        weights = torch.ones(slices.shape, device=slices.device)
        _insert_compiled_(grid, planes, slices, weights, ctx.limits, every=True)
        gradient = torch.view_as_complex(grid[..., :2].contiguous())
        return gradient, None, None, None, None
