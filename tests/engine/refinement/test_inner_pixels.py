"""Local searches look at the inner pixels first; what these rule out, all pixels would too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from local_search import local_case
from vitreous.engine import filtering
from vitreous.engine.kernels import packed, poses
from vitreous.engine.refinement import reach
from vitreous.engine.refinement.expectation import expectation


@pytest.mark.parametrize(("noise", "n_classes"), [(0.3, 1), (2.0, 1), (6.0, 1), (2.0, 2)])
def test_what_inner_pixels_rule_out_does_not_matter(
    noise: float, n_classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = local_case(noise, n_classes)
    monkeypatch.setattr(reach, "radius_of", lambda *args: args[4])  # all pixels count here
    monkeypatch.setattr(packed, "has_corners", lambda: False)  # and as they are
    seen: list[tuple[int, int]] = []
    true_score = poses.score

    def spy(source, images, tries, phases, **how):
        seen.append((source.radius, int((tries.shift_end - tries.shift_begin).sum())))
        return true_score(source, images, tries, phases, **how)

    monkeypatch.setattr(poses, "score", spy)
    found, after = expectation(case.data, case.state, case.settings, None)
    inner, between, outer = seen[:3]
    assert inner[0] == outer[0] // 2
    assert inner[0] < between[0] < outer[0]
    assert outer[1] < 0.6 * inner[1]
    seen.clear()
    exact, wanted = expectation(case.data, case.state, case.settings, None, exact=True)
    assert seen[0] == (outer[0], inner[1])
    np.testing.assert_array_equal(after.angles_deg, wanted.angles_deg)
    np.testing.assert_array_equal(after.n_significant, wanted.n_significant)
    np.testing.assert_allclose(after.log_likelihood, wanted.log_likelihood, atol=1e-3)
    np.testing.assert_allclose(after.pmax, wanted.pmax, rtol=1e-4)
    for mine, theirs in zip(found.references, exact.references, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            scale = float(other.data.abs().max())
            torch.testing.assert_close(one.data, other.data, rtol=1e-4, atol=1e-5 * scale)


def test_pixels_where_references_hold_nothing_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = local_case(2.0)
    model = case.state.models[0]
    blurred = filtering.low_pass(
        model.references, model.box_px * model.pixel_size_A / 24, model.pixel_size_A, 3
    )
    case = replace(
        case, state=replace(case.state, models=(replace(model, references=blurred.float()),))
    )
    seen: list[int] = []
    true_score = poses.score

    def spy(source, images, tries, phases, **how):
        seen.append(source.radius)
        return true_score(source, images, tries, phases, **how)

    monkeypatch.setattr(poses, "score", spy)
    found, after = expectation(case.data, case.state, case.settings, None)
    *_, coarse_radius, fine_radius = seen
    assert 24 <= coarse_radius <= fine_radius < 32
    seen.clear()
    exact, wanted = expectation(case.data, case.state, case.settings, None, exact=True)
    assert seen == [32, 32]
    np.testing.assert_array_equal(after.angles_deg, wanted.angles_deg)
    np.testing.assert_allclose(after.log_likelihood, wanted.log_likelihood, atol=0.05)
    np.testing.assert_allclose(after.pmax, wanted.pmax, rtol=0.05)
    for mine, theirs in zip(found.references, exact.references, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            scale = float(other.data.abs().max())
            torch.testing.assert_close(one.data, other.data, rtol=0.02, atol=0.01 * scale)


def test_how_far_pixels_count_does_not_depend_on_which_images_are_together() -> None:
    """Ranks and chunks see other images; what is left out must be the same."""
    case = local_case(2.0)
    _, together = expectation(case.data, case.state, case.settings, None)
    for rows in (np.arange(2), np.arange(2, 6)):
        _, apart = expectation(case.data, case.state, case.settings, None, rows=rows)
        np.testing.assert_array_equal(apart.angles_deg[rows], together.angles_deg[rows])
        np.testing.assert_allclose(
            apart.log_likelihood[rows], together.log_likelihood[rows], rtol=0, atol=1e-4
        )


@pytest.mark.parametrize(("oversampling", "errors"), [(1, [0.3, 0.05]), (0, [0.05, 0.05])])
def test_where_the_first_pass_weighs_it_is_as_exact_as_the_second(
    oversampling: int, errors: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = local_case(2.0)
    sampling = replace(case.state.sampling, oversampling=oversampling)
    asked: list[float] = []
    monkeypatch.setattr(reach, "radius_of", lambda *args: asked.append(args[5]) or args[4])
    expectation(case.data, replace(case.state, sampling=sampling), case.settings, None)
    assert asked == errors
