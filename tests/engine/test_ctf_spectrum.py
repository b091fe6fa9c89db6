"""Spectra of micrographs: frequencies, whole planes, tiles that count alike, visible rings."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.engine import ctf_spectrum
from vitreous.errors import ComputeError, InputError


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_wave_is_found_at_its_frequency():
    y, x = torch.meshgrid(torch.arange(512.0), torch.arange(640.0), indexing="ij")
    image = torch.cos(2 * torch.pi * (x * 10 + y * 3) / 128) + 0.01 * noise(512, 640)
    spectra = ctf_spectrum.of_images(image[None], 2.0, 128)
    assert spectra.amplitude.shape == (1, 128, 65)
    assert spectra.extent_A == 256.0
    assert spectra.pixel_size_A == 2.0
    assert divmod(int(spectra.amplitude[0].argmax()), 65) == (3, 10)


def test_fine_images_give_spectra_that_end_at_1_4_A():
    spectra = ctf_spectrum.of_images(noise(1, 800, 800), 0.7, 256)
    assert spectra.side == 256
    assert spectra.pixel_size_A == pytest.approx(1.4, rel=0.01)
    coarse = ctf_spectrum.of_images(noise(1, 800, 800), 2.0, 256)
    assert coarse.pixel_size_A == 2.0


def test_a_small_image_gives_a_smaller_spectrum_of_a_size_that_is_fast():
    assert ctf_spectrum.of_images(noise(1, 131, 200), 2.0, 512).side == 128


def test_the_edges_of_an_image_count_as_much_as_its_middle():
    """A wave at one edge only, as wide as a fifth of a tile, is seen as one in the middle is."""
    heights = []
    for start in (100, 480):
        image = 0.01 * noise(1, 512, 512)
        place = torch.arange(512.0)
        image[..., start : start + 32] += torch.cos(2 * torch.pi * 20 * place / 128)[:, None]
        amplitude = ctf_spectrum.of_images(image, 2.0, 128).amplitude
        heights.append(float(amplitude[0, 20, 1:4].mean() / amplitude[0, 40:60, 10:].mean()))
    assert 0.7 < heights[1] / heights[0] < 1.4


@pytest.mark.parametrize("side", [64, 65])
def test_whole_plane_and_half_plane_belong_together(side):
    amplitude = torch.fft.rfft2(noise(1, side, side)).abs()
    plane = ctf_spectrum.centred_plane(amplitude)
    whole = torch.fft.fftshift(torch.fft.fft2(noise(1, side, side)).abs(), dim=(-2, -1))
    torch.testing.assert_close(plane, whole, rtol=1e-4, atol=1e-3)
    back = ctf_spectrum.of_centred_planes(plane, 1.4)
    torch.testing.assert_close(back.amplitude, amplitude, rtol=1e-4, atol=1e-3)
    assert not back.is_windowed


def test_a_bright_patch_counts_no_more_than_any_other():
    image = noise(1, 512, 512)
    plain = ctf_spectrum.of_images(image, 2.0, 128).amplitude
    bright = image.clone()
    bright[:, :160, :160] *= 100
    spoilt = ctf_spectrum.of_images(bright, 2.0, 128).amplitude
    ratio = spoilt / plain
    assert 0.9 < float(ratio[0, 5:60, 5:60].mean()) < 1.1
    assert float(ratio.std()) < 0.25


def test_an_empty_part_of_an_image_is_left_out():
    image = noise(1, 512, 512)
    image[:, :, :256] = 0
    spectra = ctf_spectrum.of_images(image, 2.0, 128)
    assert torch.isfinite(spectra.amplitude).all()
    assert float(spectra.amplitude.mean()) == pytest.approx(1, rel=0.3)


@pytest.mark.parametrize("value", [0.0, 3.0, math.nan])
def test_images_without_anything_are_refused(value):
    with pytest.raises(ComputeError, match="no rings to fit"):
        ctf_spectrum.of_images(torch.full((1, 256, 256), value), 1.0, 128)
    with pytest.raises(ComputeError, match="no rings to fit"):
        ctf_spectrum.of_centred_planes(torch.full((1, 128, 128), value * 0), 1.0)


def test_too_small_images_and_odd_planes_are_refused():
    with pytest.raises(InputError, match="40 x 300 pixels"):
        ctf_spectrum.of_images(noise(1, 300, 40), 1.0, 128)
    with pytest.raises(InputError, match="130 x 128 pixels, wanted a square"):
        ctf_spectrum.of_centred_planes(noise(1, 128, 130).abs(), 1.0)


def test_rings_of_a_windowed_tile_fade_as_its_visibility_says():
    """A pair of points d apart makes rings 1 / d apart; the window is an average over places."""
    size, n = 64, 400
    generator = torch.Generator().manual_seed(1)
    for distance in (4, 16, 28):
        grain = torch.randn(n, size, size + distance, generator=generator)
        image = grain[:, :, : -distance or None] + grain[:, :, distance:]
        window = torch.hann_window(size)[:, None] * torch.hann_window(size)
        power = torch.fft.rfft2(image * window).abs().pow(2).mean(0)
        row = power[8:56].mean(0)[1:32]
        rings = torch.cos(2 * torch.pi * torch.arange(1, 32) * distance / size)
        plain = torch.stack([torch.ones(31), rings], 1)
        level, waves = torch.linalg.lstsq(plain, row[:, None]).solution[:, 0]
        found = waves / level
        spectra = ctf_spectrum.Spectra(power[None], float(size), is_windowed=True)
        # The closed form is of one axis, along which the points lie.
        assert float(found) == pytest.approx(
            float(spectra.visibility(torch.tensor(float(distance)))), abs=0.05
        )


def test_visibility_is_whole_for_wide_rings_and_none_beyond_the_tile():
    for is_windowed in (True, False):
        spectra = ctf_spectrum.Spectra(torch.ones(1, 64, 33), 100.0, is_windowed)
        told = spectra.visibility(torch.tensor([0.0, -1.0, 99.9, 100.0, 500.0]))
        torch.testing.assert_close(told, torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0]), atol=2e-3, rtol=0)
