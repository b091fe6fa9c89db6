"""Fits of the CTF against simulated micrographs of known defocus."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.engine import ctf_band, ctf_fit, ctf_model, ctf_spectrum
from vitreous.engine.ctf import Defocus, Optics, gamma_rad
from vitreous.engine.ctf_search import Candidates, Range, search
from vitreous.errors import InputError
from vitreous.testing.simulate.contrast import Microscope
from vitreous.testing.simulate.thon import Thon, thon_micrograph

WIDE = Range(2000.0, 60000.0, 500.0, 100.0)
PIXEL_A = 1.5
OPTICS = Optics.of(pixel_size_A=PIXEL_A, box_px=384)


def spectra_of(*truths, snr=1.0, size=1024, seed=0, phase=0.0, box=384, transpose=False):
    wanted = Thon(size, PIXEL_A, Microscope(phase_shift_deg=phase), snr)
    images = [
        thon_micrograph(wanted, t, np.random.default_rng((seed, i))) for i, t in enumerate(truths)
    ]
    stack = torch.from_numpy(np.stack(images))
    return ctf_spectrum.of_images(stack.mT.contiguous() if transpose else stack, PIXEL_A, box)


def fit_of(spectra, wanted=WIDE, finest_A=5.0):
    scene = ctf_fit.prepare(spectra, OPTICS, 30.0, finest_A)
    return scene, ctf_fit.fit(scene, wanted)


def angle_between(one, other):
    return abs((one - other + 90) % 180 - 90)


TRUTHS = [(4200.0, 3700.0, 20.0), (15000.0, 14300.0, -60.0), (43000.0, 42600.0, 85.0)]


def test_defocus_astigmatism_and_angle_are_found_from_low_to_high():
    _, fit = fit_of(spectra_of(*TRUTHS))
    for i, (u, v, angle) in enumerate(TRUTHS):
        assert float(fit.defocus_u_A[i]) == pytest.approx(u, abs=60)
        assert float(fit.defocus_v_A[i]) == pytest.approx(v, abs=60)
        assert angle_between(float(fit.astigmatism_deg[i]), angle) < 5
        assert float(fit.figure_of_merit[i]) > 0.2
        assert float(fit.significance[i]) > 15


def test_a_batch_is_its_micrographs_one_by_one():
    together = spectra_of(*TRUTHS)
    _, whole = fit_of(together)
    for i in range(len(TRUTHS)):
        alone = ctf_spectrum.Spectra(together.amplitude[i : i + 1], together.extent_A, True)
        _, one = fit_of(alone)
        assert float(one.defocus_u_A[0]) == pytest.approx(float(whole.defocus_u_A[i]), abs=2)


def test_a_transposed_image_has_its_angle_mirrored():
    truth = (15000.0, 14200.0, 20.0)
    _, plain = fit_of(spectra_of(truth))
    _, turned = fit_of(spectra_of(truth, transpose=True))
    assert angle_between(float(turned.astigmatism_deg), 90 - float(plain.astigmatism_deg)) < 0.5
    assert float(turned.defocus_u_A) == pytest.approx(float(plain.defocus_u_A), abs=3)


def test_a_round_ring_has_little_astigmatism():
    _, fit = fit_of(spectra_of((20000.0, 20000.0, 0.0)))
    assert float(fit.defocus_u_A - fit.defocus_v_A) < 150


def test_a_phase_plate_is_found_within_5_degrees():
    wanted = Range(3000.0, 30000.0, 500.0, 100.0, (0.0, 180.0, 10.0))
    for phase in (90.0, 35.0):
        _, fit = fit_of(spectra_of((9000.0, 8800.0, 10.0), phase=phase), wanted)
        assert float(fit.phase_shift_deg) == pytest.approx(phase, abs=5)
        assert float(fit.defocus_u_A) == pytest.approx(9000, abs=120)


def test_the_search_stays_in_its_range():
    _, fit = fit_of(spectra_of((4000.0, 4000.0, 0.0)), Range(8000.0, 9000.0, 500.0, 0.0))
    mean = float(fit.defocus_u_A + fit.defocus_v_A) / 2
    assert 8000 <= mean <= 9000


def test_noise_is_told_as_such():
    for seed in range(4):
        _, fit = fit_of(spectra_of((20000.0, 20000.0, 0.0), snr=0.0, seed=seed))
        assert float(fit.figure_of_merit) < 0.02
        assert float(fit.significance) < 5.5


def test_a_large_astigmatism_that_is_there_is_not_pulled_away():
    _, fit = fit_of(spectra_of((21000.0, 19000.0, 30.0)))
    assert float(fit.defocus_u_A - fit.defocus_v_A) == pytest.approx(2000, abs=100)
    wanted = Range(2000.0, 60000.0, 500.0, 0.0, exhaustive=True)
    _, fit = fit_of(spectra_of((24000.0, 19000.0, 30.0)), wanted)
    assert float(fit.defocus_u_A - fit.defocus_v_A) == pytest.approx(5000, abs=100)


def test_restraint_shrinks_an_astigmatism_that_is_only_noise():
    spectra = spectra_of((20000.0, 20000.0, 0.0), snr=0.1)
    _, free = fit_of(spectra, Range(2000.0, 60000.0, 500.0, 0.0))
    _, held = fit_of(spectra, Range(2000.0, 60000.0, 500.0, 20.0))
    assert float(held.defocus_u_A - held.defocus_v_A) < float(free.defocus_u_A - free.defocus_v_A)


def test_gamma_is_that_of_the_ctf():
    """The phase of the fit is the one that everything else multiplies images by."""
    spectra = ctf_spectrum.Spectra(torch.rand(1, 128, 65) + 1, 128 * 1.4, is_windowed=False)
    optics = Optics.of(pixel_size_A=1.4, box_px=128, amplitude_contrast=0.07)
    scene = ctf_fit.prepare(spectra, optics, 50.0, 3.0)
    zero = torch.zeros(1, dtype=torch.float64)
    fit = ctf_fit.Fit(zero + 12000, zero + 11000, zero + 33, zero + 20, zero, zero, zero)
    mine = ctf_model.gamma_rad(scene.lens, fit.parameters, scene.band.k_per_A)
    defocus = Defocus(zero + 12000, zero + 11000, zero + 33, zero + 20, zero, zero + 1)
    theirs = gamma_rad(optics, defocus, 128).flatten(1)[:, scene.band.index]
    torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-6)


def test_slopes_of_the_model_are_its_derivatives():
    spectra = spectra_of((9000.0, 8600.0, 10.0), size=512, box=192)
    scene = ctf_fit.prepare(spectra, OPTICS, 30.0, 5.0)
    at = torch.tensor([[[9000.0, 150.0, -90.0, 0.2]]], dtype=torch.float64)
    bfactor = torch.tensor([[60.0]], dtype=torch.float64)
    layers = ctf_model.model(scene, at, bfactor, 4)[0, 0]
    for number, step in enumerate((0.5, 0.5, 0.5, 1e-4)):
        change = torch.zeros_like(at)
        change[..., number] = step
        # The envelope moves with the defocus too; that slow part is left out on purpose.
        more = ctf_model.model(scene, at + change, bfactor)[0, 0, 1]
        less = ctf_model.model(scene, at - change, bfactor)[0, 0, 1]
        numeric = (more - less) / (2 * step)
        slope = layers[2 + number]
        similar = torch.nn.functional.cosine_similarity(numeric, slope, dim=0)
        assert float(similar) > 0.99
        assert float(slope.norm() / numeric.norm()) == pytest.approx(1, abs=0.05)


def test_climbing_never_goes_down():
    spectra = spectra_of((15000.0, 14500.0, 30.0), snr=0.1, size=768, box=256)
    scene = ctf_fit.prepare(spectra, OPTICS, 30.0, 5.0)
    start = search(scene, WIDE)
    top = ctf_fit.climb(scene, WIDE, start)
    before, after = (ctf_fit.likelihood(scene, WIDE, one) for one in (start, top))
    assert bool((after >= before).all())
    far = Candidates(start.parameters + torch.tensor([0.0, 5e4, 0, 0]), start.bfactor_A2)
    held = ctf_fit.climb(scene, WIDE, far, 1).parameters
    assert bool((torch.hypot(held[..., 1], held[..., 2]) <= 0.2501 * held[..., 0]).all())


def test_candidates_are_apart():
    scene = ctf_fit.prepare(spectra_of((15000.0, 14500.0, 30.0)), OPTICS, 30.0, 5.0)
    defocus = search(scene, WIDE, 6).parameters[0, :, 0].sort().values
    assert float(defocus.diff().min()) >= 290
    assert bool(((defocus - 14750).abs() < 200).any())


@settings(max_examples=20, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 100))
def test_what_is_smooth_leaves_no_trace(slope, wave, seed):
    """Any smooth background, radial or astigmatic, may be added to the logarithm."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(1, 128, 65, generator=generator, dtype=torch.float64) + 1
    spectra = ctf_spectrum.Spectra(base, 128 * 1.4, is_windowed=False)
    band = ctf_band.make_band(spectra, 30.0, 4.0)
    k = band.k_per_A
    radius = band.radius_per_A
    smooth = band.basis[2] * 40 * slope + band.basis[8] * 40 * wave
    changed = base.flatten(1).clone()
    changed[:, band.index] *= torch.exp(smooth / band.weight.sqrt()).to(torch.float64)
    other = ctf_spectrum.Spectra(changed.reshape(base.shape), 128 * 1.4, is_windowed=False)
    one, two = ctf_band.rings(spectra, band), ctf_band.rings(other, band)
    assert float((one - two).abs().max()) < 0.02 * float(one.abs().max())
    assert k.shape[0] == radius.shape[0]


def test_a_band_holds_each_pair_once_and_neither_axis():
    spectra = ctf_spectrum.Spectra(torch.ones(1, 128, 65), 128.0, is_windowed=False)
    band = ctf_band.make_band(spectra, 20.0, 2.0)
    index = (band.k_per_A * 128).round().to(torch.int64)
    assert int(index[:, 0].min()) == 1
    assert int(index[:, 1].abs().min()) == 1
    assert int(index[:, 0].max()) == 63
    pairs = {tuple(one) for one in index.tolist()}
    assert len(pairs) == len(index)
    assert not any((-x, -y) in pairs for x, y in pairs)
    product = band.basis @ band.basis.T
    torch.testing.assert_close(product, torch.eye(len(product)), atol=1e-5, rtol=0)


def test_ice_counts_little_only_where_the_fit_goes_so_far():
    spectra = ctf_spectrum.Spectra(torch.ones(1, 256, 129), 256.0, is_windowed=False)
    fine, coarse = (ctf_band.make_band(spectra, 20.0, one) for one in (3.0, 4.5))
    in_ice = (fine.radius_per_A > 0.251) & (fine.radius_per_A < 0.279)
    assert float(fine.weight[in_ice].max()) < 0.2
    assert float(fine.weight[~in_ice].median()) == 1
    assert float(coarse.weight.min()) == 1


def test_splines_sum_to_one_everywhere():
    total = ctf_band.splines(torch.linspace(0, 1, 101, dtype=torch.float64), 7).sum(0)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_a_band_of_nothing_is_refused():
    spectra = ctf_spectrum.Spectra(torch.ones(1, 64, 33), 64 * 5.0, is_windowed=False)
    with pytest.raises(InputError, match="between 12 and 3 A the spectrum of 64 pixels"):
        ctf_band.make_band(spectra, 12.0, 3.0)
