"""Slices of a map whose numbers are kept in half precision, where that is good enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from local_search import local_case
from vitreous.engine.kernels import packed, poses
from vitreous.engine.refinement import narrowing, reach, references
from vitreous.engine.refinement.expectation import expectation

pytestmark = pytest.mark.skipif(
    not packed.has_corners(), reason="this machine has no instructions for half precision"
)


@pytest.mark.parametrize("noise", [2.5, 6.0])
def test_rounding_changes_weights_by_less_than_is_told(
    noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = local_case(noise)
    monkeypatch.setattr(references, "_WORTH", 0)  # so few images do not pay
    monkeypatch.setattr(reach, "radius_of", lambda *args: args[4])
    monkeypatch.setattr(narrowing, "steps", lambda *args, **words: ())
    told: list[float] = []
    rounded: list[bool] = []
    true_rounding, true_score = reach.rounding_nat, poses.score

    def rounding(*args):
        told.append(true_rounding(*args))
        return told[-1]

    def score(source, *args, **how):
        rounded.append(bool(source.corners))
        return true_score(source, *args, **how)

    monkeypatch.setattr(reach, "rounding_nat", rounding)
    monkeypatch.setattr(poses, "score", score)
    found, after = expectation(case.data, case.state, case.settings, None)
    assert any(rounded)
    rounded.clear()
    exact, wanted = expectation(case.data, case.state, case.settings, None, exact=True)
    assert not any(rounded)
    off = np.sqrt(np.mean((after.log_likelihood - wanted.log_likelihood) ** 2))
    assert 0 < off < told[0] < reach.FINE_PASS_NAT
    np.testing.assert_array_equal(after.angles_deg, wanted.angles_deg)
    np.testing.assert_allclose(after.pmax, wanted.pmax, rtol=0.02)
    for mine, theirs in zip(found.references, exact.references, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            scale = float(other.data.abs().max())
            torch.testing.assert_close(one.data, other.data, rtol=0.01, atol=1e-3 * scale)


def test_strong_images_are_compared_with_all_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    case = local_case(0.02)
    monkeypatch.setattr(references, "_WORTH", 0)
    rounded: list[bool] = []
    true_score = poses.score

    def score(source, *args, **how):
        rounded.append(bool(source.corners))
        return true_score(source, *args, **how)

    monkeypatch.setattr(poses, "score", score)
    expectation(case.data, case.state, case.settings, None)
    assert rounded
    assert not any(rounded)
