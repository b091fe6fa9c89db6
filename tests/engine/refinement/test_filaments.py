"""Priors of segments from their neighbours, on tubes whose course is known."""

from __future__ import annotations

import numpy as np

from vitreous.engine.refinement.filaments import Tubes, averaged, renewed
from vitreous.engine.refinement.settings import Helix
from vitreous.testing.oracle.cases import Recipe, make


def tubes_of(n_tubes: int, n_segments: int) -> tuple[Tubes, np.ndarray, np.ndarray]:
    """Return bent tubes, their segments in mixed order, with true tilt and psi."""
    rng = np.random.default_rng(3)
    tube = np.repeat(np.arange(n_tubes), n_segments)
    track_A = np.tile(np.arange(n_segments) * 30.0, n_tubes)
    psi = rng.uniform(-180, 180, n_tubes)[tube] + 0.01 * track_A
    tilt = 90 + rng.normal(0, 5, n_tubes)[tube]
    mixed = rng.permutation(len(tube))
    return Tubes(tube[mixed], track_A[mixed]), tilt[mixed], (psi[mixed] + 180) % 360 - 180


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.abs((one - other + 180) % 360 - 180)


def test_noise_averages_out_and_the_course_of_the_tube_stays() -> None:
    tubes, tilt, psi = tubes_of(4, 60)
    rng = np.random.default_rng(5)
    noisy_tilt, noisy_psi = tilt + rng.normal(0, 4, len(tilt)), psi + rng.normal(0, 4, len(psi))
    found_tilt, found_psi = averaged(noisy_tilt, noisy_psi, tubes, 150.0)
    # About 2 sqrt(pi) * 150 / 30 = 18 segments count.
    assert np.sqrt(np.mean(apart(found_psi, psi) ** 2)) < 1.6
    assert np.sqrt(np.mean((found_tilt - tilt) ** 2)) < 1.6


def test_segments_found_upside_down_count_turned_round() -> None:
    tubes, tilt, psi = tubes_of(3, 40)
    upside = np.random.default_rng(7).random(len(psi)) < 0.3
    found = averaged(
        np.where(upside, 180 - tilt, tilt), np.where(upside, psi + 180, psi), tubes, 90.0
    )
    assert np.allclose(found[0], np.where(upside, 180 - tilt, tilt), atol=1e-9)
    assert apart(found[1], np.where(upside, psi + 180, psi)).max() < 0.8  # ends see one side only


def test_tubes_do_not_hear_of_each_other() -> None:
    tubes = Tubes(np.array([0, 1, 0, 1]), np.array([0.0, 0.0, 10.0, 10.0]))
    tilt, psi = np.array([80.0, 100.0, 84.0, 104.0]), np.array([179.0, 20.0, -179.0, 24.0])
    found_tilt, found_psi = averaged(tilt, psi, tubes, 1e6)
    assert np.allclose(found_tilt, [82, 102, 82, 102])
    assert np.allclose(apart(found_psi, np.array([180.0, 22, 180, 22])), 0, atol=1e-6)


def test_what_is_renewed() -> None:
    case = make(Recipe(n=6))
    assignments = case.state.assignments
    tubes = Tubes(np.zeros(6, np.int64), 20.0 * np.arange(6))
    assignments.prior_deg[:, 1] = 90.0
    plain = renewed(assignments, tubes, Helix(is_helix=True), 100.0)
    assert np.array_equal(plain.prior_deg[:, 1:], assignments.angles_deg[:, 1:])
    assert np.isnan(plain.prior_deg[:, 0]).all()
    fixed = renewed(assignments, tubes, Helix(is_helix=True, keep_tilt_prior=True), 100.0)
    assert np.array_equal(fixed.prior_deg[:, 1], np.full(6, 90.0))
    wide = renewed(assignments, tubes, Helix(is_helix=True, sigma_distance=1.0), 100.0)
    assert np.ptp(wide.prior_deg[:, 1]) < np.ptp(plain.prior_deg[:, 1])
