"""What passes between the two halves of the data: a common low-resolution part, and their FSC.

Nothing else does (refinement.md sections 8.1 to 8.3).
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import resolution
from vitreous.engine.kernels import half_shells
from vitreous.engine.projection import Accumulator, projector
from vitreous.engine.refinement.weights import weights_of
from vitreous.engine.refinement.wiener import solve


def join_shell(box_px: int, pixel_size_A: float, join_A: float, resolution_per_A: float) -> int:
    """Return the last shell that halves share: of `join_A` or the resolution, the coarser.

    Parameters
    ----------
    box_px, pixel_size_A
        Of the references.
    join_A
        Resolution asked for.
    resolution_per_A
        That of the references, where it is coarser still; 0 if unknown.
    """
    current_A = 1 / resolution_per_A if resolution_per_A > 0 else 0.0
    return math.ceil(box_px * pixel_size_A / max(join_A, current_A))


def join_(first: Accumulator, second: Accumulator, shell: int) -> None:
    """Give both halves the average of their sums, at radii up to a shell (section 8.2).

    Parameters
    ----------
    first, second
        Finished accumulators of the same shape.
    shell
        In pixels of the image transform.
    """
    grid, other = first.grid, second.grid
    centre = grid.shape[-2] - 1
    radius = min(math.floor(first.padding * shell), centre)
    inner = slice(centre - radius, centre + radius + 1)
    box = (inner,) * (first.ndim - 1) + (slice(0, radius + 1),)
    near, far = grid[box], other[box]
    inside = squared_radius(radius, first.ndim, grid) <= (first.padding * shell) ** 2
    mean = (near + far).mul_(0.5)
    near.copy_(torch.where(inside[..., None], mean, near))
    far.copy_(torch.where(inside[..., None], mean, far))


def whole(sums: tuple[Accumulator, ...], reference: Float[Tensor, "*zyx"]) -> Accumulator:
    """Return one accumulator of a half: its only one, or what two of residual images stand for.

    Parameters
    ----------
    sums
        Finished; in gradient runs a pair, of images less the projections of the reference.
    reference
        What was projected: data over weight of the result is the reference plus its correction.
    """
    first = sums[0]
    if len(sums) == 1:
        return first
    result = Accumulator(
        first.box_px,
        first.padding,
        first.r_max,
        ndim=first.ndim,
        dtype=first.grid.dtype,
        device=first.grid.device,
    )
    for one in sums:
        result.merge_(one)
    projected = projector(reference.to(first.grid.device), first.padding, first.r_max).grid
    result.grid[..., :2] += torch.view_as_real(projected) * result.weight[..., None]
    return result


def correlation(first: Accumulator, second: Accumulator, n_shells: int) -> Float[Tensor, " s"]:
    """Return the FSC of two halves from their sums, before any filter or mask (section 8.3).

    Parameters
    ----------
    first, second
        Finished accumulators of the same shape.
    n_shells
        Length of the result, float64; 1 at shell 0, 0 beyond the accumulators.
    """
    a, b = mean_transform(first), mean_transform(second)
    radius = squared_radius(a.shape[-1] - 1, first.ndim, a.real).to(torch.float64).sqrt()
    shells = (radius + 0.5).floor().to(torch.int64).clamp(max=first.r_max + 1).flatten()
    products = (
        a.real * b.real + a.imag * b.imag,
        a.real.square() + a.imag.square(),
        b.real.square() + b.imag.square(),
    )
    common, power_a, power_b = (
        torch.bincount(shells, p.flatten().to(torch.float64), minlength=first.r_max + 2)[:-1]
        for p in products
    )
    power = (power_a * power_b).sqrt()
    curve = torch.where(power > 0, common / power.clamp(min=1e-300), 0.0)
    curve[0] = 1
    return _to_length(curve, n_shells).cpu()


def solvent_corrected(
    first: Accumulator,
    second: Accumulator,
    mask: Float[Tensor, "z y x"],
    current_size_px: int,
    generator: torch.Generator,
) -> Float[Tensor, " s"]:
    """Return the FSC of two halves inside a mask, less what the mask makes (section 8.3).

    Parameters
    ----------
    first, second
        Finished accumulators.
    mask
        0 to 1, on the box of the references.
    current_size_px
        Size that was used: zero beyond half of it.
    generator
        Draws the random phases.
    """
    curves = resolution.fsc_curves(
        solve(first, weights_of(first), None).volume,
        solve(second, weights_of(second), None).volume,
        mask.to(first.grid.device),
        generator,
    )
    if curves.never_fell or curves.corrected is None:
        return _cut(curves.unmasked, current_size_px)
    assert curves.masked is not None
    assert curves.randomised is not None
    beyond = (
        torch.arange(len(curves.masked), device=curves.masked.device) >= curves.randomised_from + 2
    )
    nothing = beyond & (curves.randomised > curves.masked)
    return _cut(curves.corrected.masked_fill(nothing, 0), current_size_px)


def mean_transform(sums: Accumulator) -> Complex[Tensor, "*grid"]:
    """Return data over weight, gathered from the fine grid to the nearest frequencies of an image.

    Returns
    -------
    Tensor
        ``z y xh`` or ``y xh`` with the origin in the middle of the slow axes, no margin.
    """
    total = half_shells.nearest_sums(sums.grid, sums.padding)
    weight = total[..., 2]
    data = torch.view_as_complex(total[..., :2].contiguous())
    empty = weight <= 0
    return (data / weight.masked_fill(empty, 1)).masked_fill_(empty, 0)


def squared_radius(radius: int, ndim: int, like: Tensor) -> Tensor:
    """Return the squared length at each point of a grid of a radius, margin or none."""
    slow = torch.arange(-radius, radius + 1, device=like.device) ** 2
    total = slow[radius:]
    for _ in range(ndim - 1):
        total = slow.reshape([-1] + [1] * total.ndim) + total
    return total


def _to_length(curve: Tensor, n: int) -> Tensor:
    return torch.nn.functional.pad(curve[:n], (0, max(0, n - len(curve))))


def _cut(curve: Tensor, current_size_px: int) -> Tensor:
    """Set a curve to zero beyond the size in use, and to one at the origin."""
    shells = torch.arange(len(curve), device=curve.device)
    curve = curve.masked_fill(shells > current_size_px // 2, 0)
    curve[0] = 1
    return curve.cpu()
