"""Sampling and subsets of classifications by expectation-maximisation (section 10)."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

from vitreous.engine import healpix
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Sampling, Schedule

PER_ACCURACY = 0.8
WIDEST_STEP = 0.95  # of the range of shifts

SUBSET_PER_CLASS = {2: 100, 3: 1500}
LATE_FRACTION = 0.3
ITERATIONS_PER_SUBSET = 5
FEWEST_ITERATIONS = 20


def coarser(schedule: Schedule, sampling: Sampling) -> Sampling:
    """Search no finer than poses can be told apart, never finer than at the start.

    Parameters
    ----------
    schedule
        With the accuracies of this iteration.
    sampling
        Of the last iteration; its original steps are the finest allowed.
    """
    oversampled = 2.0**sampling.oversampling
    wanted_A = PER_ACCURACY * schedule.accuracy_shift_A * oversampled
    step = max(sampling.original_shift_step_A, wanted_A)
    step = min(step, WIDEST_STEP * sampling.shift_range_A)
    sampling = replace(sampling, shift_step_A=max(step, sampling.original_shift_step_A))
    if sampling.healpix_order < 0:
        wanted_deg = PER_ACCURACY * schedule.accuracy_angle_deg * oversampled
        wanted_deg = max(sampling.original_psi_step_deg, wanted_deg)
        return replace(sampling, psi_step_deg=360.0 / ceil(360.0 / wanted_deg - 1e-6))
    order = _coarser_order(schedule.accuracy_angle_deg, sampling)
    return replace(sampling, healpix_order=order, psi_step_deg=healpix.spacing_deg(order))


def fast_subset_size(iteration: int, n_particles: int, settings: Settings) -> int:
    """Return how many particles an iteration looks at; -1 for all.

    Parameters
    ----------
    iteration
        From 1.
    """
    if not settings.fast_subsets:
        return -1
    first = SUBSET_PER_CLASS[settings.ndim] * settings.n_classes
    stage = (iteration - 1) // ITERATIONS_PER_SUBSET
    sizes = [first, 3 * first, max(3 * first, int(LATE_FRACTION * n_particles))]
    size = sizes[stage] if stage < len(sizes) else n_particles
    return size if size < n_particles else -1


def _coarser_order(accuracy_deg: float, sampling: Sampling) -> int:
    """Return the coarsest order whose fine step poses can still tell apart, one finer kept."""
    order = sampling.original_healpix_order
    while order > 0 and _fine_step(order, sampling) < PER_ACCURACY * accuracy_deg:
        order -= 1
    return min(order + 1, sampling.original_healpix_order)


def _fine_step(order: int, sampling: Sampling) -> float:
    return healpix.spacing_deg(order + sampling.oversampling)
