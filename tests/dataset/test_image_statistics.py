"""Images unlike the others."""

import numpy as np
import pytest

from vitreous.dataset.image_statistics import mean_and_sd, ordinary


def test_mean_and_deviation_survive_a_large_offset():
    images = np.random.default_rng(0).standard_normal((3, 32, 32)).astype(np.float32) + 10000
    mean, sd = mean_and_sd(images)
    exact = images.astype(np.float64).reshape(3, -1)
    np.testing.assert_allclose(mean, exact.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(sd, exact.std(axis=1), rtol=1e-9)
    assert np.isnan(mean_and_sd(np.full((1, 4, 4), np.nan, np.float32))[0]).all()


def test_outliers_of_mean_or_deviation_go():
    means, sds = np.zeros(200), np.ones(200)
    means[:100] += 0.1
    sds[:100] += 0.1
    means[7], sds[9] = 5.0, 9.0
    kept = ordinary(means, sds, 4.0)
    assert np.flatnonzero(~kept).tolist() == [7, 9]


def test_the_limit_itself_does_not_pass():
    means = np.array([-1.0, 1.0])
    assert ordinary(means, np.array([1.0, 2.0]), 1.0).tolist() == [False, False]
    assert ordinary(means, np.array([1.0, 2.0]), 1.01).tolist() == [True, True]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_never_passes_and_spoils_nothing(bad):
    means, sds = np.array([0.0, 0.1, bad]), np.array([1.0, 1.1, 1.0])
    assert ordinary(means, sds, 4.0).tolist() == [True, True, False]
