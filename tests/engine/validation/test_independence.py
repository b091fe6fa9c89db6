"""Halves that share noise, were filtered or masked are told from those that are independent."""

import pytest
import torch

from vitreous.engine import filtering, masking, resolution
from vitreous.engine.validation import independence

SIZE = 48


def noise(seed):
    return torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(seed))


def halves(shared, seed=0):
    """Signal to 6 voxels, and noise of which a part is the same in both."""
    signal = 20 * filtering.low_pass(noise(seed + 9), 6, 1.0, 3) * masking.sphere(SIZE, 3, 12, 3)
    common = shared**0.5 * noise(seed + 8)
    return [signal + common + (1 - shared) ** 0.5 * noise(seed + n) for n in (1, 2)]


def end_of(shared, seed=0):
    found = independence.tail(resolution.fsc(*halves(shared, seed), 3), 10)
    assert found is not None
    return found


@pytest.mark.parametrize("shared", [0.04, 0.1])
def test_the_share_of_common_noise_is_measured(shared):
    found = end_of(shared)
    assert found.mean == pytest.approx(shared, abs=4 * found.error)
    assert found.error < 0.015
    assert found.is_lifted


def test_independent_halves_are_left_alone():
    for seed in range(0, 200, 10):
        found = end_of(0.0, seed)
        assert abs(found.mean) < 0.02
        assert not found.is_lifted
        assert not found.rises_again


def test_a_curve_without_end_says_nothing():
    assert independence.tail(torch.ones(20), 19) is None
    assert independence.tail(torch.cat([torch.ones(17), torch.zeros(3)]), 17) is None


def test_a_curve_that_comes_back_is_noticed():
    curve = torch.cat([torch.ones(8), torch.zeros(8), torch.full((4,), 0.5), torch.zeros(4)])
    found = independence.tail(curve, 7)
    assert found is not None
    assert found.rises_again


def test_filtered_maps_are_noticed():
    volume = noise(3)
    assert independence.filtered_from(volume) is None
    assert independence.filtered_from(volume * masking.sphere(SIZE, 3, 15, 5)) is None
    filtered = filtering.low_pass(volume, 4, 1.0, 3)  # shell 12, and half of the edge
    assert independence.filtered_from(filtered) in (12, 13, 14)


def test_masked_maps_are_noticed():
    one, two = noise(4), noise(5)
    assert independence.blank_share(one, two) < 0.001
    ball = masking.sphere(SIZE, 3, 12, 4)
    assert independence.blank_share(one * ball, two * ball) > 0.3
    assert independence.blank_share(one * ball, two) < 0.001
    corners = masking.sphere(SIZE, 3, 24, 0)  # as reconstruction blanks them
    assert independence.blank_share(one * corners, two * corners) < 0.001
