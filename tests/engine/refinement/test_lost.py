"""A particle that no pose explains is told and left out; the others do not notice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitreous.engine.refinement import preparation
from vitreous.engine.refinement.expectation import Watch, expectation
from vitreous.testing.oracle.variants import VARIANTS


@pytest.mark.parametrize("name", ["3D", "local", "no oversampling"])
def test_scores_that_are_not_numbers(name, monkeypatch):
    case = VARIANTS[name]().case
    plain, _ = expectation(
        case.data,
        case.state,
        case.settings,
        None,
        rows=np.arange(1, len(case.data)),
        exact=True,
    )
    prepare = preparation.prepare

    def spoiled(*args, **kwargs):
        made = prepare(*args, **kwargs)
        made.b_re[0] = torch.nan
        return made

    monkeypatch.setattr(preparation, "prepare", spoiled)
    lost: list[int] = []
    watch = Watch(bad=lambda rows: lost.extend(rows.tolist()))
    sums, assignments = expectation(
        case.data, case.state, case.settings, None, watch=watch, exact=True
    )
    assert lost == [0]
    assert sums.statistics.n_particles == len(case.data) - 1
    told, wanted = sums.statistics.direction_weight, plain.statistics.direction_weight
    assert torch.allclose(told, wanted, atol=1e-5)
    before = case.state.assignments.angles_deg[0]
    assert np.array_equal(assignments.angles_deg[0], before)
