"""Simulated Thon rings: their power over the rest is what the SNR says."""

from __future__ import annotations

import numpy as np
import pytest

from vitreous.testing.simulate.contrast import Microscope, transfer
from vitreous.testing.simulate.thon import Thon, random_defocus_A, thon_micrograph

SIZE, PIXEL_A = 512, 1.5


def power_of(snr, bfactor_A2=0.0, has_background=False, n=6):
    wanted = Thon(SIZE, PIXEL_A, Microscope(), snr, bfactor_A2, has_background)
    images = [
        thon_micrograph(wanted, (12000.0, 11500.0, 20.0), np.random.default_rng(seed))
        for seed in range(n)
    ]
    return np.mean([np.abs(np.fft.rfft2(image)) ** 2 for image in images], 0) / SIZE**2


def rings():
    k = np.fft.fftfreq(SIZE, PIXEL_A)[:, None], np.fft.rfftfreq(SIZE, PIXEL_A)[None]
    ctf = transfer(Microscope(), k[1], k[0], np.array([[12000.0, 11500.0, 20.0]]))[0].real
    return ctf**2, np.hypot(*k)


def test_the_snr_is_the_mean_power_of_the_rings_over_the_noise():
    ctf2, k = rings()
    power = power_of(0.5)
    inside = (k > 0.1) & (k < 0.3)
    assert power[inside].mean() == pytest.approx(1.5, rel=0.02)
    zeros, tops = inside & (ctf2 < 0.02), inside & (ctf2 > 0.98)
    assert power[zeros].mean() == pytest.approx(1.0, rel=0.05)
    assert power[tops].mean() == pytest.approx(2.0, rel=0.05)
    assert power_of(0.0)[inside].mean() == pytest.approx(1.0, rel=0.02)


def test_rings_fade_with_the_b_factor_and_the_background_colours_both_alike():
    _, k = rings()
    shell = (k > 0.19) & (k < 0.21)
    power = power_of(1.0, bfactor_A2=80.0)[shell].mean()
    assert power == pytest.approx(1 + np.exp(-80 * 0.2**2 / 2), rel=0.04)
    steep = power_of(1.0, has_background=True)
    ratio = steep / power_of(1.0)
    low, high = ((k > 0.02) & (k < 0.03)), ((k > 0.25) & (k < 0.3))
    assert ratio[low].mean() > 5 * ratio[high].mean()


def test_defoci_are_spread_evenly_over_their_range():
    rng = np.random.default_rng(0)
    drawn = np.array([random_defocus_A(rng, 3000, 50000, 600) for _ in range(2000)])
    mean, difference = drawn[:, :2].mean(1), drawn[:, 0] - drawn[:, 1]
    assert 3000 <= mean.min() < 3200
    assert 49800 < mean.max() <= 50000
    assert mean.mean() == pytest.approx(26500, rel=0.03)
    assert difference.min() >= 0
    assert difference.max() <= 600
    assert -90 <= drawn[:, 2].min() < drawn[:, 2].max() <= 90
