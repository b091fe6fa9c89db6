"""Choose the version of the kernels for movie frames that suits the tensors.

float32 on the CPU goes to the compiled ones; everything else (CUDA, float64, no compiler at build
time) to the plain-torch reference. Both have the same signatures.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from vitreous.engine.kernels import motion_reference

_WHOLE = {np.dtype(name) for name in ("u1", "i1", "u2", "i2", "i4")}
_COUNTS = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.float32}


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


def add_moved_(
    waves: Complex[Tensor, "f y xh"],
    along_y: Complex[Tensor, "f y"],
    along_x: Complex[Tensor, "f xh"],
    total: Complex[Tensor, "y xh"],
) -> None:
    """Add frames to `total`, each moved by phases; see `motion_reference.add_moved_`."""
    kernels = _kernels(waves)
    if kernels is None:
        motion_reference.add_moved_(waves, along_y, along_x, total)
        return
    real = (torch.view_as_real(part.contiguous()) for part in (waves, along_y, along_x))
    kernels.add_moved(*real, torch.view_as_real(total), torch.get_num_threads())


def correlate(
    waves: Complex[Tensor, "f y xh"],
    reference: Complex[Tensor, "y xh"],
    rows: Complex[Tensor, "f w y"],
) -> Complex[Tensor, "f w xh"]:
    """Multiply frames with a reference and sum over y; see `motion_reference.correlate`."""
    kernels = _kernels(waves)
    if kernels is None:
        return motion_reference.correlate(waves, reference, rows)
    n_frames, n_steps = rows.shape[:2]
    parts = torch.empty(n_frames, n_steps, 2, waves.shape[-1])
    real = (torch.view_as_real(part.contiguous()) for part in (waves, reference, rows))
    kernels.correlate(*real, parts, torch.get_num_threads())
    return torch.complex(parts[:, :, 0], parts[:, :, 1])


def correlate_own(
    waves: Complex[Tensor, "f y xh"],
    weight: Float[Tensor, "y xh"],
    rows: Complex[Tensor, "w y"],
) -> Complex[Tensor, "f w xh"]:
    """Sum the weighted power of frames over y; see `motion_reference.correlate_own`."""
    kernels = _kernels(waves)
    if kernels is None:
        return motion_reference.correlate_own(waves, weight, rows)
    parts = torch.empty(len(waves), len(rows), 2, waves.shape[-1])
    real = [torch.view_as_real(part.contiguous()) for part in (waves, rows)]
    kernels.correlate_own(real[0], weight, real[1], parts, torch.get_num_threads())
    return torch.complex(parts[:, :, 0], parts[:, :, 1])


def fill_(
    out: Float[Tensor, "y x"], counts: Shaped[Tensor, "y x"], gain: Float[Tensor, "y x"] | None
) -> None:
    """Bring counts of any type into `out`, times the gain where there is one."""
    kernels = _kernels(out)
    if kernels is not None and counts.device.type == "cpu" and counts.dtype in _COUNTS:
        kernels.fill(counts.contiguous(), gain, out, torch.get_num_threads())
        return
    out.copy_(counts)  # first: a product of two types would need a third buffer
    if gain is not None:
        out.mul_(gain)


def add_counts_(total: npt.NDArray[np.int32], counts: npt.NDArray[Any]) -> bool:
    """Add whole numbers to `total` and tell whether one of them is not 0."""
    kernels = compiled()
    if kernels is not None and counts.dtype in _WHOLE:
        added: bool = kernels.add_counts(
            np.ascontiguousarray(counts), total, torch.get_num_threads()
        )
        return added
    np.add(total, counts, out=total, casting="unsafe")
    return bool(counts.any())


def _kernels(tensor: Tensor) -> ModuleType | None:
    """Return the compiled kernels where they can take this tensor."""
    fitting = (
        tensor.device.type == "cpu"
        and tensor.dtype in {torch.float32, torch.complex64}
        and tensor.is_contiguous()
    )
    return compiled() if fitting else None
