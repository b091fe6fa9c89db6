"""CTFs of images, and transforms centred and multiplied by them, in one pass over the pixels.

On the CPU a compiled loop does it, elsewhere (or without a compiler) plain torch, the reference.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def compiled() -> ModuleType | None:
    """Return the compiled loop, or None where the package was built without a compiler."""
    if importlib.util.find_spec("vitreous.engine.kernels._transfer") is None:
        return None
    return importlib.import_module("vitreous.engine.kernels._transfer")


def evaluate(
    terms: Float[Tensor, "5 y xh"],
    coefficients: Float[Tensor, "n 5"],
    scale: Float[Tensor, " n"],
    smallest: float,
) -> Float[Tensor, "n y xh"]:
    """Return CTFs in single precision, not treated nor damped; parameters as in `weigh_`."""
    module = compiled()
    if module is None or terms.device.type != "cpu":
        turns = (coefficients @ terms.flatten(1)).view(-1, *terms.shape[1:])
        values = torch.sin((turns - turns.round()).to(torch.float32) * (-2 * torch.pi))
        values = values * scale[:, None, None]
        return _away_from_zero(values, smallest)
    out = torch.empty(len(coefficients), *terms.shape[1:], dtype=torch.float32)
    module.evaluate(
        terms.contiguous(), coefficients.contiguous(), scale.contiguous(), smallest, out,
        torch.get_num_threads(),
    )  # fmt: skip
    return out


def weigh_(
    transforms: Complex[Tensor, "n y xh"],
    along_x: Complex[Tensor, "n xh"],
    along_y: Complex[Tensor, "n y"],
    terms: Float[Tensor, "5 y xh"],
    coefficients: Float[Tensor, "n 5"],
    scale: Float[Tensor, " n"],
    smallest: float,
) -> Float[Tensor, "n y xh"]:
    """Multiply transforms by phases and CTFs, in place; return the squares of the CTFs.

    Parameters
    ----------
    transforms
        complex64, contiguous.
    along_x, along_y
        Factors of the columns and of the rows of each image.
    terms, coefficients
        Their product is gamma in turns, float64 (`ctf.phase_terms`, `ctf.phase_coefficients`).
    scale, smallest
        Factor of each CTF; the least size that it may have.
    """
    module = compiled()
    if module is None or transforms.device.type != "cpu":
        turns = torch.einsum("nt,tyx->nyx", coefficients, terms)
        values = torch.sin((turns - turns.round()).to(torch.float32) * (-2 * torch.pi))
        values = values * scale[:, None, None]
        values = _away_from_zero(values, smallest)
        transforms.mul_(along_x[:, None]).mul_(along_y[..., None]).mul_(values)
        return values.square_()
    weights = torch.empty(transforms.shape, dtype=torch.float32)
    module.weigh(
        torch.view_as_real(transforms),
        torch.view_as_real(along_x.contiguous()),
        torch.view_as_real(along_y.contiguous()),
        terms.contiguous(),
        coefficients.contiguous(),
        scale.contiguous(),
        smallest,
        weights,
        torch.get_num_threads(),
    )
    return weights


def _away_from_zero(values: Tensor, smallest: float) -> Tensor:
    size = values.abs().clamp(min=smallest)
    return torch.where(values < 0, -size, size)
