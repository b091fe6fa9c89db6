"""Before and after the map: symmetry of the sums, then centring, helices and solvent.

Sums are folded and symmetrised before anything is measured on them; new references are low-passed
after a first cross-correlation, made helical, centred and masked (sections 7.2, 7.7 and 7.8).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import symmetry
from vitreous.engine.kernels import symmetrise
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import centring, gradient, helical
from vitreous.engine.refinement.circumstances import Circumstances
from vitreous.engine.refinement.initial_references import initial_low_pass
from vitreous.engine.refinement.schedule_gradient import Phase
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.solvent import Masks, solvent_mask
from vitreous.engine.refinement.solvent import flatten as flattened
from vitreous.engine.refinement.spectra import with_curves
from vitreous.engine.refinement.state import Model, State
from vitreous.engine.refinement.statistics import Sums


def finish_(sums: tuple[Sums, ...], state: State, settings: Settings) -> None:
    """Fold and symmetrise all accumulators: Friedel mates, then helical units, then the group.

    Parameters
    ----------
    sums
        One, or one of each half.
    state
        Point group, pixel size, helical parameters.
    settings
        Whether and how the object is helical.
    """
    operators = symmetry.operators(state.sampling.point_group)
    for model, one in zip(state.models, sums, strict=True):
        for class_, accumulators in enumerate(one.references):
            for accumulator in accumulators:
                _finish_one_(accumulator, operators, model, class_, settings)


@dataclass(frozen=True)
class Finished:
    """A model with references ready to be projected.

    Parameters
    ----------
    model
        The model.
    unmasked
        Its references before the solvent was masked.
    at_limit
        Classes whose helical symmetry was found at the border of its range.
    """

    model: Model
    unmasked: Float[Tensor, "*k_zyx"]
    at_limit: tuple[int, ...] = ()


def finished_references(
    model: Model, sums: Sums, about: Circumstances, masks: Masks, *, flatten: bool = True
) -> Finished:
    """Clean the references of a model.

    Parameters
    ----------
    model
        With new references.
    sums
        They were made from.
    about
        The iteration.
    masks
        On their box.
    flatten
        Mask the solvent, if the settings ask for it.
    """
    settings = about.settings
    if about.is_to_be_filtered:
        model = _low_passed(model, sums, settings)
    model, at_limit = _helical(model, settings)
    if settings.centre_classes and not settings.auto_refine:
        model = _centred(model, sums, about)
    unmasked = model.references
    if flatten and settings.solvent.flatten:
        pixel_A = model.pixel_size_A
        mask = solvent_mask(unmasked[0], masks, settings, pixel_A)
        cleaned = [flattened(one, mask, masks, settings, pixel_A) for one in unmasked]
        model = replace(model, references=torch.stack(cleaned))
    return Finished(model, unmasked, at_limit)


def _low_passed(model: Model, sums: Sums, settings: Settings) -> Model:
    """Low-pass the references again; the only one that had particles becomes all (section 3.6)."""
    references = initial_low_pass(
        model.references, settings.low_pass_A, model.pixel_size_A, model.ndim
    )
    weight = sums.statistics.direction_weight.sum(-1)
    model = replace(model, references=references)
    if model.n_classes == 1 or bool((weight[1:] > 0).any()):
        return model

    def of_the_first(values: Tensor) -> Tensor:
        return values[:1].expand_as(values).clone()

    share = 1 / model.n_classes
    changed = replace(
        model,
        references=of_the_first(references),
        class_weight=torch.full_like(model.class_weight, share),
        direction_weight=of_the_first(model.direction_weight) * share,
        class_offset_A=of_the_first(model.class_offset_A),
    )
    return with_curves(changed, of_the_first)


def _helical(model: Model, settings: Settings) -> tuple[Model, tuple[int, ...]]:
    """Find and impose the helical symmetry of each class."""
    if not helical.is_imposed(settings):
        return model, ()
    symmetries, volumes, limits = [], [], []
    for class_, volume in enumerate(model.references):
        found = helical.helix_of(model, class_, settings)
        if settings.helix.search:
            result = helical.searched(volume, found, settings.helix, model.pixel_size_A)
            found = result.parameters
            limits += [class_] if result.at_limit else []
        fraction = settings.helix.central_fraction
        volumes.append(
            helical.imposed(volume, found, model.pixel_size_A, central_fraction=fraction)
        )
        symmetries.append(found)
    changed = replace(
        model,
        references=torch.stack(volumes),
        helical_twist_deg=torch.tensor([s.twist_deg for s in symmetries], dtype=torch.float64),
        helical_rise_A=torch.tensor([s.rise_A for s in symmetries], dtype=torch.float64),
    )
    return changed, tuple(limits)


def _centred(model: Model, sums: Sums, about: Circumstances) -> Model:
    """Bring the mass of each reference to its centre, and its moments with it (section 7.8)."""
    if about.phase is Phase.FINAL:
        return model
    least_px = 0.0
    if about.is_gradient:
        least_px = max(0.01 * about.settings.solvent.diameter_A / model.pixel_size_A, 2.0)
    most_px = about.state.sampling.shift_range_A / model.pixel_size_A
    shifts = [centring.centring_shift(one, most_px, least_px) for one in model.references]
    references = [
        centring.moved(one, shift) for one, shift in zip(model.references, shifts, strict=True)
    ]
    padding = sums.references[0][0].padding
    moments = tuple(
        gradient.shifted_moments(one, shift, padding, model.box_px)
        for one, shift in zip(model.moments, shifts, strict=False)
    )
    return replace(model, references=torch.stack(references), moments=moments)


def _finish_one_(
    accumulator: Accumulator,
    operators: torch.Tensor,
    model: Model,
    class_: int,
    settings: Settings,
) -> None:
    accumulator.finish_()
    if accumulator.ndim == 2:
        return
    grid, units = accumulator.grid, helical.units_to_impose(settings)
    if units > 1:
        found = helical.helix_of(model, class_, settings)
        helical.symmetrise_(accumulator, found, units, model.pixel_size_A)
    if len(operators) > 1:
        # Sums of very many slices are in double precision, for which there is no compiled loop.
        grid.copy_(symmetrise.symmetrise(grid.float(), operators.to(grid.device)))
