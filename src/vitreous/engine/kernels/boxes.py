"""Choose the version of the normalisation of boxed images that suits the tensors.

The compiled one works on the CPU and writes single precision; everything else (CUDA, no compiler
at build time, a background of many pieces) goes to the plain-torch reference in `background`.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Plane:
    """A background and what is fitted to it, made ready for any number of images.

    Parameters
    ----------
    outside
        ``m b b``, the background of all images, or of each.
    ramp, sign
        As in `background.normalise`.
    runs
        Where it is, row by row; None where the reference has to be used.
    inverse, count
        ``m 3 3`` of the normal equations, and ``m`` pixels.
    """

    outside: Bool[Tensor, "m b b"]
    ramp: bool
    sign: float
    runs: Int[Tensor, "m b 2 2"] | None
    inverse: Float[Tensor, "m 3 3"]
    count: Float[Tensor, " m"]

    @classmethod
    def of(cls, outside: Bool[Tensor, "m b b"], *, ramp: bool = True, sign: float = 1.0) -> Plane:
        """Look at a background."""
        normal = background.moments(outside)
        inverse = torch.zeros_like(normal)
        inverse[:, 0, 0] = 1 / normal[:, 0, 0]
        if ramp:
            inverse = torch.linalg.inv(normal)
        is_plain = compiled() is not None and outside.device.type == "cpu"
        found = runs(outside) if is_plain else None
        return cls(outside, ramp, sign, found, inverse, normal[:, 0, 0].contiguous())

    def arguments(self) -> tuple[object, ...]:
        """Return what the kernels need to know."""
        limits = background.FLAT, background.ROUNDING
        return (self.runs, self.inverse.contiguous(), self.count, *limits, self.sign)


def normalise(
    images: Float[Tensor, "n b b"], plane: Plane
) -> tuple[Float[Tensor, "n b b"], Bool[Tensor, " n"]]:
    """Do what `background.normalise` does to images in double precision; the result is single."""
    module = compiled()
    if module is None or plane.runs is None:
        normal, is_flat = background.normalise(
            images, plane.outside, ramp=plane.ramp, sign=plane.sign
        )
        return normal.float(), is_flat
    out, is_flat = _results(len(images), images.shape[-1])
    module.images(images.contiguous(), *plane.arguments(), out, is_flat, torch.get_num_threads())
    return out, is_flat


def cut_and_normalise(
    micrograph: Float[Tensor, "y x"],
    first: Int64[Tensor, "n c"],
    plane: Plane,
    *,
    target: Float[Tensor, "n b b"] | None = None,
) -> tuple[Float[Tensor, "n b b"], Bool[Tensor, " n"]] | None:
    """Normalise boxes without cutting them out before.

    Parameters
    ----------
    micrograph
        The image; its edge pixels are repeated outside.
    first
        First pixel of each box, x y.
    plane
        Background of all boxes, or of each; tells their size.
    target
        Takes the images; otherwise new memory does.

    Returns
    -------
    tuple or None
        As of `background.normalise`, in single precision; None where that has to be used.
    """
    module = compiled()
    is_plain = micrograph.device.type == "cpu" and micrograph.dtype == torch.float32
    if module is None or plane.runs is None or not is_plain:
        return None
    out, is_flat = _results(len(first), plane.outside.shape[-1])
    out = out if target is None else target
    arrays = micrograph.contiguous(), first.contiguous()
    module.boxes(*arrays, *plane.arguments(), out, is_flat, torch.get_num_threads())
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
