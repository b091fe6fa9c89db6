"""What the next iteration does: pure decisions, from state to state (refinement.md section 9).

The loop of a refinement is::

    state = schedule.begin_iteration(state, settings, n_particles)
    projectors = ...                                  # of state.schedule.current_size_px
    if schedule.measures_accuracy(state, settings):
        state = schedule.with_accuracies(state, accuracy.measure(...))
    state = schedule.update_sampling(state, settings)
    sums, assignments = expectation(...)              # of order.particles(...)
    moved = changes.between(state.assignments, assignments, ...)
    state = maximise(...)                             # new models, assignments put into the state
    state = schedule.end_iteration(state, settings, moved)
    if schedule.is_finished(state, settings): stop

Half-set refinements are driven by the first half. No function here looks at images or maps.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from vitreous.engine import healpix
from vitreous.engine import sampling as grids
from vitreous.engine.refinement import (
    schedule_auto,
    schedule_classes,
    schedule_gradient,
    sizes,
)
from vitreous.engine.refinement.accuracy import Accuracies
from vitreous.engine.refinement.changes import Changes
from vitreous.engine.refinement.randomness import Stream, of_run
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.engine.refinement.state import Model, Sampling, Schedule, State

PSI_STEP_2D_DEG = 10.0
NO_RESOLUTION_PER_A = 1 / 999.0  # what RELION keeps before anything is known
MOST_POSES = {2: 5, 3: 100}  # significant poses of gradient runs, per class and thousandfold in 3D


def first_sampling(settings: Settings, pixel_size_A: float) -> Sampling:
    """Return the sampling that a refinement begins with.

    Parameters
    ----------
    pixel_size_A
        Of the references, which the range and step of shifts are given in.
    """
    searching = settings.searching
    order = -1 if settings.ndim == 2 else searching.healpix_order
    by_order_deg = PSI_STEP_2D_DEG if settings.ndim == 2 else healpix.spacing_deg(order)
    psi_step_deg = searching.psi_step_deg if searching.psi_step_deg > 0 else by_order_deg
    range_A = searching.shift_range_px * pixel_size_A
    step_A = searching.shift_step_px * pixel_size_A
    fixed = searching.skip_align or searching.skip_rotate
    return Sampling(
        healpix_order=order,
        psi_step_deg=psi_step_deg,
        shift_range_A=range_A,
        shift_step_A=step_A,
        oversampling=0 if searching.skip_align else searching.oversampling,
        perturbation_factor=0.0 if fixed else searching.perturbation,
        sigma_rot_deg=searching.sigma_rot_deg,
        sigma_tilt_deg=searching.sigma_tilt_deg,
        sigma_psi_deg=searching.sigma_psi_deg,
        point_group=searching.point_group,
        tilt_limit_deg=searching.tilt_limit_deg,
        original_healpix_order=searching.healpix_order,
        original_psi_step_deg=psi_step_deg,
        original_shift_range_A=range_A,
        original_shift_step_A=step_A,
    )


def first_schedule(settings: Settings) -> Schedule:
    """Return the counters that a refinement begins with."""
    return Schedule(
        best_resolution_per_A=NO_RESOLUTION_PER_A,
        size_increment=settings.size_increment,
        tau_fudge=settings.tau_fudge,
    )


def begin_iteration(state: State, settings: Settings, n_particles: int) -> State:
    """Decide on convergence, mini-batch, step, T and image size of the next iteration.

    Parameters
    ----------
    n_particles
        Of the whole data set.

    Returns
    -------
    State
        `schedule.iteration` is the iteration that begins; `schedule.converged` tells that it is
        the final one, with all data up to Nyquist. Sampling is still that of the last iteration.
    """
    before, model = state.schedule, state.models[0]
    if before.iteration == 0:
        before = _before_the_first(before, model, settings)
    converged = settings.auto_refine and schedule_auto.is_converged(before)
    ended = _gradient_ended(before, settings)
    now = replace(
        before, iteration=before.iteration + 1, converged=converged, gradient_converged=ended
    )
    in_gradient = schedule_gradient.is_gradient(now, settings)
    size = (
        schedule_gradient.subset_size(now, settings, n_particles)
        if in_gradient
        else schedule_classes.fast_subset_size(now.iteration, n_particles, settings)
    )
    now = replace(
        now,
        subset_size=size,
        step=schedule_gradient.step_size(now, settings),
        tau_fudge=schedule_gradient.tau_fudge(now, settings),
        current_size_px=_current_size_px(now, model),
    )
    return replace(state, schedule=now)


def measures_accuracy(state: State, settings: Settings) -> bool:
    """Tell whether accuracies are measured in this iteration."""
    searching = settings.searching
    if searching.skip_align or searching.skip_rotate or scores_by_correlation(state, settings):
        return False
    return schedule_gradient.is_revisited(state.schedule, settings)


def with_accuracies(state: State, accuracies: Accuracies) -> State:
    """Put measured accuracies into schedule and models."""
    now = replace(
        state.schedule,
        accuracy_angle_deg=accuracies.best_angle_deg,
        accuracy_shift_A=accuracies.best_shift_A,
    )
    models = tuple(
        replace(
            model,
            class_accuracy_deg=accuracies.angle_deg,
            class_accuracy_A=accuracies.shift_A,
            orientability=accuracies.orientability,
        )
        for model in state.models
    )
    return replace(state, schedule=now, models=models)


def update_sampling(state: State, settings: Settings) -> State:
    """Choose the grid of poses of this iteration: steps, perturbation, coarse image size.

    Priors of directions become uniform where the grid changes.
    """
    now, sampling = state.schedule, state.sampling
    diameter_A = _diameter_A(settings, state.models[0])
    if _may_change_sampling(state, settings):
        if settings.auto_refine or settings.auto_sampling:
            now, sampling = schedule_auto.update(now, sampling, settings, diameter_A)
        elif settings.searching.allow_coarser:
            sampling = schedule_classes.coarser(now, sampling)
    sampling = replace(sampling, perturbation=_perturbation(sampling, now, settings))
    now = replace(now, coarse_size_px=_coarse_size_px(now, sampling, state.models[0], settings))
    models = state.models
    if sampling.healpix_order != state.sampling.healpix_order:
        models = tuple(_with_uniform_directions(model, sampling) for model in models)
    return replace(state, schedule=now, sampling=sampling, models=models)


def end_iteration(state: State, settings: Settings, moved: Changes) -> State:
    """Read the resolution off the new references and count what no longer improves.

    Parameters
    ----------
    state
        With the models and assignments after maximisation.
    moved
        Changes of the particles of this iteration.
    """
    now, model = state.schedule, state.models[0]
    now = schedule_auto.count_changes(now, state.sampling, moved)
    now = _count_resolution(now, _resolution_per_A(state, settings))
    if len(state.models) > 1 or settings.split_halves:
        curve = model.fsc[0]
        high = now.high_fsc_at_limit or sizes.is_high_at_limit(curve, now.current_size_px)
        increment = sizes.size_increment(curve, now.size_increment)
        now = replace(now, high_fsc_at_limit=high, size_increment=increment)
    now = replace(now, mean_pmax=model.mean_pmax)
    models = tuple(
        replace(
            each,
            resolution_per_A=now.resolution_per_A,
            current_size_px=now.current_size_px,
            tau_fudge=now.tau_fudge,
            class_resolution_A=sizes.class_resolutions_A(each.ssnr, each.box_px, each.pixel_size_A),
        )
        for each in state.models
    )
    return replace(state, schedule=now, models=models)


def is_finished(state: State, settings: Settings) -> bool:
    """Tell whether no iteration follows.

    An auto-refinement that reaches its largest number of iterations stops there, without a final
    iteration, as RELION does.
    """
    now = state.schedule
    if settings.auto_refine:
        return now.converged or now.iteration >= settings.max_auto_iterations
    return now.iteration >= settings.n_iterations


def writes_files(state: State, settings: Settings) -> bool:
    """Tell whether the files of this iteration are written."""
    return schedule_gradient.writes(state.schedule, settings)


def scores_by_correlation(state: State, settings: Settings) -> bool:
    """Tell whether this iteration scores by cross-correlation (section 3.6)."""
    return settings.always_cc or (settings.firstiter_cc and state.schedule.iteration <= 1)


def most_poses(settings: Settings) -> int:
    """Return how many significant coarse poses a particle may keep; -1 for all (section 5.2)."""
    given = settings.searching.max_significant
    if given > 0 or settings.algorithm is not Algorithm.GRADIENT:
        return given
    return MOST_POSES[settings.ndim] * settings.n_classes


def _may_change_sampling(state: State, settings: Settings) -> bool:
    """Tell whether steps are looked at: finer ones from iteration 2, coarser ones from 1.

    Where poses cannot be measured yet, as in a first iteration by correlation, the accuracy is
    taken as very bad and the coarsest steps are allowed.
    """
    searching, now = settings.searching, state.schedule
    if searching.skip_align or searching.skip_rotate:
        return False
    finer = settings.auto_refine or settings.auto_sampling
    return schedule_gradient.is_revisited(now, settings) and (now.iteration > 1 or not finer)


def _before_the_first(schedule: Schedule, model: Model, settings: Settings) -> Schedule:
    """Set the resolution that the first iteration begins with."""
    box, pixel_A = model.box_px, model.pixel_size_A
    if settings.low_pass_A > 0:
        shell = sizes.shell(settings.low_pass_A, box, pixel_A)
    elif schedule.resolution_per_A > 0:
        return schedule
    else:
        shell = sizes.resolution_shell(model.ssnr, beyond_gaps=settings.auto_refine)
    return replace(
        schedule,
        resolution_per_A=shell / (box * pixel_A),
        best_resolution_per_A=max(schedule.best_resolution_per_A, shell / (box * pixel_A)),
    )


def _gradient_ended(schedule: Schedule, settings: Settings) -> bool:
    in_gradient = settings.auto_refine and settings.algorithm is Algorithm.GRADIENT
    return in_gradient and schedule_auto.gradient_phase_ends(schedule)


def _current_size_px(schedule: Schedule, model: Model) -> int:
    if schedule.converged:
        return model.box_px
    shell = round(schedule.resolution_per_A * model.box_px * model.pixel_size_A)
    return sizes.current_size_px(
        shell,
        model.box_px,
        increment=schedule.size_increment,
        may_leap=schedule.high_fsc_at_limit and schedule.mean_pmax > sizes.SURE,
    )


def _coarse_size_px(
    schedule: Schedule, sampling: Sampling, model: Model, settings: Settings
) -> int:
    """Return the size of the first pass in the box of the references; sections 5.1 and 5.5."""
    finest_A = settings.searching.finest_A
    if finest_A > 0:  # holds in both passes
        side_A = model.box_px * model.pixel_size_A
        return sizes.limited_size_px(schedule.current_size_px, finest_A, side_A)
    if sampling.oversampling == 0:
        return schedule.current_size_px
    size = sizes.coarse_size_px(
        schedule_auto.coarse_step_deg(sampling),
        _diameter_A(settings, model),
        model.box_px,
        model.pixel_size_A,
        settings.ndim,
    )
    limit = settings.searching.coarse_size_px
    if limit > 0:
        size = min(size, limit)
    return min(size, schedule.current_size_px)


def _diameter_A(settings: Settings, model: Model) -> float:
    """Return the diameter of the particle; the box less its soft edge where none is given."""
    if settings.solvent.diameter_A > 0:
        return settings.solvent.diameter_A
    return (model.box_px - settings.solvent.edge_px) * model.pixel_size_A


def _perturbation(sampling: Sampling, schedule: Schedule, settings: Settings) -> float:
    seed = of_run(settings.seed, Stream.PERTURBATION, schedule.iteration).integers(2**62)
    generator = torch.Generator().manual_seed(int(seed))
    return grids.next_perturbation(sampling.perturbation, sampling.perturbation_factor, generator)


def _with_uniform_directions(model: Model, sampling: Sampling) -> Model:
    n_directions = count_directions(sampling)
    shares = model.class_weight[:, None] / n_directions
    return replace(model, direction_weight=shares.expand(-1, n_directions).clone())


def count_directions(sampling: Sampling) -> int:
    """Return the number of coarse directions; 1 in 2D."""
    if sampling.healpix_order < 0:
        return 1
    return _count_directions(sampling.healpix_order, sampling.point_group, sampling.tilt_limit_deg)


@cache
def _count_directions(order: int, point_group: str, tilt_limit_deg: float) -> int:
    grid = grids.Grid(order, point_group=point_group, tilt_limit_deg=tilt_limit_deg)
    return len(grid.pixels())


def _resolution_per_A(state: State, settings: Settings) -> float:
    model = state.models[0]
    box_A = model.box_px * model.pixel_size_A
    if scores_by_correlation(state, settings) and settings.low_pass_A > 0:
        return sizes.shell(settings.low_pass_A, model.box_px, model.pixel_size_A) / box_A
    return sizes.resolution_shell(model.ssnr, beyond_gaps=settings.auto_refine) / box_A


def _count_resolution(schedule: Schedule, resolution_per_A: float) -> Schedule:
    improved = resolution_per_A > schedule.resolution_per_A + 1e-4
    return replace(
        schedule,
        resolution_per_A=resolution_per_A,
        best_resolution_per_A=max(schedule.best_resolution_per_A, resolution_per_A),
        resolution_no_gain=0 if improved else schedule.resolution_no_gain + 1,
    )
