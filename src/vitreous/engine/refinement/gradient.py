"""One step of a reference along its gradient, with adaptive moments (refinement.md section 11).

Particles of even and odd number are two pseudo-halves: the mean of their gradients says where to
go, their difference how much of it is noise. Everything happens on the padded Fourier grid of the
reference, inside the radius in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import grids, reconstruction
from vitreous.engine.projection import Accumulator, projector
from vitreous.engine.refinement.spectra import with_curves
from vitreous.engine.refinement.state import Model, Moments

SECOND_MOMENTUM = 0.999
SMALLEST = 1e-12


@dataclass(frozen=True)
class Step:
    """How far a class goes.

    Parameters
    ----------
    size
        eta of this class.
    tau_fudge
        T.
    fsc
        ``s``; the correlation of true halves where the data are split in two, else None.
    """

    size: float
    tau_fudge: float
    fsc: Float[Tensor, " s"] | None = None


def step_of_class(
    step: float, class_weight: float, n_classes: int, *, whole: bool = False
) -> float:
    """Return eta of a class: ``eta (1 - exp(-(3 K + 10) pi_k))``, a rare class going less far.

    Parameters
    ----------
    step
        eta of the schedule.
    class_weight
        pi_k.
    n_classes
        K.
    whole
        All of eta, whatever the weight (auto-refine).
    """
    return step if whole else step * (1 - math.exp(-(3 * n_classes + 10) * class_weight))


@dataclass(frozen=True)
class Slope:
    """Where a class would go, and how lively it is.

    Parameters
    ----------
    moments
        After this mini-batch, on the grid of the sums.
    gradient
        ``(m1 + m2) / 2 / sqrt(v)``.
    """

    moments: Moments
    gradient: Complex[Tensor, "*grid"]

    @property
    def activity(self) -> float:
        """Return the mean square of the gradient inside the sphere of its grid."""
        squares = _power(self.gradient)
        inside = grids.radius_of(squares) <= squares.shape[-1] - 2
        return float(squares[inside].mean(dtype=torch.float64))


def slope(
    old: Moments | None, sums: tuple[Accumulator, Accumulator], momentum: float = 0.9
) -> Slope:
    """Return the moments after a mini-batch, and the gradient that they give.

    Parameters
    ----------
    old
        Of the iteration before; their grid may have another size. None in the first iteration.
    sums
        Finished sums of the two pseudo-halves, of the residual images.
    momentum
        Of the first moments.
    """
    gradients = torch.stack([one.data / one.weight.clamp(min=1) for one in sums])
    if old is None:
        first, second = gradients, torch.ones_like(gradients[0].real)
    else:
        like = gradients[0]
        first = torch.stack([grown(m, like, 0.0) for m in old.first])
        first = first.mul_(momentum).add_(gradients, alpha=1 - momentum)
        second = grown(old.second, like.real, 1.0)
    ratio = _power(gradients[0] - gradients[1]) / (_power(gradients.mean(0)) + SMALLEST)
    second = second * SECOND_MOMENTUM + (1 - SECOND_MOMENTUM) * ratio
    return Slope(Moments(first, second), first.mean(0) / (second.sqrt() + SMALLEST))


def grown(grid: Tensor, like: Tensor, fill: float) -> Tensor:
    """Put a grid of moments into a larger one (or cut a smaller one out), keeping frequencies.

    Parameters
    ----------
    grid
        ``z y xh`` or ``y xh`` as in `engine.grids`.
    like
        Gives the new shape.
    fill
        Value at frequencies that were not there.
    """
    if grid.shape == like.shape:
        return grid.to(like.dtype, copy=True)
    result = torch.full_like(like, fill)
    old, new = grid.shape[-1] - 1, like.shape[-1] - 1
    # The margin of one plane holds nothing; it must not come inside.
    reach = min(old, new) - 1
    source = _inner(old, reach, grid.ndim)
    result[_inner(new, reach, grid.ndim)] = grid[source].to(like.dtype)
    if fill and old < new:
        inside = grids.radius_of(grid)[source] <= reach
        target = result[_inner(new, reach, grid.ndim)]
        target.masked_fill_(~inside, fill)
    return result


def advanced(
    reference: Float[Tensor, "*zyx"], found: Slope, sums: Accumulator, step: Step
) -> Float[Tensor, "*zyx"]:
    """Return a reference after one step: ``V + eta (f g - (1 - f) V)``.

    Parameters
    ----------
    reference
        ``z y x`` or ``y x``; its transform is taken without gridding correction.
    found
        From `slope`.
    sums
        Gives the padding and the radius.
    step
        See `Step`.
    """
    reference = reference.to(sums.grid.device)
    source = projector(reference, sums.padding, sums.r_max, correct_gridding=False)
    share = signal_share(source.grid, found.moments, sums.padding, sums.r_max + 1, step)
    shells = grids.shell_of(source.grid, sums.padding).clamp_(max=sums.r_max)
    f = share.to(source.grid.real.dtype)[shells]
    forgetting = 1 - f
    if step.fsc is not None:
        forgetting = forgetting / step.tau_fudge
    moved = source.grid + step.size * (f * found.gradient - forgetting * source.grid)
    return _to_map(moved, sums)


def signal_share(
    transform: Complex[Tensor, "*grid"],
    moments: Moments,
    padding: float,
    n_shells: int,
    step: Step,
) -> Float[Tensor, " s"]:
    """Return f of each shell: how much of the step is signal rather than noise.

    From the amplitude of the reference over that of the difference of the pseudo-halves,
    ``snr = 2 T a / n``, ``f = snr / (1 + snr)``; where the data are split in two it is the FSC.
    """
    if step.fsc is not None:
        padded = torch.nn.functional.pad(step.fsc, (0, max(0, n_shells - len(step.fsc))))
        return padded[:n_shells].to(transform.device, torch.float64).clamp(0, 1)
    noise = grids.shell_mean((moments.first[0] - moments.first[1]).abs(), padding, n_shells)
    amplitude = grids.shell_mean(transform.abs(), padding, n_shells)
    snr = 2 * step.tau_fudge * amplitude / noise.clamp(min=1e-300)
    return torch.where(noise > 0, snr / (1 + snr), 1.0)


def to_rescue(
    class_weight: Float[Tensor, " k"], activity: list[float], threshold: float
) -> tuple[int, int] | None:
    """Return the class to overwrite and the one to overwrite it with, or None.

    Parameters
    ----------
    class_weight
        pi of each class.
    activity
        Mean square of the gradient of each class.
    threshold
        A class is idle with less than this share of ``1 / n``, n the number of classes in use.
    """
    n_active = int((class_weight > 0).sum())
    idle = int(class_weight.argmin())
    if len(class_weight) < 2 or float(class_weight[idle]) >= threshold / max(n_active, 1):
        return None
    liveliness = class_weight * torch.tensor(activity).to(class_weight)
    liveliest = int(liveliness.argmax())
    return None if liveliest == idle else (idle, liveliest)


def rescue(model: Model, idle: int, liveliest: int) -> Model:
    """Overwrite a class, its moments and its spectra; the two share the weight of both."""

    def copied(values: Tensor) -> Tensor:
        values = values.clone()
        values[idle] = values[liveliest]
        return values

    def shared(values: Tensor) -> Tensor:
        values = values.clone()
        values[[idle, liveliest]] = (values[idle] + values[liveliest]) / 2
        return values

    moments = list(model.moments)
    moments[idle] = moments[liveliest]
    changed = replace(
        model,
        references=copied(model.references),
        moments=tuple(moments),
        class_weight=shared(model.class_weight),
        direction_weight=shared(model.direction_weight),
        class_offset_A=copied(model.class_offset_A),
    )
    return with_curves(changed, copied)


def shifted_moments(
    moments: Moments, shift_px: tuple[float, ...], padding: float, box_px: int
) -> Moments:
    """Move the moments of a reference that was moved: the same phases, nothing for `second`."""
    first = moments.first
    ndim = first.ndim - 1
    centre = first.shape[-1] - 1
    line = torch.arange(-centre, centre + 1, device=first.device, dtype=torch.float64)
    for component, shift in enumerate(shift_px):
        axis = first.ndim - 1 - component
        index = line[centre:] if component == 0 else line
        turns = -2 * torch.pi * index * shift / (padding * box_px)
        phases = torch.polar(torch.ones_like(turns), turns).to(first.dtype)
        first = first * phases.reshape([-1 if i == axis else 1 for i in range(ndim + 1)])
    return Moments(first, moments.second)


def _to_map(grid: Complex[Tensor, "*grid"], sums: Accumulator) -> Float[Tensor, "*zyx"]:
    """Transform a grid back: no gridding correction, since none was made on the way here."""
    side = round(sums.padding * sums.box_px)
    volume = grids.to_real(grid, lambda rows: grid[..., rows, :], side, sums.box_px)
    volume /= sums.padding**sums.ndim * sums.box_px ** (sums.ndim - 2)
    return reconstruction.soft_sphere(volume)


def _inner(centre: int, reach: int, ndim: int) -> tuple[slice, ...]:
    slow = slice(centre - reach, centre + reach + 1)
    return (slow,) * (ndim - 1) + (slice(0, reach + 1),)


def _power(values: Complex[Tensor, "*grid"]) -> Float[Tensor, "*grid"]:
    return values.real.square() + values.imag.square()
