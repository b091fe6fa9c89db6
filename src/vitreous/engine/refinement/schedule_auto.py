"""Automatic sampling and convergence (refinement.md section 9).

Steps become finer when the map no longer improves and poses no longer change, unless they are
already finer than poses can be told apart; when nothing changes even then, the run has converged.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, pi

from vitreous.engine import healpix
from vitreous.engine.refinement.changes import Changes
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Sampling, Schedule

MORE = 1.03  # a change has stopped falling when 1.03 of it exceeds the smallest so far
NEGLIGIBLE = 0.4  # of a step
FINE_ENOUGH = 0.75  # of the accuracy of angles
SHIFT_PER_ACCURACY = 0.75
LARGEST_FINE_SHIFT_A = 1.5
RANGE_PER_CHANGE = 5.0
LOCAL_WIDTH = 2.0  # sigma of local searches, in fine steps

GRADIENT_EVERY = 10
GRADIENT_FINE_ENOUGH = 0.9
GRADIENT_SMALLEST_RATIO = 0.75
GRADIENT_NO_GAIN = 2
GRADIENT_PAUSE = 5
GRADIENT_END = 4


def is_converged(schedule: Schedule) -> bool:
    """Tell whether the next iteration is the final one of an auto-refinement (9.4)."""
    still = schedule.resolution_no_gain >= 1 and schedule.changes_no_gain >= 1
    return schedule.converged or (schedule.fine_enough and still)


def count_changes(schedule: Schedule, sampling: Sampling, changes: Changes) -> Schedule:
    """Note how much the poses changed, and whether they still change less each time (9.3).

    Changes well below a step are none. At first the steps are those of the fine pass. Once the
    sampling has been made finer they are what it had before: of angles in the fine pass, of
    shifts in the coarse one. So do the replayed runs of RELION 3.1.3 and 5.0.1.
    """
    angle_deg, shift_A = _steps_before(schedule, sampling)
    classes_still = MORE * changes.class_ >= schedule.smallest_class
    shifts_still = (
        changes.shift_A < NEGLIGIBLE * shift_A
        or MORE * changes.shift_A >= schedule.smallest_shift_A
    )
    angles_still = (
        changes.angle_deg < NEGLIGIBLE * angle_deg
        or MORE * changes.angle_deg >= schedule.smallest_angle_deg
    )
    still = classes_still and shifts_still and angles_still
    return replace(
        schedule,
        changes_angle_deg=changes.angle_deg,
        changes_shift_A=changes.shift_A,
        changes_class=changes.class_,
        smallest_angle_deg=min(schedule.smallest_angle_deg, changes.angle_deg),
        smallest_shift_A=min(schedule.smallest_shift_A, changes.shift_A),
        smallest_class=min(schedule.smallest_class, changes.class_),
        changes_no_gain=schedule.changes_no_gain + 1 if still else 0,
    )


def update(
    schedule: Schedule, sampling: Sampling, settings: Settings, diameter_A: float
) -> tuple[Schedule, Sampling]:
    """Make the sampling finer where that would help (9.2).

    Parameters
    ----------
    schedule
        With the accuracies of this iteration, and the counters and changes of the last one.
    sampling
        Of the last iteration.
    diameter_A
        Of the particle.
    """
    if not _is_time(schedule, sampling, settings, diameter_A):
        return schedule, sampling
    fine_enough = GRADIENT_FINE_ENOUGH if _gradient(schedule, settings) else FINE_ENOUGH
    if sampling.fine_step_deg < fine_enough * schedule.accuracy_angle_deg:
        return replace(schedule, fine_enough=True), sampling
    if _waits_for_local(schedule, sampling, settings):
        return schedule, sampling
    finer = _finer_angles(_finer_shifts(schedule, sampling, settings), settings)
    again = replace(
        _restart_counters(schedule, settings),
        previous_step_deg=sampling.fine_step_deg,
        previous_shift_step_A=sampling.shift_step_A,
    )
    return again, finer


def step_of_resolution_deg(resolution_per_A: float, diameter_A: float) -> float:
    """Return the angular step that a resolution asks for: whole steps in a circle (Crowther)."""
    return 360.0 / ceil(pi * diameter_A * resolution_per_A)


def coarse_step_deg(sampling: Sampling) -> float:
    """Return the angular step of the coarse pass."""
    if sampling.healpix_order < 0:
        return sampling.psi_step_deg
    return healpix.spacing_deg(sampling.healpix_order)


def gradient_phase_ends(schedule: Schedule) -> bool:
    """Tell whether a gradient-assisted auto-refinement goes on by expectation-maximisation."""
    return schedule.gradient_converged or schedule.resolution_no_gain >= GRADIENT_END


def _gradient(schedule: Schedule, settings: Settings) -> bool:
    is_gradient = settings.algorithm is settings.algorithm.GRADIENT
    return settings.auto_refine and is_gradient and not schedule.gradient_converged


def _is_time(schedule: Schedule, sampling: Sampling, settings: Settings, diameter_A: float) -> bool:
    """Tell whether map and poses have stopped improving with this sampling."""
    if _gradient(schedule, settings):
        examined = schedule.iteration % GRADIENT_EVERY == 0
        rested = schedule.iteration > schedule.suspend_finer_until
        return examined and rested and schedule.resolution_no_gain >= GRADIENT_NO_GAIN
    wanted_deg = step_of_resolution_deg(schedule.resolution_per_A, diameter_A)
    searching = settings.searching
    finer_by_resolution = (
        searching.angles_from_resolution
        and wanted_deg < sampling.fine_step_deg
        and sampling.healpix_order + 1 != searching.auto_local_order
    )
    map_still = schedule.resolution_no_gain >= 1 or finer_by_resolution
    return map_still and (searching.ignore_angles or schedule.changes_no_gain >= 1)


def _steps_before(schedule: Schedule, sampling: Sampling) -> tuple[float, float]:
    """Return what changes of angles and shifts are held against; see `count_changes`."""
    if schedule.previous_step_deg > 0:
        return schedule.previous_step_deg, schedule.previous_shift_step_A
    if sampling.healpix_order > sampling.original_healpix_order:
        # A run of RELION goes on here: its files do not keep the steps before.
        return coarse_step_deg(sampling), sampling.shift_step_A
    return sampling.fine_step_deg, sampling.fine_shift_step_A


def _waits_for_local(schedule: Schedule, sampling: Sampling, settings: Settings) -> bool:
    """Tell whether the next step would be a local search that must not come yet."""
    if sampling.healpix_order + 1 < settings.searching.auto_local_order:
        return False
    if not settings.auto_refine:
        return sampling.healpix_order >= 0
    return _gradient(schedule, settings) and schedule.iteration <= schedule.suspend_local_until


def _finer_shifts(schedule: Schedule, sampling: Sampling, settings: Settings) -> Sampling:
    coarse = 2.0**sampling.oversampling
    old = sampling.shift_step_A
    if _gradient(schedule, settings):
        fine_A = min(LARGEST_FINE_SHIFT_A, GRADIENT_FINE_ENOUGH * schedule.accuracy_shift_A)
        step = max(fine_A * coarse, GRADIENT_SMALLEST_RATIO * old)
    else:
        step = coarse * min(LARGEST_FINE_SHIFT_A, SHIFT_PER_ACCURACY * schedule.accuracy_shift_A)
    range_A = min(RANGE_PER_CHANGE * schedule.changes_shift_A, 1.3 * sampling.shift_range_A)
    range_A = max(range_A, 1.5 * step)
    if range_A > 4 * step:
        range_A /= 2
        if range_A > 4 * step:
            step = range_A / 4
    if step > old:
        step, range_A = old, sampling.shift_range_A
    return replace(sampling, shift_step_A=step, shift_range_A=range_A)


def _finer_angles(sampling: Sampling, settings: Settings) -> Sampling:
    if sampling.healpix_order < 0:
        return replace(sampling, psi_step_deg=sampling.psi_step_deg / 2)
    order = sampling.healpix_order + 1
    finer = replace(sampling, healpix_order=order, psi_step_deg=healpix.spacing_deg(order))
    if order < settings.searching.auto_local_order or not settings.auto_refine:
        return finer
    sigma_deg = LOCAL_WIDTH * finer.fine_step_deg
    return replace(
        finer, sigma_rot_deg=sigma_deg, sigma_tilt_deg=sigma_deg, sigma_psi_deg=sigma_deg
    )


def _restart_counters(schedule: Schedule, settings: Settings) -> Schedule:
    fresh = Schedule()
    again = replace(
        schedule,
        fine_enough=False,
        resolution_no_gain=0,
        changes_no_gain=0,
        smallest_angle_deg=fresh.smallest_angle_deg,
        smallest_shift_A=fresh.smallest_shift_A,
        smallest_class=fresh.smallest_class,
    )
    if not _gradient(schedule, settings):
        return again
    pause = schedule.iteration + GRADIENT_PAUSE
    return replace(
        again,
        subset_order=schedule.subset_order + 1,
        suspend_finer_until=pause,
        suspend_local_until=pause,
    )
