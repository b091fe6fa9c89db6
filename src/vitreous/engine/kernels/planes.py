"""Fourier transforms of planes of a map, and of its columns along z; planes folded.

Results go to memory that is there; the origin is the first voxel. On the CPU compiled loops do it
for single precision and even sides without a prime factor above 7; elsewhere the library of torch
does, which is the reference. Both divide by the number of samples on the way there.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import lru_cache
from types import ModuleType

import torch
from jaxtyping import Complex, Float
from torch import Tensor

_MODULE = "vitreous.engine.kernels._planes"


@lru_cache(maxsize=1)
def compiled() -> ModuleType | None:
    """Return the compiled loops, or None where the package was built without a compiler."""
    return importlib.import_module(_MODULE) if importlib.util.find_spec(_MODULE) else None


def forward(real: Float[Tensor, "n y x"], out: Complex[Tensor, "n y xh"]) -> None:
    """Transform planes.

    Parameters
    ----------
    real
        The planes.
    out
        Takes their half transforms.
    """
    module = _module_for(real, out)
    if module is not None:
        module.forward(real, torch.view_as_real(out))
    else:
        torch.fft.rfft2(real, norm="forward", out=out)


def back(transform: Complex[Tensor, "n y xh"], out: Float[Tensor, "n y x"]) -> None:
    """Undo `forward`; the transform is destroyed.

    Parameters
    ----------
    transform
        Half transforms of planes.
    out
        Takes the planes.
    """
    module = _module_for(out, transform)
    if module is not None:
        module.back(torch.view_as_real(transform), out)
    else:
        torch.fft.irfft2(transform, s=tuple(out.shape[1:]), norm="forward", out=out)


def along_z_(transform: Complex[Tensor, "z y xh"], rows: slice, width: int, *, back: bool) -> None:
    """Transform columns along z in place, forth or back.

    Parameters
    ----------
    transform
        Of all planes.
    rows, width
        Which columns: so many of each of these rows.
    back
        Which way.
    """
    module = _module_for(transform)
    if module is not None:
        whole = torch.view_as_real(transform)
        module.along_z(whole, rows.start, rows.stop, width, back)
        return
    block = transform[:, rows, :width]
    step = torch.fft.ifft if back else torch.fft.fft
    if block.numel():
        block.copy_(step(block, dim=0, norm="forward"))


def add_folded_(
    total: Float[Tensor, "y x"], one: Float[Tensor, "ylong xlong"], factor: Tensor
) -> None:
    """Add the product of two planes to a smaller one, onto which it is folded.

    Every n-th coefficient of a plane along each axis is that of the plane folded onto 1/n of its
    side.

    Parameters
    ----------
    total
        A square.
    one, factor
        Squares, whose side is a multiple of that.
    """
    module = compiled()
    if module is not None and all(
        plane.device.type == "cpu" and plane.dtype == torch.float32 and plane.stride(-1) == 1
        for plane in (total, one, factor)
    ):
        module.add_folded(total, one, factor)
        return
    side, n = len(total), len(one) // len(total)
    total += (one * factor).view(n, side, n, side).sum((0, 2))


@lru_cache(maxsize=64)
def _is_quick(side: int) -> bool:
    module = compiled()
    return module is not None and bool(module.is_quick(side))


def _module_for(*arrays: Tensor) -> ModuleType | None:
    fits = all(
        one.device.type == "cpu"
        and one.dtype in (torch.float32, torch.complex64)
        and one.is_contiguous()
        and not one.requires_grad
        for one in arrays
    )
    real = arrays[0]
    sides = real.shape[:1] if real.is_complex() else (real.shape[1], real.shape[2] // 2)
    is_even = real.is_complex() or real.shape[2] % 2 == 0
    return compiled() if fits and is_even and all(map(_is_quick, sides)) else None
