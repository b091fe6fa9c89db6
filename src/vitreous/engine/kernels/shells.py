"""Passes over half transforms in the order of the FFT: shells, radial curves, random phases.

Every stored coefficient counts once (postprocessing.md, FSC convention), and curves are tables by
the squared length of the whole-number frequency, so that no array of radii is ever made. On the
CPU compiled loops do it, elsewhere (or without a compiler) plain torch, the reference. Leading
axes of a batch are gone through one by one.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from functools import lru_cache
from types import ModuleType

import torch
from jaxtyping import Complex, Float
from torch import Tensor

_WORD = 2**32 - 1
_MODULE = "vitreous.engine.kernels._shells"


@lru_cache(maxsize=1)
def compiled() -> ModuleType | None:
    """Return the compiled loops, or None where the package was built without a compiler."""
    return importlib.import_module(_MODULE) if importlib.util.find_spec(_MODULE) else None


@lru_cache(maxsize=8)
def shell_of_square(n_shells: int) -> Tensor:
    """Return the shell of each squared length up to the end of the last shell: rounded roots."""
    least_outside = math.ceil((n_shells - 0.5) ** 2)
    squares = torch.arange(least_outside, dtype=torch.float64)
    return (squares.sqrt() + 0.5).floor().to(torch.int16)


def squares_of(size: int, ndim: int) -> int:
    """Return how many squared lengths there are from 0 to the corners of a box."""
    return ndim * (size // 2) ** 2 + 1


@lru_cache(maxsize=8)
def counts(size: int, ndim: int) -> Tensor:
    """Return how many stored coefficients each shell has, float64; no array of a map is made."""
    index = torch.arange(size)
    slow = torch.where(index > size // 2, index - size, index) ** 2
    squares = slow if ndim == 2 else (slow[:, None] + slow).flatten()
    squares, times = torch.unique(squares, return_counts=True)
    table = shell_of_square(size // 2 + 1).to(torch.int64)
    total = torch.zeros(size // 2 + 1, dtype=torch.float64)
    for kx in range(size // 2 + 1):
        inside = squares + kx**2 < len(table)
        shells = table[squares[inside] + kx**2]
        total.index_add_(0, shells, times[inside].to(torch.float64))
    return total


def correlate(
    first: Complex[Tensor, "*half"], second: Complex[Tensor, "*half"], ndim: int
) -> Float[Tensor, "*b s 3"]:
    """Add up common power, power of the first and of the second in each shell, in float64.

    Parameters
    ----------
    first, second
        ``*b y xh`` or ``*b z y xh`` of square arrays.
    ndim
        How many trailing axes are frequencies.

    Returns
    -------
    Tensor
        Shells 0 to ``size // 2``.
    """
    batch, size = first.shape[:-ndim], first.shape[-2]
    n_shells = size // 2 + 1
    sums = torch.zeros((*batch, n_shells, 4), dtype=torch.float64, device=first.device)
    table = shell_of_square(n_shells)
    module = _module_for(first, second)
    flat = [one.reshape(-1, *one.shape[-ndim:]) for one in (first, second)]
    for number, total in enumerate(sums.reshape(-1, n_shells, 4)):
        a, b = (one[number] for one in flat)
        if module is not None:
            module.correlate(_volume(a), _volume(b), table, total, torch.get_num_threads())
            continue
        products = (
            a.real * b.real + a.imag * b.imag,
            a.real.square() + a.imag.square(),
            b.real.square() + b.imag.square(),
        )
        for column, product in enumerate(products):
            total[:, column] = _shell_sums(product.double(), table)
    return sums[..., :3]


def amplitudes(transform: Complex[Tensor, "*half"]) -> Float[Tensor, " inside"]:
    """Add up ``|F|`` for each squared length up to the end of the last shell, in float64.

    Parameters
    ----------
    transform
        ``y xh`` or ``z y xh`` of a square array.
    """
    table = shell_of_square(transform.shape[-2] // 2 + 1)
    sums = torch.zeros(len(table), dtype=torch.float64, device=transform.device)
    module = _module_for(transform)
    if module is not None:
        module.amplitudes(_volume(transform), sums, torch.get_num_threads())
        return sums
    squares = _squares(transform).flatten()
    inside = squares < len(table)
    return sums.index_add(0, squares[inside], transform.abs().double().flatten()[inside])


def by_shell(values: Float[Tensor, " inside"], n_shells: int) -> Float[Tensor, " s"]:
    """Add up values of squared lengths, as of `amplitudes`, in each shell."""
    table = shell_of_square(n_shells).to(values.device, torch.int64)
    return values.new_zeros(n_shells).index_add(0, table, values)


def multiply_(
    transform: Complex[Tensor, "*half"], curve: Float[Tensor, " q"]
) -> Complex[Tensor, "*half"]:
    """Multiply by a curve of the squared length, in place; 0 beyond the end of the curve."""
    curve = curve.to(transform.real.dtype)
    module = _module_for(transform)
    if module is not None:
        module.multiply(_volume(transform), curve.contiguous(), torch.get_num_threads())
        return transform
    longer = torch.cat([curve, curve.new_zeros(1)]).to(transform.device)
    return transform.mul_(longer[_squares(transform).clamp(max=len(curve))])


def randomise_(
    transform: Complex[Tensor, "*half"], from_shell: int, generator: torch.Generator
) -> Complex[Tensor, "*half"]:
    """Give every coefficient with ``|k| >= from_shell`` a random phase, in place.

    Parameters
    ----------
    transform
        ``y xh`` or ``z y xh`` of a square array.
    from_shell
        First shell that changes.
    generator
        Draws the number that all phases follow from.
    """
    seed = int(torch.randint(2**32, (), generator=generator, device=generator.device))
    module = _module_for(transform)
    if module is not None:
        module.turn(_volume(transform), seed, from_shell**2, torch.get_num_threads())
        return transform
    number = torch.arange(transform.numel(), device=transform.device) * 0x9E3779B1 & _WORD ^ seed
    number = (number ^ number >> 16) * 0x7FEB352D & _WORD
    number = (number ^ number >> 15) * 0x846CA68B & _WORD
    turns = ((number ^ number >> 16) >> 8).to(transform.real.dtype).reshape(transform.shape) / 2**24
    random = torch.polar(transform.abs(), 2 * torch.pi * turns)
    return transform.copy_(torch.where(_squares(transform) >= from_shell**2, random, transform))


def cells(
    first: Complex[Tensor, "z y xh"],
    second: Complex[Tensor, "z y xh"],
    n_shells: int,
    squares: int,
) -> Float[Tensor, "cells s 4"] | None:
    """Add up products of two half transforms by direction and shell, in float64.

    Parameters
    ----------
    first, second
        Of cubes of one side.
    n_shells
        Only shells below this.
    squares
        Squares along the side of a face of a cube; see `engine.validation.cells`, which has the
        reference.

    Returns
    -------
    Tensor
        Common power, both powers, number of coefficients (of a Friedel pair one counts); None
        where there are no compiled loops for these arrays.
    """
    module = _module_for(first, second)
    if module is None:
        return None
    sums = torch.zeros((3 * squares**2, n_shells, 4), dtype=torch.float64)
    table = shell_of_square(n_shells)
    module.cells(_volume(first), _volume(second), table, sums, squares, torch.get_num_threads())
    return sums


def _module_for(*transforms: Tensor) -> ModuleType | None:
    fits = all(
        one.device.type == "cpu"
        and one.dtype in (torch.complex64, torch.complex128)
        and one.is_contiguous()
        and not one.requires_grad
        for one in transforms
    )
    return compiled() if fits and len({one.dtype for one in transforms}) == 1 else None


def _volume(transform: Tensor) -> Tensor:
    """Return numbers in pairs, an image as a volume of one plane."""
    pairs = torch.view_as_real(transform)
    return pairs if pairs.ndim == 4 else pairs[None]


def _squares(transform: Tensor) -> Tensor:
    """Return the squared length at each point."""
    size, half = transform.shape[-2:]
    index = torch.arange(size, device=transform.device)
    slow = torch.where(index > size // 2, index - size, index) ** 2
    plane = slow[:, None] + torch.arange(half, device=transform.device) ** 2
    if transform.ndim == 2 or len(transform) == 1:
        return plane.expand(transform.shape)
    return slow[:, None, None] + plane


def _shell_sums(values: Tensor, table: Tensor) -> Tensor:
    n_shells = int(table[-1]) + 1
    longer = torch.cat([table, table.new_full((1,), n_shells)]).to(values.device, torch.int64)
    shells = longer[_squares(values).clamp(max=len(table))]
    sums = values.new_zeros(n_shells + 1)
    return sums.index_add(0, shells.flatten(), values.flatten())[:n_shells]
