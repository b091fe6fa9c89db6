"""Choose the version of the kernels for movie frames that suits the tensors.

float32 on the CPU goes to the compiled ones; everything else (CUDA, float64, no compiler at build
time) to the plain-torch reference. Both have the same signatures.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.kernels import motion_reference


@cache
def compiled() -> ModuleType | None:
    """Return the compiled kernels, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._motion") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._motion")


def warp(
    frame: Float[Tensor, "y x"],
    field_px: Float[Tensor, "2 6"],
    *,
    cubic: bool = True,
    out: Float[Tensor, "y x"] | None = None,
) -> Float[Tensor, "y x"]:
    """Sample a frame at X - s(X); see `motion_reference.warp`. `out` may take the result."""
    kernels = _kernels(frame)
    if kernels is None:
        return motion_reference.warp(frame, field_px, cubic=cubic)
    result = torch.empty_like(frame) if out is None else out
    field = field_px.to(torch.float32).contiguous()
    kernels.warp(frame, field, cubic, result, torch.get_num_threads())
    return result


def add_(
    wave: Complex[Tensor, "y xh"],
    decay: Float[Tensor, "y xh"] | None,
    dose: float,
    weighted: Complex[Tensor, "y xh"] | None,
    plain: Complex[Tensor, "y xh"] | None,
    group: Complex[Tensor, "y xh"] | None,
) -> None:
    """Add the transform of a frame to sums; see `motion_reference.add_`."""
    kernels = _kernels(wave)
    if kernels is None:
        motion_reference.add_(wave, decay, dose, weighted, plain, group)
        return
    sums = [None if total is None else torch.view_as_real(total)
            for total in (weighted, plain, group)]  # fmt: skip
    rate = wave.real.new_zeros(0, 0) if decay is None else decay
    kernels.add(torch.view_as_real(wave), rate, dose, *sums, torch.get_num_threads())


def add_modulus_(wave: Complex[Tensor, "y xh"], total: Float[Tensor, "y xh"]) -> None:
    """Add the modulus of `wave` to `total` and set `wave` to zero."""
    kernels = _kernels(wave)
    if kernels is None:
        motion_reference.add_modulus_(wave, total)
        return
    kernels.add_modulus(torch.view_as_real(wave), total, torch.get_num_threads())


def _kernels(tensor: Tensor) -> ModuleType | None:
    """Return the compiled kernels where they can take this tensor."""
    fitting = (
        tensor.device.type == "cpu"
        and tensor.dtype in {torch.float32, torch.complex64}
        and tensor.is_contiguous()
    )
    return compiled() if fitting else None
