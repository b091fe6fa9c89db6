"""Backgrounds: planes, means and spreads that are known."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.engine.background import (
    Dust,
    normalise,
    outside_circle,
    outside_tubes,
    replace_dust,
)


def noise(n, size, seed=0):
    return torch.randn(n, size, size, generator=torch.Generator().manual_seed(seed)).double()


def grids(size):
    axis = torch.arange(size, dtype=torch.float64) - size // 2
    return torch.meshgrid(axis, axis, indexing="ij")


@pytest.mark.parametrize("size", [16, 17, 32])
@pytest.mark.parametrize("ramp", [True, False])
def test_the_background_has_mean_0_and_deviation_1(size, ramp):
    outside = outside_circle(size, size / 3)
    images, is_flat = normalise(37 + 5 * noise(4, size), outside, ramp=ramp)
    background = images[:, outside[0]]
    torch.testing.assert_close(background.mean(1), torch.zeros(4).double(), atol=1e-12, rtol=0)
    deviation = background.std(1, correction=0)
    torch.testing.assert_close(deviation, torch.ones(4).double(), atol=1e-12, rtol=0)
    assert not is_flat.any()


def test_a_plane_is_subtracted_everywhere_as_least_squares_find_it():
    y, x = grids(24)
    outside = outside_circle(24, 8)
    images = noise(3, 24) + 0.3 * x - 0.7 * y + 11
    normal, _ = normalise(images, outside)
    design = np.stack([x[outside[0]], y[outside[0]], np.ones(int(outside.sum()))], 1)
    for image, result in zip(images.numpy(), normal.numpy(), strict=True):
        (a, b, c), *_ = np.linalg.lstsq(design, image[outside[0].numpy()], rcond=None)
        flat = image - (a * x.numpy() + b * y.numpy() + c)
        expected = flat / flat[outside[0].numpy()].std()
        np.testing.assert_allclose(result, expected, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(
    scale=st.floats(0.1, 1e4), offset=st.floats(-1e4, 1e4), a=st.floats(-5, 5), b=st.floats(-5, 5)
)
def test_any_gain_offset_and_slope_give_the_same(scale, offset, a, b):
    y, x = grids(16)
    outside = outside_circle(16, 5)
    image = noise(1, 16)
    plain, _ = normalise(image, outside)
    # An offset of 100,000 deviations, as on an integrating camera, costs five of sixteen digits
    # of the mean and twice as many of the spread, which is a difference of squares.
    other, _ = normalise(scale * (image + a * x + b * y) + offset, outside)
    torch.testing.assert_close(plain, other, atol=1e-5, rtol=0)


def test_a_constant_background_is_centred_and_told():
    y, x = grids(16)
    flat = torch.stack([torch.full((16, 16), 7.0).double(), 3 + x - 2 * y, noise(1, 16)[0]])
    images, is_flat = normalise(flat, outside_circle(16, 5))
    assert is_flat.tolist() == [True, True, False]
    torch.testing.assert_close(images[:2], torch.zeros_like(images[:2]), atol=1e-9, rtol=0)
    _, without_ramp = normalise(flat, outside_circle(16, 5), ramp=False)
    assert without_ramp.tolist() == [True, False, False]


def test_a_small_spread_on_a_large_offset_is_not_taken_as_none():
    image = 1e5 + 0.1 * noise(1, 32)
    images, is_flat = normalise(image, outside_circle(32, 10))
    assert not is_flat.any()
    outside = outside_circle(32, 10)[0]
    assert float(images[0, outside].std(correction=0)) == pytest.approx(1, abs=1e-4)


def test_a_circle_is_strictly_outside_its_radius_around_the_centre():
    outside = outside_circle(8, 2)[0]
    assert not outside[4, 4]
    assert not outside[4, 6]
    assert outside[4, 7]
    assert outside[6, 6]


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, -120.0, 180.0])
def test_a_tube_lies_along_the_direction_of_its_psi(angle_deg):
    """A filament from (x, y) to (x + dx, y + dy) has psi = -atan2(dy, dx)."""
    psi = -math.radians(angle_deg)
    (outside,) = outside_tubes(64, 6.0, torch.tensor([psi]))
    dx, dy = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    for along in (-20, 0, 20):
        for across, expected in ((0, False), (5, False), (-5, False), (8, True), (-8, True)):
            x, y = along * dx - across * dy, along * dy + across * dx
            assert bool(outside[32 + round(y), 32 + round(x)]) is expected


def test_each_image_may_have_a_background_of_its_own():
    tubes = outside_tubes(32, 6, torch.tensor([0.0, 1.0, 2.0]))
    images = 5 + noise(3, 32)
    together, _ = normalise(images, tubes)
    for i in range(3):
        alone, _ = normalise(images[i : i + 1], tubes[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-12, rtol=0)


def test_dust_is_replaced_by_noise_of_the_background_and_nothing_else_is():
    outside = outside_circle(64, 20)
    images = 100 + 10 * noise(2, 64)
    images[0, 10, 10], images[1, 32, 32] = 300.0, -200.0
    generator = torch.Generator().manual_seed(0)
    clean = replace_dust(images, outside, Dust(6, 6), generator)
    changed = (clean != images).nonzero().tolist()
    assert changed == [[0, 10, 10], [1, 32, 32]]
    assert 40 < float(clean[0, 10, 10]) < 160
    only_white = replace_dust(images, outside, Dust(white_sigma=6), generator)
    assert (only_white != images).nonzero().tolist() == [[0, 10, 10]]


def test_the_noise_of_dust_has_mean_and_spread_of_the_background():
    outside = outside_circle(128, 40)
    images = 100 + 10 * noise(1, 128)
    inside = ~outside[0]
    images[0, inside] = 1000.0
    clean = replace_dust(images, outside, Dust(white_sigma=10), torch.Generator().manual_seed(1))
    values = clean[0, inside]
    assert float(values.mean()) == pytest.approx(100, abs=0.6)
    assert float(values.std()) == pytest.approx(10, abs=0.4)
