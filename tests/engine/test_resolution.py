"""FSC: RELION's counting, the curve that theory gives, and what a mask must not add."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.engine import filtering, fourier, masking, resolution
from vitreous.io import read_star, write_volume


def noise(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_map_correlates_with_itself_and_against_its_negative(size: int, ndim: int):
    image = noise((size,) * ndim, 0)
    curve = resolution.fsc(image, image, ndim)
    assert curve.shape == (size // 2 + 1,)
    torch.testing.assert_close(curve, torch.ones_like(curve))
    opposite = resolution.fsc(image, -3 * image, ndim)
    torch.testing.assert_close(opposite, -torch.ones_like(curve), atol=1e-6, rtol=0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(4, 13), ndim=st.sampled_from([2, 3]))
def test_fsc_is_bounded_and_symmetric(seed: int, size: int, ndim: int):
    first, second = noise((size,) * ndim, seed), noise((size,) * ndim, seed + 5000)
    curve = resolution.fsc(first, second, ndim)
    assert curve.abs().max() <= 1 + 1e-6
    torch.testing.assert_close(curve, resolution.fsc(second, first, ndim))


def test_batches_are_correlated_one_by_one():
    first, second = noise((3, 12, 12), 0), noise((3, 12, 12), 1)
    curves = resolution.fsc(first, second, 2)
    for number in range(3):
        single = resolution.fsc(first[number], second[number], 2)
        torch.testing.assert_close(curves[number], single)


def test_stored_coefficients_count_once_each():
    """The definition, summed with NumPy over the stored half (postprocessing.md)."""
    first, second = noise((10, 10, 10), 0), noise((10, 10, 10), 1)
    f, g = np.fft.rfftn(first.double().numpy()), np.fft.rfftn(second.double().numpy())
    axes = np.fft.fftfreq(10), np.fft.fftfreq(10), np.fft.rfftfreq(10)
    kz, ky, kx = np.meshgrid(*axes, indexing="ij")
    shell = np.floor(10 * np.sqrt(kx**2 + ky**2 + kz**2) + 0.5)
    wanted = [
        (f[shell == s].conj() * g[shell == s]).real.sum()
        / np.sqrt((abs(f[shell == s]) ** 2).sum() * (abs(g[shell == s]) ** 2).sum())
        for s in range(6)
    ]
    np.testing.assert_allclose(resolution.fsc(first, second, 3), wanted, atol=1e-6)


def test_signal_and_noise_give_the_curve_of_theory():
    """FSC = S / (S + N) within 3.5 standard errors of the shell."""
    size, signal_to_noise = 48, 2.0
    signal = noise((size,) * 3, 0)
    halves = [signal + noise((size,) * 3, seed) / signal_to_noise**0.5 for seed in (1, 2)]
    curve = resolution.fsc(*halves, 3)[3:]
    expected = signal_to_noise / (signal_to_noise + 1)
    n_independent = fourier.shell_count(size, 3)[3:]
    error = (1 - expected**2) / n_independent.sqrt()
    assert ((curve - expected).abs() < 3.5 * error).all()


def test_empty_shells_give_zero():
    image = filtering.low_pass(noise((16, 16), 0), 8, 1.0, 2)
    empty = torch.zeros(16, 16)
    assert (resolution.fsc(image, empty, 2) == 0).all()


def test_random_phases_keep_amplitudes_and_low_frequencies():
    transform = fourier.forward(noise((16, 16, 16), 0), 3)
    generator = torch.Generator().manual_seed(1)
    random = resolution.randomise_phases(transform, 4, generator, 3)
    torch.testing.assert_close(random.abs(), transform.abs())
    index = fourier.indices(16, 3)
    low = (index**2).sum(-1) < 16
    torch.testing.assert_close(random[low], transform[low])
    assert (random[~low] - transform[~low]).abs().mean() > transform.abs().mean()
    again = resolution.randomise_phases(transform, 4, torch.Generator().manual_seed(1), 3)
    torch.testing.assert_close(random, again, rtol=0, atol=0)


def test_correction_follows_its_rule():
    masked = torch.tensor([-0.1, 0.99, 0.9, 0.8, 0.7, 0.6])
    random = torch.tensor([1.0, 0.9, 0.5, 0.5, 0.4, 0.2])
    corrected = resolution.correct(masked, random, 2)
    torch.testing.assert_close(corrected, torch.tensor([1, 0.99, 0.9, 0.8, 0.5, 0.5]))


def test_a_tight_mask_makes_correlation_that_the_correction_takes_out():
    """Noise times a small ball: the masked curve is far from 0, the corrected one is not."""
    size = 32
    mask = masking.sphere(size, 3, 6, 1)
    means = []
    for trial in range(5):
        signal = 30 * filtering.low_pass(noise((size,) * 3, 1000 + trial), 10, 1.0, 3)
        halves = [signal + noise((size,) * 3, 10 * trial + seed) for seed in (1, 2)]
        curves = resolution.fsc_curves(
            *halves,
            mask,
            torch.Generator().manual_seed(trial),
            randomise=resolution.Randomising(5, n_sets=2),
        )
        assert curves.masked is not None
        assert curves.corrected is not None
        means.append([c[7:11].mean() for c in (curves.unmasked, curves.masked, curves.corrected)])
    unmasked, masked, corrected = torch.tensor(means).mean(0).tolist()
    assert abs(unmasked) < 0.05
    assert masked > 0.4
    assert abs(corrected) < 0.1


def test_without_a_mask_the_unmasked_curve_is_the_best():
    halves = noise((12, 12, 12), 0), noise((12, 12, 12), 1)
    curves = resolution.fsc_curves(*halves, None, torch.Generator())
    assert curves.best is curves.unmasked
    assert curves.masked is None


def test_curve_that_never_falls_randomises_the_last_shell():
    volume = noise((12, 12, 12), 0)
    curves = resolution.fsc_curves(volume, volume, torch.ones(12, 12, 12), torch.Generator())
    assert curves.never_fell
    assert curves.randomised_from == 6


def test_resolution_is_the_last_shell_before_the_first_below():
    curve = torch.tensor([1.0, 0.9, 0.5, 0.2, 0.1, 0.9, 0.9])
    assert resolution.resolution_shell(curve) == 3
    assert resolution.resolution_A(curve, 12, 2.0) == pytest.approx(12 * 2 / 3)
    wanted = 24 / (3 + (0.2 - 0.143) / 0.1)
    assert resolution.resolution_A(curve, 12, 2.0, interpolate=True) == pytest.approx(wanted)
    assert resolution.resolution_A(curve, 12, 2.0, 0.6) == 24
    assert resolution.resolution_shell(torch.ones(7)) == 6
    assert resolution.resolution_A(torch.tensor([1.0, 0.0]), 4, 1) == float("inf")
    torch.testing.assert_close(
        resolution.shell_resolutions_A(12, 2.0, 3), torch.tensor([float("inf"), 24, 12]).double()
    )


def test_particle_share_raises_the_unmasked_curve():
    curve = torch.tensor([1.0, 0.5, 0.0])
    torch.testing.assert_close(resolution.particle_fsc(curve, 4.0), torch.tensor([1, 0.8, 0.0]))
    assert resolution.sphere_over_particle(100, 1.0, 405_000.0) == pytest.approx(0.952)


def test_relion_postprocess_gives_the_same_curves(tmp_path: Path, relion: None):
    """Unmasked, masked and corrected curves; random phases only agree on average."""
    size = 40
    signal = filtering.low_pass(noise((size,) * 3, 0), 6, 2.0, 3)
    mask = masking.sphere(size, 3, 11, 4)
    halves = [signal * mask + 0.1 * noise((size,) * 3, seed) for seed in (1, 2)]
    for number, half in enumerate(halves, start=1):
        write_volume(tmp_path / f"m_half{number}_class001_unfil.mrc", half.numpy(), 2.0)
    write_volume(tmp_path / "mask.mrc", mask.numpy(), 2.0)
    (tmp_path / "post").mkdir()
    command = (
        "relion_postprocess --i m_half1_class001_unfil.mrc --mask mask.mrc --o post/p --angpix 2"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    theirs = read_star(tmp_path / "post" / "p.star")["fsc"]
    general = read_star(tmp_path / "post" / "p.star")["general"]
    generator = torch.Generator().manual_seed(0)
    curves = resolution.fsc_curves(
        *halves, mask, generator, randomise=resolution.Randomising(n_sets=8)
    )
    assert curves.randomised is not None
    assert curves.masked is not None
    n = len(theirs)
    for label, ours in (
        ("rlnFourierShellCorrelationUnmaskedMaps", curves.unmasked),
        ("rlnFourierShellCorrelationMaskedMaps", curves.masked),
    ):
        np.testing.assert_allclose(ours[:n], theirs[label], atol=5e-6)
    first = curves.randomised_from
    assert general.value("rlnRandomiseFrom") == pytest.approx(size * 2 / first, rel=1e-5)
    label = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
    difference = curves.randomised[:n].numpy() - theirs[label]
    np.testing.assert_allclose(difference[1 : first - 1], 0, atol=0.05)
    assert abs(difference[first + 2 :].mean()) < 0.05
    corrected = resolution.correct(curves.masked[:n], torch.tensor(theirs[label]), first)
    np.testing.assert_allclose(
        corrected[1:], theirs["rlnFourierShellCorrelationCorrected"][1:], atol=2e-5
    )


def test_the_shell_named_is_the_first_that_is_randomised():
    generator = torch.Generator().manual_seed(5)
    transform = fourier.forward(torch.randn((16, 16), generator=generator), 2)
    changed = resolution.randomise_phases(transform, 3, generator, 2) != transform
    radius2 = fourier.squared_radius(16, 2)
    assert not changed[radius2 < 9].any()
    assert changed[0, 3]  # |k| is exactly 3 here
