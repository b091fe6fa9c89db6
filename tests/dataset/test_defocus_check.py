"""The spectrum of particles tells whether the defocus of their rows can be right."""

import numpy as np
import pytest

from dataset import fabricated
from vitreous.dataset.defocus_check import Lens, fit_defocus
from vitreous.dataset.spectra import radial_power

BOX, PIXEL_A = 100, 3.0


def fit(images, stated_A, lens=fabricated.LENS):
    power = radial_power(images).mean(axis=0)
    return fit_defocus(power, images.shape[-1], PIXEL_A, lens, stated_A)


@pytest.mark.parametrize("defocus_A", [7000.0, 12000.0, 21000.0])
@pytest.mark.parametrize("lens", [Lens(300.0, 2.7, 0.1), Lens(200.0, 1.4, 0.1)])
def test_the_true_defocus_explains_the_spectrum(defocus_A, lens):
    images = fabricated.particles(30, BOX, PIXEL_A, defocus_A, lens=lens)
    found = fit(images, defocus_A, lens)
    assert found.is_sure
    assert not found.contradicts
    assert found.best_A == pytest.approx(defocus_A, abs=500)


@pytest.mark.parametrize("factor", [0.5, 1.4, 2.0, 3.5])
def test_a_wrong_defocus_is_contradicted(factor):
    images = fabricated.particles(30, BOX, PIXEL_A, 12000.0)
    found = fit(images, factor * 12000.0)
    assert found.contradicts
    assert found.best_A == pytest.approx(12000, abs=500)


def test_a_wrong_pixel_size_is_contradicted():
    images = fabricated.particles(30, BOX, PIXEL_A, 15000.0)
    power = radial_power(images).mean(axis=0)
    found = fit_defocus(power, BOX, 1.3 * PIXEL_A, fabricated.LENS, 15000.0)
    assert found.contradicts


@pytest.mark.parametrize("seed", range(4))
def test_pure_noise_contradicts_nothing(seed):
    images = np.random.default_rng(seed).standard_normal((30, BOX, BOX))
    assert not fit(images, 15000.0).contradicts


def test_a_small_box_is_not_judged():
    images = fabricated.particles(5, 24, PIXEL_A)
    assert fit(images, 12000.0) is None


def test_power_of_a_wave_stands_in_its_shell():
    x = np.arange(32)
    images = np.broadcast_to(np.cos(2 * np.pi * 5 * x / 32), (2, 32, 32))
    power = radial_power(images)
    assert power.shape[0] == 2
    assert int(power[0].argmax()) == 5
    assert radial_power(images[:0]).shape == (0, power.shape[1])
