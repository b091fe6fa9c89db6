"""Choose the version of the normalisation of boxed images that suits the tensors.

The compiled one works on the CPU and writes single precision; everything else (CUDA, no compiler
at build time, a background of many pieces) goes to the plain-torch reference in `background`.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from types import ModuleType

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from vitreous.engine import background


@cache
def compiled() -> ModuleType | None:
    """Return the compiled kernels, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._boxes") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._boxes")


def normalise(
    images: Float[Tensor, "n b b"],
    outside: Bool[Tensor, "m b b"],
    *,
    ramp: bool = True,
    sign: float = 1.0,
) -> tuple[Float[Tensor, "n b b"], Bool[Tensor, " n"]]:
    """Do what `background.normalise` does to images in double precision; the result is single."""
    module, found = compiled(), runs(outside)
    if module is None or found is None or images.device.type != "cpu":
        normal, is_flat = background.normalise(images, outside, ramp=ramp, sign=sign)
        return normal.float(), is_flat
    out, is_flat = _results(len(images), images.shape[-1])
    fit = _fit(outside, found, ramp=ramp, sign=sign)
    module.images(images.contiguous(), *fit, out, is_flat, torch.get_num_threads())
    return out, is_flat


def cut_and_normalise(
    micrograph: Float[Tensor, "y x"],
    first: Int64[Tensor, "n c"],
    outside: Bool[Tensor, "m b b"],
    *,
    ramp: bool = True,
    sign: float = 1.0,
    target: Float[Tensor, "n b b"] | None = None,
) -> tuple[Float[Tensor, "n b b"], Bool[Tensor, " n"]] | None:
    """Normalise boxes without cutting them out before.

    Parameters
    ----------
    micrograph
        The image; its edge pixels are repeated outside.
    first
        First pixel of each box, x y.
    outside
        Background of all boxes, or of each; tells their size.
    ramp, sign
        As in `background.normalise`.
    target
        Takes the images; otherwise new memory does.

    Returns
    -------
    tuple or None
        As of `background.normalise`, in single precision; None where that has to be used.
    """
    module, found = compiled(), runs(outside)
    is_plain = micrograph.device.type == "cpu" and micrograph.dtype == torch.float32
    if module is None or found is None or not is_plain:
        return None
    out, is_flat = _results(len(first), outside.shape[-1])
    out = out if target is None else target
    fit = _fit(outside, found, ramp=ramp, sign=sign)
    arrays = micrograph.contiguous(), first.contiguous()
    module.boxes(*arrays, *fit, out, is_flat, torch.get_num_threads())
    return out, is_flat


def runs(mask: Bool[Tensor, "m b b"]) -> Int[Tensor, "m b 2 2"] | None:
    """Return where each row is set: two runs, first and last but one; None where it has more."""
    edge = mask.new_zeros(*mask.shape[:2], 1)
    steps = torch.diff(torch.cat([edge, mask, edge], 2).to(torch.int8), dim=2)
    found = torch.zeros((*mask.shape[:2], 2, 2), dtype=torch.int32, device=mask.device)
    for end, sign in enumerate((1, -1)):
        is_end = steps == sign
        number = is_end.cumsum(2) - 1
        if number.numel() and int(number.max()) > 1:
            return None
        at_mask, at_row, at = is_end.nonzero(as_tuple=True)
        found[at_mask, at_row, number[is_end], end] = at.to(torch.int32)
    return found


def _results(n: int, size: int) -> tuple[Tensor, Tensor]:
    return torch.empty((n, size, size)), torch.zeros(n, dtype=torch.bool)


def _fit(
    outside: Tensor, found: Tensor, *, ramp: bool, sign: float
) -> tuple[Tensor, Tensor, Tensor, float, float, float]:
    """Return what the kernels need to know of a background and of the fit."""
    normal = background.moments(outside)
    inverse = torch.zeros_like(normal)
    inverse[:, 0, 0] = 1 / normal[:, 0, 0]
    if ramp:
        inverse = torch.linalg.inv(normal)
    return found, inverse.contiguous(), normal[:, 0, 0].contiguous(), *_limits(), sign


def _limits() -> tuple[float, float]:
    return background.FLAT, background.ROUNDING
