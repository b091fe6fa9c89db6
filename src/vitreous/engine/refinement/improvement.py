"""New references of one model, with their curves (refinement.md sections 7 and 11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import grids, projection
from vitreous.engine.projection import Accumulator, Projector
from vitreous.engine.refinement import gradient
from vitreous.engine.refinement.circumstances import Circumstances
from vitreous.engine.refinement.regulariser import Request, checked
from vitreous.engine.refinement.schedule_gradient import Phase
from vitreous.engine.refinement.spectra import (
    Spectra,
    attenuated,
    fitted,
    from_fsc,
    from_power,
    stacked,
    without_data,
)
from vitreous.engine.refinement.state import Model
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.engine.refinement.weights import Weights, reached, weights_of
from vitreous.engine.refinement.wiener import GRIDDING_ITERATIONS

Powers = Float[Tensor, "k s"] | None


@dataclass(frozen=True)
class Improved:
    """A model with new references, and what happened on the way.

    Parameters
    ----------
    model
        References not yet centred or masked.
    rescued
        Class that was overwritten, and that with which it was.
    """

    model: Model
    rescued: tuple[int, int] | None = None


def reference_power(reference: Projector, n_shells: int) -> Float[Tensor, " s"]:
    """Return half the mean power of a reference per shell, as its projector holds it (7.1).

    Parameters
    ----------
    reference
        Before any of its frequencies are set to zero.
    n_shells
        Length of the result, float64; zero beyond the projector.
    """
    squares = reference.grid.real.square() + reference.grid.imag.square()
    mean = grids.shell_mean(squares, reference.padding, reference.r_max + 1)
    return fitted(mean / 2, n_shells).cpu()


def maximised(
    model: Model,
    sums: Sums,
    about: Circumstances,
    *,
    powers: Powers = None,
    progress: Callable[[], None] | None = None,
) -> Improved:
    """Return a model with the references that maximise the posterior.

    Parameters
    ----------
    model
        Weights and the like already updated; its references are those that were projected.
    sums
        Finished accumulators, one a class.
    about
        The iteration.
    powers
        ``k s``, of the references that were projected; measured where it is None and needed.
    progress
        Called after each map.
    """
    volumes, curves = [], []
    for class_, (accumulator,) in enumerate(sums.references):
        if float(model.class_weight[class_]) > 0:
            weights = weights_of(accumulator)
            known = _Known(model, sums.statistics, class_, weights, accumulator)
            volume, found = _one_maximised(known, about, powers)
        else:
            volume, found = torch.zeros_like(model.references[class_]), without_data(model)
        volumes.append(volume.to(model.references.device))
        curves.append(found)
        if progress is not None:
            progress()
    return Improved(stacked(replace(model, references=torch.stack(volumes)), curves))


def stepped(
    model: Model,
    sums: Sums,
    about: Circumstances,
    *,
    powers: Powers = None,
    progress: Callable[[], None] | None = None,
) -> Improved:
    """Return a model with references one step further along their gradients.

    Arguments are those of `maximised`, with a pair of accumulators of each class.
    """
    fudge, settings = about.state.schedule.tau_fudge, about.settings.gradient
    slopes, curves = [], []
    for class_, (even, odd) in enumerate(sums.references):
        both = even.grid + odd.grid
        known = _Known(model, sums.statistics, class_, weights_of(even, both), even)
        found = _estimated(known, about, powers)
        count = reached(both, known.weights, fudge * found.tau2)
        curves.append(found.covering(count, known.weights))
        old = model.moments[class_] if model.moments else None
        slopes.append(gradient.slope(old, (even, odd), settings.momentum))
        if progress is not None:
            progress()
    volumes = [
        _one_stepped(model, class_, slope, sums.references[class_][0], about)
        for class_, slope in enumerate(slopes)
    ]
    moments = tuple(slope.moments for slope in slopes)
    changed = stacked(replace(model, references=torch.stack(volumes), moments=moments), curves)
    threshold = settings.inactivity_threshold if about.phase is Phase.BETWEEN else 0.0
    rescued = gradient.to_rescue(
        model.class_weight, [slope.activity for slope in slopes], threshold
    )
    return Improved(changed if rescued is None else gradient.rescue(changed, *rescued), rescued)


@dataclass(frozen=True)
class _Known:
    """One class, and what was summed for it."""

    model: Model
    statistics: Statistics
    class_: int
    weights: Weights
    accumulator: Accumulator


def _one_maximised(known: _Known, about: Circumstances, powers: Powers) -> tuple[Tensor, Spectra]:
    """Return the map of a class and its curves, some of which the regulariser may know better."""
    settings, schedule = about.settings, about.state.schedule
    found = _estimated(known, about, powers)
    request = Request(
        known.accumulator,
        known.weights,
        found.tau2,
        found.fsc,
        known.model.pixel_size_A,
        settings.solvent.diameter_A,
        schedule.current_size_px,
        schedule.tau_fudge,
        known.class_,
        about.half,
        about.iteration,
        0 if settings.skip_gridding else GRIDDING_ITERATIONS,
    )
    result = checked(about.regularise(request), request)
    found = found.improved(result, known.weights, schedule.tau_fudge, whole_set=about.whole_set)
    return result.volume, found.covering(request.reached, known.weights)


def _one_stepped(
    model: Model,
    class_: int,
    slope: gradient.Slope,
    sums: Accumulator,
    about: Circumstances,
) -> Tensor:
    """Return a reference after its step; one without particles stays."""
    weight, schedule = float(model.class_weight[class_]), about.state.schedule
    if weight <= 0:
        return model.references[class_]
    size = gradient.step_of_class(
        schedule.step, weight, model.n_classes, whole=about.settings.auto_refine
    )
    fsc = None if about.fsc is None else about.fsc[class_]
    step = gradient.Step(size, schedule.tau_fudge, fsc)
    moved = gradient.advanced(model.references[class_], slope, sums, step)
    return moved.to(model.references.device)


def _estimated(known: _Known, about: Circumstances, powers: Powers) -> Spectra:
    """Return the curves of a class: from its FSC, the user's spectrum, or its projector."""
    fudge, class_ = about.state.schedule.tau_fudge, known.class_
    fixed = bool(about.settings.tau_spectrum)
    if about.fsc is not None and not fixed:
        return from_fsc(about.fsc[class_], known.weights, fudge, whole_set=about.whole_set)
    tau2 = known.model.tau2[class_] if fixed else _power(known, powers)
    found = from_power(tau2, known.weights, fudge)
    if about.fsc is None:
        return attenuated(found, known.statistics, class_)
    return replace(found, fsc=about.fsc[class_])


def _power(known: _Known, powers: Powers) -> Tensor:
    if powers is not None:
        return powers[known.class_]
    sums = known.accumulator
    volume = known.model.references[known.class_].to(sums.grid.device)
    reference = projection.projector(volume, sums.padding, sums.r_max)
    return reference_power(reference, known.model.tau2.shape[-1])
