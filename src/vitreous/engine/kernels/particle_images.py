"""Particle images made ready for an expectation step, each in one pass before and after its FFT.

Compiled loops of the CPU; what they do is written in `refinement.images`, where plain torch, the
reference, does it on graphics cards and without a compiler.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from vitreous.engine.kernels.slices import needed


@cache
def compiled() -> ModuleType | None:
    """Return the compiled loops, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._images") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._images")


@dataclass(frozen=True)
class Limits:
    """What an image may hold: see `refinement.data.usable`."""

    beyond_measure: float
    brightest: float


def enter(
    images: Float[Tensor, "n y x"],
    factor: Float[Tensor, " n"],
    shift_px: Float[Tensor, "n 2"],
    mask: Float[Tensor, "y x"],
    limits: Limits,
    out: Float[Tensor, "two n y x"],
) -> Bool[Tensor, " n"]:
    """Scale, move and mask images; tell which cannot be used, which become zero.

    Parameters
    ----------
    images
        float32, square.
    factor, shift_px
        Of each, the shift in whole pixels; what comes in from outside is zero.
    mask
        Outside of it images fade into the mean of what lies there.
    limits
        What an image may hold.
    out
        Takes the masked images, then the others.
    """
    bad = torch.empty(len(images), dtype=torch.bool)
    side = images.shape[-1]
    whole_px = shift_px.clamp(-side, side).to(torch.int32)
    outside = float((1 - mask).sum().clamp(min=torch.finfo(mask.dtype).tiny))
    needed(compiled()).enter(
        images.contiguous(), factor, whole_px, mask, outside,
        limits.beyond_measure, limits.brightest, out[1], out[0], bad, torch.get_num_threads(),
    )  # fmt: skip
    return bad


def weigh(
    transforms: Complex[Tensor, "two n y xh"],
    transfer: Float[Tensor, "n s sh"],
    scale: Float[Tensor, " n"],
    inverse: Float[Tensor, "s sh"],
    shells: Int[Tensor, "y xh"],
    out: tuple[Float[Tensor, "parts all m"], int],
    *,
    plain: bool,
    premultiplied: bool,
) -> Float[Tensor, "n shells"]:
    """Weight and pack transforms whose origin is the corner; return the power of each shell.

    Parameters
    ----------
    transforms
        Of the masked images, then of the others; complex64, of an even side.
    transfer, scale
        CTFs at the size that is packed, and a factor of each; squares of CTFs where images are
        `premultiplied`.
    inverse
        1 / sigma2 of each pixel.
    shells
        int16, of the pixels of the transforms; those that do not count are beyond the last.
    out
        Takes b, c, u and m of `refinement.images`, packed as by `refinement.disc`, from the image
        of this number on; m only where it differs from c, if `plain` or `premultiplied`.
    plain
        Compare without CTF.
    """
    power = torch.empty(transforms.shape[1], transforms.shape[2] // 2 + 1, dtype=torch.float64)
    real = torch.view_as_real(transforms)
    needed(compiled()).weigh(
        real[0], real[1], transfer, scale, inverse, shells, *out, power, plain, premultiplied,
        torch.get_num_threads(),
    )  # fmt: skip
    return power
