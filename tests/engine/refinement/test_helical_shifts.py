"""Segments of filaments in 2D move along their filament by half a rise at most."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vitreous.engine.refinement import priors
from vitreous.engine.refinement.expectation import expectation
from vitreous.engine.refinement.settings import Helix
from vitreous.testing.oracle.cases import Recipe, make


def test_shifts_across_a_filament_are_free_and_those_along_it_end_at_half_a_rise() -> None:
    shifts_A = torch.tensor([[[0.0, 0], [3, 0], [0, 3], [-2, 0], [0, 9], [2, 9]]]).double()
    flat = priors.within_rise(shifts_A, torch.tensor([0.0]).double(), 4.75)
    assert flat.tolist() == [[True, False, True, True, True, True]]
    upright = priors.within_rise(shifts_A, torch.tensor([-90.0]).double(), 4.75)
    assert upright.tolist() == [[True, True, False, True, False, False]]
    slanted = torch.tensor([[[6.0, 6], [6, -6]]]).double()
    assert priors.within_rise(slanted, torch.tensor([45.0]).double(), 4.75).tolist() == [
        [True, False]
    ]


def test_a_segment_that_is_far_off_keeps_its_nearest_shift() -> None:
    shifts_A = torch.tensor([[[20.0, 0], [23, 0], [20, 3]]]).double()
    found = priors.within_rise(shifts_A, torch.tensor([0.0]).double(), 4.75)
    assert found.tolist() == [[True, False, True]]


def test_class_averages_find_no_shift_beyond_half_a_rise() -> None:
    recipe = Recipe(ndim=2, n=12, noise=0.5, offset_A=8.0, shift_range_px=4, shift_step_px=1)
    case = make(recipe)
    psi_deg = np.linspace(-170, 160, 12)
    before = replace(
        case.state.assignments,
        prior_deg=np.stack([np.zeros(12), np.full(12, 90.0), psi_deg], 1),
        origin_A=np.zeros((12, 2)),
    )
    state, psi = replace(case.state, assignments=before), np.deg2rad(psi_deg)

    def farthest_A(helix: Helix) -> float:
        _, after = expectation(case.data, state, replace(case.settings, helix=helix), None)
        x, y = after.origin_A.T
        return float(np.abs(x * np.cos(psi) - y * np.sin(psi)).max())

    child_A = state.sampling.shift_step_A / 4
    assert farthest_A(Helix(is_helix=True, rise_A=6.0)) <= 3.0 + np.sqrt(2) * child_A + 1e-2
    assert farthest_A(Helix()) > 6.0
