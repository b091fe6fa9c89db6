"""The schedule decides as RELION did: whole runs are replayed iteration by iteration.

A replay is told what was measured (accuracies, changes, signal to noise, FSC, Pmax) and must decide
on sizes, sampling, counters and convergence as the real program did.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import refinement_replay as replays
from refinement_replay import GOLDEN, Run, Step
from vitreous.engine import sampling as grids
from vitreous.engine.refinement import schedule, schedule_gradient
from vitreous.engine.refinement.settings import Algorithm, Gradient, Searching, Settings, Solvent
from vitreous.engine.refinement.state import State
from vitreous.io.star import read_star

REAL = Settings(
    auto_refine=True,
    auto_sampling=True,
    split_halves=True,
    low_pass_A=40,
    firstiter_cc=True,
    searching=Searching(
        healpix_order=2, shift_range_px=5, shift_step_px=2, point_group="D2", auto_local_order=4
    ),
    solvent=Solvent(diameter_A=190),
)
AUTO = replace(REAL, solvent=Solvent(diameter_A=200))
FASTER = replace(REAL.searching, ignore_angles=True, angles_from_resolution=True)
CLASS2D = Settings(
    ndim=2,
    n_classes=3,
    n_iterations=8,
    from_nothing=True,
    low_pass_A=80,
    searching=Searching(psi_step_deg=12, shift_range_px=5, shift_step_px=2),
    solvent=Solvent(diameter_A=200),
)
CLASS3D = Settings(
    n_classes=2,
    n_iterations=6,
    low_pass_A=40,
    firstiter_cc=True,
    searching=Searching(
        healpix_order=2, shift_range_px=4, shift_step_px=1, point_group="D2", allow_coarser=True
    ),
    solvent=Solvent(diameter_A=200),
)
LOCAL = Searching(
    healpix_order=3,
    shift_range_px=3,
    shift_step_px=1,
    point_group="D2",
    sigma_rot_deg=5,
    sigma_tilt_deg=5,
    sigma_psi_deg=5,
)
RUNS: dict[str, Settings] = {
    "auto_d2_real": REAL,
    "auto_stopped": replace(AUTO, low_pass_A=30, firstiter_cc=False, max_auto_iterations=2),
    "auto_ignore": replace(AUTO, searching=replace(FASTER, auto_local_order=3)),
    "auto_ignore_local": replace(
        AUTO, low_pass_A=60, searching=replace(FASTER, healpix_order=1, auto_local_order=3)
    ),
    "auto_local": replace(
        AUTO, low_pass_A=60, searching=replace(AUTO.searching, healpix_order=1, auto_local_order=2)
    ),
    "class2d": CLASS2D,
    "class2d_coarser": replace(
        CLASS2D,
        searching=Searching(psi_step_deg=6, shift_range_px=5, shift_step_px=1, allow_coarser=True),
    ),
    "class2d_subsets": replace(
        CLASS2D,
        n_classes=1,
        n_iterations=20,
        fast_subsets=True,
        searching=Searching(psi_step_deg=24, shift_range_px=3, shift_step_px=3),
    ),
    "class3d_coarser": CLASS3D,
    "class3d_local": replace(
        CLASS3D, n_classes=1, n_iterations=2, low_pass_A=20, firstiter_cc=False, searching=LOCAL
    ),
}
N_PARTICLES = 400


def _decisions(run: Run, step: Step) -> dict[str, tuple[float, float]]:
    """Return ours and RELION's, by what was decided."""
    begun, ended, sampling = step.begun.schedule, step.ended.schedule, step.begun.sampling
    ours = {
        "CurrentImageSize": begun.current_size_px,
        "CurrentResolution": 1 / ended.resolution_per_A,
        "BestResolutionThusFar": ended.best_resolution_per_A,
        "NumberOfIterWithoutResolutionGain": ended.resolution_no_gain,
        "NumberOfIterWithoutChangingAssignments": ended.changes_no_gain,
        "IncrementImageSize": ended.size_increment,
        "HasHighFscAtResolLimit": ended.high_fsc_at_limit,
        "HasConverged": begun.converged,
        "SmallestChangesOrientations": ended.smallest_angle_deg,
        "SmallestChangesOffsets": ended.smallest_shift_A,
        "HealpixOrder": sampling.healpix_order,
        "PsiStep": sampling.psi_step_deg,
        "OffsetRange": sampling.shift_range_A,
        "OffsetStep": sampling.shift_step_A,
        "SigmaPriorRotAngle": sampling.sigma_rot_deg,
        "SgdSubsetSize": begun.subset_size,
    }
    theirs = {label: run.value(step.row, label) for label in ours}
    if sampling.healpix_order < 0:  # RELION writes a meaningless order in 2D
        ours.pop("HealpixOrder")
    return {label: (value, theirs[label]) for label, value in ours.items()}


def _agree(run: Run, steps: list[Step], unknown: Mapping[int, set[str]] | None = None) -> None:
    """Hold every decision to RELION's where its files tell it; most must."""
    for step in steps:
        told = {
            label: pair
            for label, pair in _decisions(run, step).items()
            if not math.isnan(pair[1]) and label not in (unknown or {}).get(step.row, set())
        }
        assert len(told) >= 8
        for label, (ours, theirs) in told.items():
            assert ours == pytest.approx(theirs, rel=2e-5, abs=2e-6), f"{label}, row {step.row}"


@pytest.mark.parametrize("name", RUNS)
def test_runs_of_relion_3_are_replayed(name: str) -> None:
    run = replays.load(GOLDEN / f"{name}.star")
    steps = replays.replay(run, RUNS[name], N_PARTICLES)
    assert len(steps) == len(run) - 1
    _agree(run, steps)
    assert schedule.is_finished(steps[-1].ended, RUNS[name]) == (name not in UNFINISHED)


UNFINISHED = {"auto_d2_real"}  # stopped by hand


def test_a_run_of_relion_5_is_replayed(data: Path) -> None:
    run = replays.load(data / "relion5_runs" / "refine3d_d2")
    steps = replays.replay(run, REAL, 684)
    assert len(steps) == 12
    _agree(run, steps)
    orders = [step.begun.sampling.healpix_order for step in steps]
    assert orders == [2, 2, 2, 3, 3, 3, 4, 4, 5, 5, 5, 5]
    assert [step.begun.schedule.converged for step in steps] == [False] * 11 + [True]
    assert schedule.is_finished(steps[-1].ended, REAL)


def test_replays_cover_what_they_should() -> None:
    """Local searches, convergence, leaps of the size and coarser grids all occur in them."""
    seen = {}
    for name, settings in RUNS.items():
        run = replays.load(GOLDEN / f"{name}.star")
        seen[name] = replays.replay(run, settings, N_PARTICLES)
    assert any(step.begun.sampling.is_local for step in seen["auto_ignore_local"])
    assert any(step.begun.schedule.converged for step in seen["auto_ignore"])
    assert any(step.ended.schedule.high_fsc_at_limit for step in seen["auto_d2_real"])
    assert {step.begun.sampling.healpix_order for step in seen["class3d_coarser"]} == {1, 2}
    assert [step.begun.schedule.subset_size for step in seen["class2d_subsets"]] == (
        [100] * 5 + [300] * 10 + [-1] * 5
    )


@pytest.mark.parametrize("name", [name for name in RUNS if name.startswith("auto")])
def test_perturbations_move_as_in_relion(name: str) -> None:
    """RELION's recorded perturbations take steps that ours can take."""
    run = replays.load(GOLDEN / f"{name}.star")
    values = [run.value(row, "SamplingPerturbInstance") for row in range(len(run))]
    values = [value for value in values if not math.isnan(value)]
    for before, after in itertools.pairwise(values):
        assert 0.25 - 1e-4 <= (after - before) % 1 <= 0.5 + 1e-4
        assert -0.5 <= after <= 0.5


def test_perturbation_belongs_to_seed_and_iteration() -> None:
    state = _state(REAL)
    first = [_after(state, REAL, n).sampling.perturbation for n in range(1, 6)]
    again = [_after(state, REAL, n).sampling.perturbation for n in range(1, 6)]
    other = [_after(state, replace(REAL, seed=1), n).sampling.perturbation for n in range(1, 6)]
    assert first == again
    assert first != other
    assert len(set(first)) == 5


@pytest.mark.parametrize("option", ["skip_align", "skip_rotate"])
def test_fixed_orientations_are_not_perturbed(option: str) -> None:
    settings = replace(CLASS3D, searching=replace(CLASS3D.searching, **{option: True}))
    state = _after(_state(settings), settings, 2)
    assert state.sampling.perturbation == 0
    assert not schedule.measures_accuracy(state, settings)
    assert state.sampling.healpix_order == 2


def test_priors_of_directions_are_uniform_on_a_new_grid() -> None:
    settings = replace(CLASS3D, low_pass_A=10, firstiter_cc=False)
    state = _state(settings)
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    model = replace(state.models[0], class_weight=weights)
    state = schedule.begin_iteration(replace(state, models=(model,)), settings, 400)
    coarse = replace(state.schedule, accuracy_angle_deg=20.0, accuracy_shift_A=5.0)
    state = schedule.update_sampling(replace(state, schedule=coarse), settings)
    table = state.models[0].direction_weight
    assert state.sampling.healpix_order == 1
    assert table.shape == (2, schedule.count_directions(state.sampling))
    torch.testing.assert_close(table.sum(1), weights)
    assert float(table.std(1).max()) == 0


def test_the_final_iteration_takes_all_data_to_nyquist() -> None:
    state = _state(AUTO)
    ready = replace(
        state.schedule,
        iteration=7,
        resolution_per_A=0.05,
        fine_enough=True,
        resolution_no_gain=1,
        changes_no_gain=1,
    )
    state = schedule.begin_iteration(replace(state, schedule=ready), AUTO, 400)
    assert state.schedule.converged
    assert state.schedule.current_size_px == state.models[0].box_px
    assert schedule.is_finished(state, AUTO)


@pytest.mark.parametrize("missing", ["fine_enough", "resolution_no_gain", "changes_no_gain"])
def test_nothing_less_converges(missing: str) -> None:
    state = _state(AUTO)
    ready = {"fine_enough": True, "resolution_no_gain": 1, "changes_no_gain": 1}
    ready[missing] = False if missing == "fine_enough" else 0
    now = replace(state.schedule, iteration=7, resolution_per_A=0.05, **ready)
    state = schedule.begin_iteration(replace(state, schedule=now), AUTO, 400)
    assert not state.schedule.converged


def test_coarse_sizes_follow_the_step_and_stay_below_the_fine_one() -> None:
    state = _after(_state(REAL), REAL, 1)
    step_A = 15 / 360 * math.pi * 190 / 1.2
    expected = 2 * math.ceil(64 * 3.54 / step_A)
    assert state.schedule.coarse_size_px == expected < state.schedule.current_size_px
    limited = replace(REAL, searching=replace(REAL.searching, coarse_size_px=12))
    assert _after(_state(limited), limited, 1).schedule.coarse_size_px == 12
    single = replace(REAL, searching=replace(REAL.searching, oversampling=0))
    state = _after(_state(single), single, 1)
    assert state.schedule.coarse_size_px == state.schedule.current_size_px


def test_a_strict_limit_is_the_size_of_the_first_pass() -> None:
    limited = replace(REAL, searching=replace(REAL.searching, finest_A=25.0))
    state = _after(_state(limited), limited, 1)
    assert (
        state.schedule.coarse_size_px == 2 * round(64 * 3.54 / 25) < state.schedule.current_size_px
    )
    loose = replace(REAL, searching=replace(REAL.searching, finest_A=5.0))
    state = _after(_state(loose), loose, 1)
    assert state.schedule.coarse_size_px == state.schedule.current_size_px


def test_without_a_low_pass_the_signal_of_the_reference_counts() -> None:
    settings = replace(CLASS3D, low_pass_A=-1)
    state = _state(settings)
    ssnr = torch.zeros(2, 33, dtype=torch.float64)
    ssnr[1, :9] = 5.0
    model = replace(state.models[0], ssnr=ssnr)
    state = schedule.begin_iteration(replace(state, models=(model,)), settings, 400)
    assert state.schedule.current_size_px == 2 * (8 + 10)


VDAM = replace(
    CLASS2D,
    n_classes=10,
    n_iterations=100,
    algorithm=Algorithm.GRADIENT,
    tau_fudge=2.0,
    low_pass_A=40,
)


def test_vdam_ends_as_relion_5_did(data: Path) -> None:
    folder = data / "relion5_runs" / "class2d_vdam"
    general = read_star(folder / "run_it100_optimiser.star")["optimiser_general"]
    model = read_star(folder / "run_it100_model.star")["model_general"]
    sizes = schedule_gradient.subset_sizes(VDAM, 684)
    assert sizes == (
        general["rlnSgdInitialSubsetSize"][0],
        general["rlnSgdFinalSubsetSize"][0],
    )
    last = _vdam(100, 684)
    assert last.schedule.subset_size == general["rlnSgdSubsetSize"][0] == -1
    assert last.schedule.step == pytest.approx(general["rlnGradCurrentStepsize"][0], abs=1e-3)
    assert last.schedule.tau_fudge == pytest.approx(model["rlnTau2FudgeFactor"][0], abs=1e-3)


def test_mini_batches_grow_on_a_line_between_the_outer_phases() -> None:
    n = 100_000
    sizes = [_vdam(iteration, n).schedule.subset_size for iteration in range(1, 101)]
    first, last = schedule_gradient.subset_sizes(VDAM, n)
    assert (first, last) == (500, 5000)
    assert sizes[:30] == [first] * 30
    assert sizes[54] == pytest.approx((first + last) / 2, rel=0.01)
    assert sizes[80:99] == [last] * 19
    assert sizes[99] == -1
    assert all(b >= a for a, b in itertools.pairwise(sizes[:99]))


def test_steps_fall_and_t_rises() -> None:
    etas = [_vdam(iteration, 10_000).schedule.step for iteration in range(1, 101)]
    fudges = [_vdam(iteration, 10_000).schedule.tau_fudge for iteration in range(1, 101)]
    assert etas[0] == pytest.approx(0.9, rel=0.001)
    assert etas[-1] == pytest.approx(0.3, rel=0.001)
    assert etas[42] == pytest.approx(0.6, rel=0.07)  # half-way at 30 + 25 / 2
    assert fudges[0] == pytest.approx(1.0, rel=0.01)
    assert fudges[-1] == pytest.approx(2.0, rel=0.001)
    assert all(b <= a for a, b in itertools.pairwise(etas))
    assert all(b >= a for a, b in itertools.pairwise(fudges))


def test_class3d_gradients_are_plain() -> None:
    settings = replace(CLASS3D, algorithm=Algorithm.GRADIENT, n_iterations=100, tau_fudge=4.0)
    for iteration in (1, 50, 100):
        state = _at(settings, iteration, 50_000)
        assert (state.schedule.step, state.schedule.tau_fudge) == (0.3, 4.0)
    assert schedule_gradient.subset_sizes(settings, 50_000) == (5_000, 5_000)


def test_initial_models_take_small_batches() -> None:
    settings = Settings(from_nothing=True, algorithm=Algorithm.GRADIENT, n_iterations=200)
    assert schedule_gradient.subset_sizes(settings, 100_000) == (500, 10_000)
    assert schedule_gradient.subset_sizes(settings, 5_000_000) == (5_000, 50_000)
    assert _at(settings, 1, 100_000).schedule.step == pytest.approx(0.9, rel=0.001)
    assert _at(settings, 200, 100_000).schedule.step == pytest.approx(0.5, rel=0.001)


@pytest.mark.parametrize(
    ("scheme", "first"), [("plain", 0.3), ("", 0.9), ("2-step", 0.6), ("1.5-step", 0.45)]
)
def test_step_schemes(scheme: str, first: float) -> None:
    settings = replace(VDAM, gradient=Gradient(step_scheme=scheme))
    assert _at(settings, 1, 1000).schedule.step == pytest.approx(first, rel=0.001)


@pytest.mark.parametrize("scheme", ["fast", "-3-step", "3", "1e-step", "0-step"])
def test_unknown_schemes_are_refused_by_name(scheme: str) -> None:
    settings = replace(VDAM, gradient=Gradient(tau_fudge_scheme=scheme))
    with pytest.raises(ValueError, match=f"{scheme!r}.*'plain'.*'3-step'"):
        _at(settings, 1, 1000)


def test_trailing_iterations_by_em_use_everything() -> None:
    settings = replace(VDAM, gradient=Gradient(em_iterations=3))
    phases = [
        schedule_gradient.phase(iteration, schedule.first_schedule(settings), settings)
        for iteration in (1, 29, 30, 77, 79, 97, 98, 100)
    ]
    Phase = schedule_gradient.Phase
    assert phases[:2] == [Phase.INITIAL] * 2
    assert phases[2:4] == [Phase.BETWEEN] * 2
    assert phases[4:6] == [Phase.FINAL] * 2
    assert phases[6:] == [Phase.EM] * 2
    state = _at(settings, 98, 100_000)
    assert (state.schedule.subset_size, state.schedule.step) == (-1, 0.0)


def test_vdam_looks_at_sampling_and_writes_every_ten_iterations() -> None:
    measured, written = [], []
    state = _state(VDAM)
    for _ in range(25):
        state = schedule.begin_iteration(state, VDAM, 5000)
        if schedule.measures_accuracy(state, VDAM):
            measured.append(state.schedule.iteration)
            now = replace(state.schedule, accuracy_angle_deg=5.0, accuracy_shift_A=2.0)
            state = replace(state, schedule=now)
        if schedule.writes_files(state, VDAM):
            written.append(state.schedule.iteration)
    assert measured == [1, 10, 20]
    assert written == [10, 20]
    assert schedule.writes_files(_vdam(100, 5000), VDAM)


def test_gradient_runs_keep_fewer_poses() -> None:
    assert schedule.most_poses(VDAM) == 50
    assert schedule.most_poses(replace(VDAM, ndim=3)) == 1000
    assert schedule.most_poses(CLASS2D) == -1
    given = replace(VDAM, searching=Searching(max_significant=7))
    assert schedule.most_poses(given) == 7


GRADIENT_AUTO = replace(AUTO, algorithm=Algorithm.GRADIENT)


def test_gradient_refinement_goes_finer_every_ten_iterations_and_rests() -> None:
    state = _ready_for_gradient(iteration=19)
    state = _begin_and_update(state)
    assert state.sampling.healpix_order == 3
    assert state.schedule.subset_order == 1
    assert state.schedule.suspend_finer_until == 25
    assert state.sampling.shift_step_A >= 0.75 * 14.16 - 1e-9  # shrinks by a quarter at most
    other = _begin_and_update(_ready_for_gradient(iteration=20))
    assert other.sampling.healpix_order == 2


def test_gradient_refinement_doubles_its_subset_with_each_order() -> None:
    now = schedule.first_schedule(GRADIENT_AUTO)
    sizes = [
        schedule_gradient.subset_size(
            replace(now, iteration=5, subset_order=order), GRADIENT_AUTO, 100_000
        )
        for order in range(5)
    ]
    assert sizes == [10_000, 20_000, 40_000, 80_000, -1]


def test_gradient_refinement_ends_by_em() -> None:
    state = _ready_for_gradient(iteration=31)
    stuck = replace(state.schedule, resolution_no_gain=4)
    state = schedule.begin_iteration(replace(state, schedule=stuck), GRADIENT_AUTO, 100_000)
    assert state.schedule.gradient_converged
    assert state.schedule.subset_size == -1
    assert not schedule_gradient.is_gradient(state.schedule, GRADIENT_AUTO)
    state = schedule.begin_iteration(state, GRADIENT_AUTO, 100_000)
    assert state.schedule.gradient_converged


def test_automatic_sampling_of_classifications_never_goes_local() -> None:
    settings = replace(CLASS3D, auto_sampling=True, firstiter_cc=False)
    state = _state(settings)
    still = replace(
        state.schedule,
        iteration=5,
        resolution_per_A=0.05,
        resolution_no_gain=2,
        changes_no_gain=2,
        changes_shift_A=3.0,
    )
    for order in (2, 3):
        sampling = replace(
            state.sampling, healpix_order=order, psi_step_deg=60 / 2**order, shift_step_A=20.0
        )
        begun = replace(state, schedule=still, sampling=sampling)
        begun = schedule.begin_iteration(begun, settings, 400)
        now = replace(begun.schedule, accuracy_angle_deg=1.0, accuracy_shift_A=1.0)
        after = schedule.update_sampling(replace(begun, schedule=now), settings)
        assert after.sampling.healpix_order == 3
        assert not after.sampling.is_local


def test_automatic_sampling_halves_psi_in_2d() -> None:
    settings = replace(CLASS2D, auto_sampling=True)
    state = _state(settings)
    still = replace(
        state.schedule, iteration=5, resolution_per_A=0.05, resolution_no_gain=1, changes_no_gain=1
    )
    begun = schedule.begin_iteration(replace(state, schedule=still), settings, 400)
    now = replace(begun.schedule, accuracy_angle_deg=1.0, accuracy_shift_A=1.0)
    after = schedule.update_sampling(replace(begun, schedule=now), settings)
    assert after.sampling.psi_step_deg == 6
    assert len(grids.psi_angles(after.sampling.psi_step_deg)) == 60


def _state(settings: Settings) -> State:
    box_px, pixel_A = (64, 3.54)
    model = replays.model_of(box_px, pixel_A, settings.n_classes, settings.ndim)
    sampling = schedule.first_sampling(settings, pixel_A)
    assignments = replays.assignments_of(1)
    return State(schedule.first_schedule(settings), sampling, (model,), assignments)


def _after(state: State, settings: Settings, n: int) -> State:
    """Begin some iterations in which nothing is measured."""
    for _ in range(n):
        state = schedule.begin_iteration(state, settings, N_PARTICLES)
        state = schedule.update_sampling(state, settings)
    return state


def _at(settings: Settings, iteration: int, n_particles: int) -> State:
    state = _state(settings)
    before = replace(state.schedule, iteration=iteration - 1, resolution_per_A=0.02)
    return schedule.begin_iteration(replace(state, schedule=before), settings, n_particles)


def _vdam(iteration: int, n_particles: int) -> State:
    return _at(VDAM, iteration, n_particles)


def _ready_for_gradient(iteration: int) -> State:
    state = _state(GRADIENT_AUTO)
    sampling = replace(state.sampling, shift_step_A=14.16)
    now = replace(
        state.schedule,
        iteration=iteration,
        resolution_per_A=0.05,
        resolution_no_gain=2,
        changes_shift_A=2.0,
    )
    return replace(state, schedule=now, sampling=sampling)


def _begin_and_update(state: State) -> State:
    state = schedule.begin_iteration(state, GRADIENT_AUTO, 100_000)
    now = replace(state.schedule, accuracy_angle_deg=3.0, accuracy_shift_A=1.0)
    return schedule.update_sampling(replace(state, schedule=now), GRADIENT_AUTO)
