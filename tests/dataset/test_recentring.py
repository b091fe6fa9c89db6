"""Class averages moved to the middle."""

import numpy as np
import pytest

from vitreous.dataset.recentring import centre_of_mass, recentre, shifted


def blob(x, y, size=32):
    rows, columns = np.mgrid[:size, :size] - size // 2
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)


def test_centre_of_mass_counts_from_the_middle_and_only_positive_pixels():
    np.testing.assert_allclose(centre_of_mass(blob(3.3, -2.6)), [3.3, -2.6], atol=1e-6)
    np.testing.assert_allclose(centre_of_mass(blob(3, -2) - blob(-6, 6)), [3, -2], atol=0.05)
    assert centre_of_mass(-blob(3, 3)).tolist() == [0, 0]


@pytest.mark.parametrize("offset", [(4.0, -5.0), (2.4, 1.7), (-0.5, 0.3)])
def test_averages_come_to_the_middle(offset):
    moved = recentre(np.stack([blob(*offset), blob(0, 0)]))
    np.testing.assert_allclose(moved[0], blob(0, 0), atol=1e-4)
    np.testing.assert_allclose(moved[1], blob(0, 0), atol=1e-6)


def test_shift_by_whole_pixels_is_a_roll():
    image = np.random.default_rng(0).standard_normal((1, 16, 16))
    moved = shifted(image, np.array([[3.0, -2.0]]))
    np.testing.assert_allclose(moved[0], np.roll(image[0], (-2, 3), (0, 1)), atol=1e-6)
