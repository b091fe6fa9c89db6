"""Sharpening: known blur is found, a flat plot stays flat, weights and lines."""

import numpy as np
import pytest
import torch

from vitreous.engine import filtering, fourier, sharpening
from vitreous.engine.kernels import shells

A = 1.5


def guinier(transform):
    """Return the Guinier plot of a transform as it is."""
    return sharpening.guinier(shells.amplitudes(transform), transform.shape[0])


def atoms(size=48, seed=0):
    """Points in a ball: their amplitudes are flat on average."""
    rng = np.random.default_rng(seed)
    volume = torch.zeros((size,) * 3, dtype=torch.float64)
    for place in rng.normal(size / 2, size / 5, (3000, 3)).round().astype(int).clip(0, size - 1):
        volume[tuple(place)] += 1
    return volume


@pytest.mark.parametrize("size", [48, 47])
def test_the_blur_of_points_is_found(size):
    blurred = filtering.apply_b_factor(atoms(size), 80.0, A, 3)
    transform = fourier.forward(blurred, 3)
    axis = sharpening.guinier_axis(size, A)
    # The blur ends at Nyquist, in the middle of the last shell, which is therefore left out.
    line = sharpening.fit_line(axis, guinier(transform), 10.0, 3.3)
    assert line is not None
    assert line.b_factor_A2 == pytest.approx(-80, rel=0.05)
    sharpened = sharpening.apply(transform, sharpening.b_factor_curve(size, line.b_factor_A2, A))
    flat = sharpening.fit_line(axis, guinier(sharpened), 10.0, 3.3)
    assert flat is not None
    assert abs(flat.b_factor_A2) < 4
    again = filtering.apply_b_factor(blurred, line.b_factor_A2, A, 3)
    torch.testing.assert_close(fourier.inverse(sharpened, 3, size), again)


def test_a_line_is_found_exactly_and_only_in_its_range():
    axis = sharpening.guinier_axis(40, 2.0)
    values = 3.0 - 25.0 * axis
    values[:8] += 5  # coarser than 80 / 8 = 10 A
    values[18:] = sharpening.EMPTY_SHELL
    line = sharpening.fit_line(axis, values, 10.0)
    assert line is not None
    assert (line.slope, line.intercept) == pytest.approx((-25, 3))
    assert line.correlation == pytest.approx(1)
    assert line.n_points == 10
    shorter = sharpening.fit_line(axis, values, 10.0, 6.0)
    assert shorter is not None
    assert shorter.n_points == 6
    assert sharpening.fit_line(axis, values, 4.6) is None


def test_weights_stop_where_the_curve_is_lost():
    fsc = torch.tensor([1.0, 0.5, 1.0 / 3, 0.0, 0.9])
    wanted = torch.tensor([1.0, (2 / 3) ** 0.5, 0.5**0.5, 0, 0])
    torch.testing.assert_close(sharpening.fsc_weights(fsc), wanted)


def test_weights_are_those_of_shells_and_nothing_beyond():
    transform = fourier.forward(torch.randn(16, 16, 16), 3)
    weighted = sharpening.apply(transform, sharpening.fsc_curve(16, torch.full((9,), 0.5)))
    shells = fourier.shell_index(16, 3)
    torch.testing.assert_close(weighted[shells <= 8], transform[shells <= 8] * (2 / 3) ** 0.5)
    assert not weighted[shells > 8].any()


def test_the_mtf_belongs_to_the_pixels_of_the_detector():
    transform = torch.ones(16, 16, 9, dtype=torch.complex64)
    k, value = torch.tensor([0.0, 0.5]), torch.tensor([1.0, 0.5])
    out = sharpening.apply(transform, sharpening.mtf_curve(16, k, value, 0.5))
    # Frequency 4 / 16 a pixel of the map is 0.125 a pixel of the detector.
    assert float(out[0, 0, 4].real) == pytest.approx(1 / 0.875)
    assert float(out[0, 0, 8].real) == 1


def test_an_empty_shell_is_marked():
    assert (guinier(torch.zeros(8, 8, 5, dtype=torch.complex64)) == -99).all()
