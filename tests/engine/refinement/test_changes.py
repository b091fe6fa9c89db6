"""How much poses changed: RELION's own numbers, symmetry, and a million particles."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import refinement_replay as replays
from vitreous.engine import geometry, symmetry
from vitreous.engine.refinement import changes
from vitreous.engine.refinement.state import Assignments
from vitreous.io.star import read_star


def _random(n: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    tilt = np.rad2deg(np.arccos(generator.uniform(-1, 1, n)))
    return np.stack([generator.uniform(0, 360, n), tilt, generator.uniform(0, 360, n)], 1)


def _assignments(angles_deg: np.ndarray, origin_A: np.ndarray | None = None) -> Assignments:
    blank = replays.assignments_of(len(angles_deg))
    moved = np.zeros((len(angles_deg), 2)) if origin_A is None else origin_A
    return replace(blank, angles_deg=angles_deg, origin_A=moved)


def test_agrees_with_relion_5(data: Path) -> None:
    """The first iteration of a D2 refinement that began with all poses at zero."""
    folder = data / "relion5_runs" / "refine3d_d2"
    particles = read_star(folder / "run_it001_data.star")["particles"]
    told = read_star(folder / "run_it001_optimiser.star")["optimiser_general"]
    angles = np.stack([particles[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], 1)
    origin = np.stack([particles[f"rlnOrigin{name}Angst"] for name in "XY"], 1)
    n = len(angles)
    moved = changes.between(
        _assignments(np.zeros((n, 3))), _assignments(angles, origin), point_group="D2"
    )
    assert moved.angle_deg == pytest.approx(told["rlnChangesOptimalOrientations"][0], abs=1e-5)
    assert moved.shift_A == pytest.approx(told["rlnChangesOptimalOffsets"][0], abs=1e-5)


@pytest.mark.parametrize("group", ["C1", "C4", "D2", "D7", "T", "O", "I1", "C2V", "OH", "S4"])
def test_mates_are_the_same_pose(group: str) -> None:
    angles = torch.from_numpy(_random(20))
    operators = symmetry.operators(group)
    mates = symmetry.mates(geometry.matrix_from_euler(angles), operators)
    for g in range(len(operators)):
        mate = geometry.euler_from_matrix(mates[:, g])
        distance = changes.axes_distance_deg(angles, mate, operators)
        assert float(distance.max()) < 1e-4


def test_a_small_turn_about_an_axis_moves_the_other_two() -> None:
    before = np.zeros((3, 3))
    after = np.array([[0, 0, 3.0], [3.0, 0, 0], [0, 3.0, 0]])
    distance = changes.axes_distance_deg(
        torch.from_numpy(before), torch.from_numpy(after), symmetry.operators("C1")
    )
    assert distance.tolist() == pytest.approx([2.0, 2.0, 2.0])


def test_averages_compare_psi_the_short_way() -> None:
    before, after = np.zeros((2, 3)), np.zeros((2, 3))
    before[:, 2], after[:, 2] = [179, 10], [-179, 350]
    moved = changes.between(_assignments(before), _assignments(after), ndim=2)
    assert moved.angle_deg == pytest.approx((2 + 20) / 2)


def test_shifts_and_classes() -> None:
    before = _assignments(np.zeros((4, 3)))
    after = _assignments(np.zeros((4, 3)), np.array([[3.0, 4.0], [0, 0], [0, 0], [0, 0]]))
    after = replace(after, class_=np.array([0, 1, 0, 0]))
    moved = changes.between(before, after)
    assert moved.shift_A == pytest.approx((25 / 8) ** 0.5)
    assert (moved.angle_deg, moved.class_) == (0, 0.25)


def test_only_particles_of_the_iteration_count() -> None:
    before, after = _assignments(_random(6)), _assignments(_random(6, seed=1))
    rows = np.array([4, 1])
    some = changes.between(before, after, rows=rows)
    alone = changes.between(
        _assignments(before.angles_deg[rows]), _assignments(after.angles_deg[rows])
    )
    assert some == alone
    none = changes.between(before, after, rows=np.array([], np.int64))
    assert (none.angle_deg, none.shift_A, none.class_) == (0, 0, 0)


def test_a_million_particles_take_seconds() -> None:
    n = 1_000_000
    first, second = torch.from_numpy(_random(n)), torch.from_numpy(_random(n, seed=1))
    start = time.process_time()
    distance = changes.axes_distance_deg(first, second, symmetry.operators("D2"))
    assert time.process_time() - start < 10
    assert distance.shape == (n,)
    few = changes.axes_distance_deg(first[-5:], second[-5:], symmetry.operators("D2"))
    torch.testing.assert_close(distance[-5:], few)
