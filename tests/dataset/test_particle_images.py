"""Faults of particle images are seen, and good images raise no warning."""

import numpy as np
import pytest

from dataset import fabricated
from vitreous.dataset.particle_images import judge, measure, usable
from vitreous.io import read_mrc, read_star

PIXEL_A = 3.5


@pytest.fixture(scope="module")
def good():
    return fabricated.particles(40)


def told(images):
    return " ".join(finding.what for finding in judge(measure(images), PIXEL_A, "opticsGroup1"))


def test_good_particles_raise_no_warning(good):
    assert told(good) == ""


def test_real_particles_raise_no_warning(data):
    for path in sorted((data / "betagal_10204/Extract/job009/Movies").glob("*.mrcs")):
        assert told(read_mrc(path)[0].astype(np.float32)) == ""


def test_real_particles_with_inverted_contrast_are_seen(data):
    path = next((data / "betagal_10204/Extract/job009/Movies").glob("*.mrcs"))
    images = read_mrc(path)[0].astype(np.float32)
    assert "dark on a light background" in told(-images)
    assert "dark on a light background" in told(-images[:20])


def test_tilt_series_images_that_are_not_normalised_are_seen(data):
    path = next((data / "particles_small").glob("ay19*.mrcs"))
    text = told(read_mrc(path)[0].astype(np.float32))
    assert "not normalised" in text
    assert "filtered" not in text


def test_inverted_contrast_is_seen(good):
    assert "dark on a light background" in told(-good)


def test_few_images_are_not_judged_by_contrast(good):
    assert told(-good[:6]) == ""


@pytest.mark.parametrize(("scale", "offset"), [(3.0, 0.0), (1.0, 0.6), (0.5, 0.0), (100.0, 50.0)])
def test_images_that_are_not_normalised_are_seen(good, scale, offset):
    text = told(good * scale + offset)
    assert "not normalised" in text
    assert "filtered" not in text


@pytest.mark.parametrize("to_nyquist", [0.15, 0.3, 0.5, 0.7, 0.85])
def test_low_passed_images_are_seen_with_the_resolution(good, to_nyquist):
    text = told(fabricated.normalised(fabricated.low_passed(good, to_nyquist)))
    assert "low-pass filtered" in text
    edge_A = float(text.split("falls away at ")[1].split(" Å")[0])
    assert edge_A == pytest.approx(2 * PIXEL_A / to_nyquist, rel=0.12)


def test_a_gentle_low_pass_is_seen(good):
    size = good.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    soft = np.fft.irfft2(np.fft.rfft2(good) * np.exp(-((radius / 0.2) ** 2)), s=(size, size))
    assert "low-pass filtered" in told(fabricated.normalised(soft))


def test_enlarged_images_are_seen(good):
    size = good.shape[-1]
    small = np.fft.rfft2(good)
    large = np.zeros((len(good), 2 * size, size + 1), complex)
    half = size // 2
    large[:, :half, :half] = small[:, :half, :half]
    large[:, -half + 1 :, :half] = small[:, -half + 1 :, :half]
    images = np.fft.irfft2(large, s=(2 * size, 2 * size))
    assert "enlarged" in told(fabricated.normalised(images))


def test_high_passed_images_are_seen(good):
    size = good.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]) * size
    high = np.fft.irfft2(np.fft.rfft2(good) * (radius > 3.5), s=(size, size))
    text = told(fabricated.normalised(high))
    assert "high-pass filtered" in text
    assert "low-pass filtered" not in text


def test_sharpened_images_are_seen(good):
    size = good.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    sharp = np.fft.irfft2(np.fft.rfft2(good) * np.exp(12 * radius**2), s=(size, size))
    assert "rises towards high frequency" in told(fabricated.normalised(sharp))


def test_a_detector_that_fades_towards_nyquist_raises_no_warning(good):
    size = good.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    mtf = np.sinc(radius) * (1 - radius)  # 0.3 at Nyquist, as a K2
    images = np.fft.irfft2(np.fft.rfft2(good) * mtf, s=(size, size))
    assert told(fabricated.normalised(images)) == ""


@pytest.mark.parametrize("snr", [0.01, 1.0])
@pytest.mark.parametrize(("box_px", "pixel_size_A"), [(64, 8.0), (128, 2.0), (256, 0.6)])
@pytest.mark.parametrize("defocus_A", [3000.0, 30000.0])
def test_strong_or_weak_signal_is_no_filter(snr, box_px, pixel_size_A, defocus_A):
    images = fabricated.particles(10, box_px, pixel_size_A, defocus_A, snr)
    assert [x.what for x in judge(measure(images), pixel_size_A, "g")] == []


def test_empty_and_unreal_images_are_told_apart(good):
    images = good[:4].copy()
    images[1, 3, 3] = np.nan
    images[2] = 1.0
    finite, varied = usable(images)
    assert finite.tolist() == [True, False, True, True]
    assert varied.tolist() == [True, False, False, True]


def test_real_particles_of_other_programs_raise_no_warning(data):
    folder = data / "particles_small"
    star = read_star(folder / "relion31.star")
    images = read_mrc(folder / "relion31.mrcs")[0]
    assert len(images) == len(star["particles"])
    assert told(images) == ""
    assert told(read_mrc(folder / "empiar_10076_7.mrc", permissive=True)[0]) == ""
