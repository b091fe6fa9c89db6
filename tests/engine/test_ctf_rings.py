"""Curves of rings: equal phase, how far a fit goes, the ice ring, the picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitreous.engine import ctf_fit, ctf_rings, ctf_spectrum
from vitreous.engine.ctf import Optics
from vitreous.testing.simulate.contrast import Microscope, transfer

SIDE, PIXEL_A = 256, 1.4
OPTICS = Optics.of(pixel_size_A=PIXEL_A, box_px=SIDE)


def fit_at(u, v, angle):
    one = torch.ones(1, dtype=torch.float64)
    return ctf_fit.Fit(one * u, one * v, one * angle, one * 0, one * 0, one, one * 20)


def scene_of(u, v, angle, *, until_A=0.0, noise=0.3, finest_A=2.9, ice=0.0, seed=0):
    """Return a spectrum of rings that end at a resolution, with the truth as its fit."""
    k = np.fft.fftfreq(SIDE, PIXEL_A)[:, None], np.fft.rfftfreq(SIDE, PIXEL_A)[None]
    ctf = transfer(Microscope(), k[1], k[0], np.array([[u, v, angle]]))[0].real
    radius = np.hypot(*k)
    seen = np.where(radius < (1 / until_A if until_A else 9.0), 0.5, 0.0)
    rng = np.random.default_rng(seed)
    amplitude = np.exp(seen * ctf**2 + noise * rng.normal(size=radius.shape))
    amplitude *= 1 + ice * np.exp(-(((radius - 0.265) / 0.006) ** 2))
    half = torch.tensor(amplitude, dtype=torch.float32)[None]
    spectra = ctf_spectrum.Spectra(half, SIDE * PIXEL_A, is_windowed=False)
    return ctf_fit.prepare(spectra, OPTICS, 30.0, finest_A), fit_at(u, v, angle)


def test_astigmatic_rings_keep_their_contrast_along_equal_phase():
    scene, fit = scene_of(12000.0, 10000.0, 40.0, noise=0.05)
    curves = ctf_rings.profile(scene, fit)
    outside = (curves.frequency_per_A > 0.18) & (curves.frequency_per_A < 0.3)
    along, around = (one[0, outside] for one in (curves.equiphase, curves.rotational))
    assert float(along.std()) > 3 * float(around.std())
    together = torch.stack([along, curves.ctf[0, outside] ** 2])
    assert float(torch.corrcoef(together)[0, 1]) > 0.85


def test_a_wrong_angle_loses_the_contrast():
    scene, fit = scene_of(12000.0, 10000.0, 40.0, noise=0.05)
    right = ctf_rings.resolution_A(ctf_rings.profile(scene, fit), 3.0)
    wrong = ctf_rings.resolution_A(ctf_rings.profile(scene, fit_at(12000.0, 10000.0, -50.0)), 3.0)
    assert float(right) < 3.1
    assert float(wrong) > 5


@pytest.mark.parametrize("until_A", [8.0, 5.0, 3.6])
def test_the_fit_goes_as_far_as_the_rings_do(until_A):
    scene, fit = scene_of(14000.0, 13700.0, 10.0, until_A=until_A)
    found = float(ctf_rings.resolution_A(ctf_rings.profile(scene, fit), 2.9))
    assert found == pytest.approx(until_A, rel=0.12)


def test_rings_beyond_the_finest_resolution_asked_for_are_not_told():
    scene, fit = scene_of(14000.0, 13700.0, 10.0)
    assert float(ctf_rings.resolution_A(ctf_rings.profile(scene, fit), 6.0)) >= 6.0


def test_nothing_but_noise_goes_nowhere():
    scene, fit = scene_of(14000.0, 13700.0, 10.0, until_A=200.0)
    assert float(ctf_rings.resolution_A(ctf_rings.profile(scene, fit), 3.0)) > 15


def test_an_ice_ring_is_dense():
    plain, fit = scene_of(14000.0, 13700.0, 10.0)
    icy, _ = scene_of(14000.0, 13700.0, 10.0, ice=0.6)
    dense, thin = (
        float(ctf_rings.ice_ring_density(ctf_rings.profile(one, fit))) for one in (icy, plain)
    )
    assert dense > 2 * thin


def test_the_picture_has_data_left_and_the_fit_right():
    scene, fit = scene_of(14000.0, 13700.0, 10.0)
    picture = ctf_rings.picture(scene, fit)
    assert picture.shape == (1, SIDE, SIDE)
    assert picture.dtype == torch.float32
    k = np.fft.fftshift(np.fft.fftfreq(SIDE, PIXEL_A))
    ctf = np.abs(
        transfer(Microscope(), k[None], k[:, None], np.array([[14000.0, 13700.0, 10.0]]))[0].real
    )
    radius = np.hypot(k[None], k[:, None])
    inside = (radius > 0.05) & (radius < 0.3)
    inside[SIDE // 2] = inside[:, SIDE // 2] = False
    right, left = inside.copy(), inside.copy()
    right[:, : SIDE // 2] = False
    left[:, SIDE // 2 :] = False
    np.testing.assert_allclose(picture[0].numpy()[right], ctf[right], atol=1e-4)
    assert np.corrcoef(picture[0].numpy()[left], ctf[left])[0, 1] > 0.4
    assert float(picture.min()) >= 0
    assert float(picture.max()) <= 1


def test_rings_get_too_narrow_where_three_pixels_hold_one():
    scene, fit = scene_of(30000.0, 30000.0, 0.0)
    at = 1 / float(ctf_rings.too_narrow_at_A(scene, fit))
    between = 1 / (2 * scene.lens.wavelength_A * 30000 * at)
    assert between * scene.spectra.extent_A == pytest.approx(3, rel=1e-6)
