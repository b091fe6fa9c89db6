"""Image sizes and resolutions from spectra."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitreous.engine.refinement import sizes
from vitreous.io.star import read_star


def _curve(values: list[float]) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


def test_resolution_is_the_last_shell_before_the_first_below_one() -> None:
    curve = _curve([9] * 8 + [0.9, 5, 0.1, 0.1, 0.1])
    assert sizes.resolution_shell(curve, beyond_gaps=False) == 7


def test_no_less_than_five_shells() -> None:
    assert sizes.resolution_shell(_curve([0.0] * 12), beyond_gaps=False) == 5
    assert sizes.resolution_shell(_curve([0.0] * 12), beyond_gaps=True) == 5


def test_signal_beyond_a_gap_counts_in_auto_refinement_only() -> None:
    gap = _curve([9] * 8 + [0.9, 0.9, 0.9, 0.9, 2, 0.9] + [0.0] * 6)
    assert sizes.resolution_shell(gap, beyond_gaps=False) == 7
    assert sizes.resolution_shell(gap, beyond_gaps=True) == 12
    assert sizes.resolves_beyond_a_gap(gap)
    near = _curve([9] * 8 + [0.9, 0.9, 2, 0.9] + [0.0] * 8)
    assert sizes.resolution_shell(near, beyond_gaps=True) == 7
    assert not sizes.resolves_beyond_a_gap(near)


def test_the_shell_of_nyquist_never_counts() -> None:
    assert sizes.resolution_shell(_curve([9] * 25), beyond_gaps=True) == 23


def test_the_best_class_counts() -> None:
    both = torch.cat([_curve([9] * 7 + [0] * 13), _curve([9] * 11 + [0] * 9)])
    assert sizes.resolution_shell(both, beyond_gaps=False) == 10
    assert sizes.class_resolutions_A(both, 38, 2.0).tolist() == pytest.approx([76 / 6, 76 / 10])


def test_resolutions_of_classes_are_those_of_relion_5(data: Path) -> None:
    runs = data / "relion5_runs"
    models = [runs / "refine3d_d2" / f"run_it{n:03d}_half1_model.star" for n in range(1, 12)]
    for path in [*models, runs / "class2d_em" / "run_it025_model.star"]:
        model = read_star(path)
        told = model["model_classes"]["rlnEstimatedResolution"]
        curves = [
            torch.from_numpy(model[f"model_class_{k + 1}"]["rlnSsnrMap"].copy())
            for k in range(len(told))
        ]
        found = sizes.class_resolutions_A(torch.stack(curves), 64, 3.54)
        assert found.tolist() == pytest.approx(told.tolist(), rel=1e-6)


def test_sizes_grow_by_the_increment_or_leap_by_a_quarter_of_nyquist() -> None:
    assert sizes.current_size_px(6, 64) == 32
    assert sizes.current_size_px(12, 64, increment=11, may_leap=True) == 40
    assert sizes.current_size_px(12, 64, increment=13) == 50
    assert sizes.current_size_px(30, 64) == 64


def test_increment_widens_with_a_slow_fsc_and_never_narrows() -> None:
    steep = torch.tensor([1.0] * 10 + [0.4] + [0.1] * 10)
    slow = torch.tensor([1.0] * 10 + [0.4] * 9 + [0.1] * 2)
    assert sizes.size_increment(steep, 10) == 10
    assert sizes.size_increment(slow, 10) == 9 + 5
    assert sizes.size_increment(steep, 14) == 14
    assert sizes.size_increment(torch.ones(21), 10) == 10


def test_high_fsc_is_looked_for_at_the_last_shell_in_use() -> None:
    curve = torch.tensor([1.0] * 10 + [0.0] * 10)
    assert sizes.is_high_at_limit(curve, 20)
    assert not sizes.is_high_at_limit(curve, 22)


@given(
    size=st.integers(1, 64).map(lambda half: 2 * half),
    box=st.sampled_from([64, 100, 128, 256]),
    pixel_A=st.floats(0.5, 6.0),
)
def test_images_of_a_group_hold_the_frequencies_of_the_reference(
    size: int, box: int, pixel_A: float
) -> None:
    box_A = 128 * 2.0
    side = sizes.group_size_px(size, box, pixel_A, box_A)
    assert side % 2 == 0
    assert side <= box
    highest = side / 2 / (box * pixel_A)
    assert side == box or highest >= size / 2 / box_A * (1 - 1e-6)


def test_the_group_of_the_reference_keeps_its_size() -> None:
    assert [sizes.group_size_px(size, 128, 2.0, 256.0) for size in (2, 50, 128)] == [2, 50, 128]


def test_coarse_sizes_hold_what_the_step_tells_apart() -> None:
    step_A = 7.5 / 360 * math.pi * 100
    assert sizes.coarse_size_px(7.5, 100, 128, 1.5, 3) == 2 * math.ceil(192 / (step_A / 1.2))
    assert sizes.coarse_size_px(7.5, 100, 128, 1.5, 2) == 2 * math.ceil(192 / (step_A / 1.5))
