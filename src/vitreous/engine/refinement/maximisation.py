"""The maximisation step: new references and new statistics (refinement.md sections 6 to 8 and 11).

In the order of section 9: sums are folded and symmetrised, halves joined at low resolution and
compared, powers and maps estimated, maps cleaned of solvent, and everything else updated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.refinement import halves, randomness, schedule_gradient, updates
from vitreous.engine.refinement.circumstances import Circumstances
from vitreous.engine.refinement.finishing import finish_, finished_references
from vitreous.engine.refinement.improvement import maximised, stepped
from vitreous.engine.refinement.randomness import Stream
from vitreous.engine.refinement.regulariser import Regulariser, wiener_map
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.solvent import Masks, solvent_mask
from vitreous.engine.refinement.state import Model, State
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.engine.refinement.weights import weights_of
from vitreous.engine.refinement.wiener import solve

NO_MASKS = Masks()


@dataclass(frozen=True)
class Known:
    """What the caller of a maximisation may know besides the sums.

    Parameters
    ----------
    powers
        Per model ``k s``: `improvement.reference_power` of the projectors of the expectation;
        measured again where it is empty. Not used where halves are split.
    mean_norms
        Per model the mean of the particles' new norm corrections; where empty, the mean stays.
    pixel_counts
        ``g s`` of `updates.pixel_counts`; needed where optics groups differ in box or pixel size.
    """

    powers: tuple[Float[Tensor, "k s"], ...] = ()
    mean_norms: tuple[float, ...] = ()
    pixel_counts: Float[Tensor, "g s"] | None = None


NOTHING_KNOWN = Known()


@dataclass(frozen=True)
class Outcome:
    """What a maximisation measured and is not kept in the models.

    Parameters
    ----------
    fsc
        ``k s``, between halves before any mask; None where there are no halves.
    fsc_corrected
        ``k s``, solvent-corrected; None where it was not asked for.
    unfiltered
        Final iteration: per half its maps ``k z y x``, without regularisation or mask.
    unmasked
        Per model the references before solvent flattening.
    rescued
        Class that was overwritten with another one in this iteration, and that other one.
    at_limit
        Classes whose helical symmetry was found at the border of its range.
    """

    fsc: Float[Tensor, "k s"] | None = None
    fsc_corrected: Float[Tensor, "k s"] | None = None
    unfiltered: tuple[Tensor, ...] = ()
    unmasked: tuple[Tensor, ...] = ()
    rescued: tuple[int, int] | None = None
    at_limit: tuple[int, ...] = ()

    @property
    def best_fsc(self) -> Float[Tensor, "k s"] | None:
        """The corrected FSC where it was asked for, else the plain one: what models keep."""
        return self.fsc if self.fsc_corrected is None else self.fsc_corrected


def maximise(
    state: State,
    sums: tuple[Sums, ...],
    settings: Settings,
    masks: Masks = NO_MASKS,
    *,
    final: bool = False,
    regularise: Regulariser = wiener_map,
    known: Known = NOTHING_KNOWN,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[tuple[Model, ...], Outcome]:
    """Turn what the expectation counted into new models.

    Parameters
    ----------
    state
        The models that were projected, with schedule and sampling of this iteration
        (`schedule.begin_iteration`). Assignments are not read.
    sums
        One, or one of each half; reduced over ranks, neither folded nor symmetrised. **Used up**:
        their accumulators are folded, symmetrised and joined in place.
    settings
        What was asked for.
    masks
        On the box of the references.
    final
        Last iteration of auto-refine: one model of both halves comes back, not flattened, and
        unfiltered half maps.
    regularise
        Makes the maps. Gradient iterations do not use it.
    known
        See `Known`.
    progress
        Called with the number of maps done and their number.

    Returns
    -------
    tuple
        The new models (one, or one of each half), and the outcome.

    Raises
    ------
    InputError
        A mask has another box than the references.
    """
    masks.check(state.models[0].box_px, state.models[0].ndim)
    finish_(sums, state, settings)
    measured = _compared(state, sums, settings, masks)
    about = Circumstances(settings, state, regularise, measured.best_fsc)
    if final and len(sums) == 2:
        return _final(sums, about, measured, known)
    n_maps = len(sums) * state.models[0].n_classes
    done = iter(range(1, n_maps + 1))

    def one_more() -> None:
        if progress is not None:
            progress(next(done), n_maps)

    improve = stepped if about.is_gradient else maximised
    models, found = [], []
    for half, (old, one) in enumerate(zip(state.models, sums, strict=True)):
        of_half = replace(about, half=half if len(sums) == 2 else None)
        norm = known.mean_norms[half] if known.mean_norms else None
        power = known.powers[half] if known.powers else None
        model = _updated(old, one.statistics, about, norm, known)
        improved = improve(model, one, of_half, powers=power, progress=one_more)
        finished = finished_references(improved.model, one, of_half, masks, flatten=not final)
        models.append(finished.model)
        found.append((improved, finished))
    return tuple(models), replace(
        measured,
        unmasked=tuple(f.unmasked for _, f in found),
        rescued=next((i.rescued for i, _ in found if i.rescued), None),
        at_limit=tuple(sorted({k for _, f in found for k in f.at_limit})),
    )


def _updated(
    model: Model,
    statistics: Statistics,
    about: Circumstances,
    mean_norm: float | None,
    known: Known,
) -> Model:
    return updates.updated(
        model,
        statistics,
        about.settings,
        momentum=_momentum(about.state, about.settings),
        cross_correlation=about.cross_correlation,
        mean_norm=mean_norm,
        counts=known.pixel_counts,
    )


def _compared(state: State, sums: tuple[Sums, ...], settings: Settings, masks: Masks) -> Outcome:
    """Join the halves at low resolution and measure their FSC (sections 8.2 and 8.3)."""
    if len(sums) != 2:
        return Outcome()
    model, now = state.models[0], state.schedule
    box, pixel_A, shells = model.box_px, model.pixel_size_A, model.tau2.shape[-1]
    plain, corrected = [], []
    for class_, pairs in enumerate(zip(sums[0].references, sums[1].references, strict=True)):
        if settings.join_halves_A > 0:
            last = halves.join_shell(box, pixel_A, settings.join_halves_A, now.resolution_per_A)
            for ours, theirs in zip(*pairs, strict=True):
                halves.join_(ours, theirs, last)
        first, second = (
            halves.whole(pair, half.references[class_])
            for pair, half in zip(pairs, state.models, strict=True)
        )
        plain.append(halves.correlation(first, second, shells))
        if settings.solvent.correct_fsc:
            mask = solvent_mask(model.references[0], masks, settings, pixel_A)
            seed = randomness.of_run(settings.seed, Stream.PHASES, now.iteration)
            generator = torch.Generator().manual_seed(int(seed.integers(2**62)))
            corrected.append(
                halves.solvent_corrected(first, second, mask, now.current_size_px, generator)
            )
    momentum = _momentum(state, settings)
    return Outcome(
        updates.follow(model.fsc, torch.stack(plain), momentum),
        updates.follow(model.fsc, torch.stack(corrected), momentum) if corrected else None,
    )


def _momentum(state: State, settings: Settings) -> float:
    """Return mu of a gradient iteration, 0 of others."""
    in_gradient = schedule_gradient.is_gradient(state.schedule, settings)
    return settings.gradient.momentum if in_gradient else 0.0


def _final(
    sums: tuple[Sums, ...], about: Circumstances, measured: Outcome, known: Known
) -> tuple[tuple[Model, ...], Outcome]:
    """Return one model of both halves, and the half maps as they are (section 9.4)."""
    unfiltered = tuple(
        torch.stack([solve(a, weights_of(a), None).volume for (a,) in one.references])
        for one in sums
    )
    for (first,), (second,) in zip(sums[0].references, sums[1].references, strict=True):
        first.merge_(second)
    both = Sums(sums[0].statistics + sums[1].statistics, sums[0].references)
    halves_updated = [
        _updated(model, one.statistics, about, None, known)
        for model, one in zip(about.state.models, sums, strict=True)
    ]
    norms = known.mean_norms
    model = _updated(
        about.state.models[0],
        both.statistics,
        about,
        sum(norms) / len(norms) if norms else None,
        known,
    )
    model = _with_scales_of(model, halves_updated)
    return (maximised(model, both, replace(about, whole_set=True)).model,), replace(
        measured, unfiltered=unfiltered
    )


def _with_scales_of(model: Model, halves_: list[Model]) -> Model:
    """Return a model with the particles of all: scales are means over particles."""
    counts = torch.tensor([half.group_counts for half in halves_], dtype=torch.float64)
    scales = torch.stack([half.group_scale.to(torch.float64) for half in halves_])
    total = counts.sum(0)
    mean = torch.where(total > 0, (scales * counts).sum(0) / total.clamp(min=1), scales[0])
    return replace(
        model,
        group_scale=mean.to(model.group_scale.dtype),
        group_counts=tuple(int(n) for n in total),
    )
