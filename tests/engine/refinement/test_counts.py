"""Sizes of searches agree with the table of the specification."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitreous.engine.refinement import counts, sizes
from vitreous.engine.refinement.state import Sampling

BOX_PX = 128
TABLE = [
    # order, orientations, coarse side, pixels, flop per particle (section 15.1)
    (1, 576, 14, 77, 3.7e6),
    (2, 4_608, 28, 308, 0.12e9),
    (3, 36_864, 54, 1_145, 3.6e9),
    (4, 294_912, 106, 4_412, 109e9),
]


def _sampling(order: int) -> Sampling:
    return Sampling(order, 60 / 2**order, shift_range_A=5.0, shift_step_A=2.0)


@pytest.mark.parametrize(("order", "orientations", "side", "pixels", "flop"), TABLE)
def test_counts_are_those_of_the_table(
    order: int, orientations: int, side: int, pixels: int, flop: float
) -> None:
    sampling = _sampling(order)
    step_deg = 60 / 2**order
    size = sizes.coarse_size_px(step_deg, 0.7 * BOX_PX, BOX_PX, 1.0, 3)
    found = counts.count(sampling, size, BOX_PX)
    assert size == side
    assert found.orientations == orientations
    assert found.shifts == 21
    assert found.coarse_pixels == pixels
    assert found.coarse_flop == pytest.approx(flop, rel=0.03)
    assert found.children == 32


def test_classes_multiply_and_symmetry_divides() -> None:
    plain = counts.count(_sampling(3), 54, 100)
    symmetric = counts.count(replace(_sampling(3), point_group="D2"), 54, 100, n_classes=3)
    assert symmetric.coarse_scores == pytest.approx(3 * plain.coarse_scores / 4, rel=0.03)


def test_local_searches_are_about_175_orientations() -> None:
    local = replace(_sampling(5), sigma_rot_deg=1.875, sigma_tilt_deg=1.875, sigma_psi_deg=1.875)
    assert counts.count(local, 100, 100).orientations == pytest.approx(175, rel=0.05)


def test_2d_has_psi_only() -> None:
    found = counts.count(Sampling(-1, 12.0, 5.0, 2.0), 20, 32, n_classes=2)
    assert (found.orientations, found.child_orientations, found.child_shifts) == (30, 2, 4)
    assert found.coarse_scores == 2 * 30 * 21
    assert found.fine_flop(10) == 4 * found.fine_pixels * 10 * 8
