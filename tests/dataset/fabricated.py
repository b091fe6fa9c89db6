"""Particle images with a known CTF, noise and faults, made in plain numpy."""

from __future__ import annotations

from functools import cache

import numpy as np

from vitreous.dataset.defocus_check import Lens

LENS = Lens(300.0, 2.7, 0.1)


def ctf(size: int, pixel_size_A: float, lens: Lens, defocus_A: float) -> np.ndarray:
    """CTF on the half transform of ``size x size``, no astigmatism (formats.md section 7)."""
    ky = np.fft.fftfreq(size, pixel_size_A)[:, None]
    kx = np.fft.rfftfreq(size, pixel_size_A)[None, :]
    k2 = ky**2 + kx**2
    contrast = lens.amplitude_contrast
    gamma = (
        -np.pi * lens.wavelength_A * defocus_A * k2
        + np.pi / 2 * lens.cs_mm * 1e7 * lens.wavelength_A**3 * k2**2
        - np.arctan(contrast / np.sqrt(1 - contrast**2))
    )
    return -np.sin(gamma)


def particles(
    n: int,
    box_px: int = 64,
    pixel_size_A: float = 3.5,
    defocus_A: float = 12000.0,
    snr: float = 0.15,
    lens: Lens = LENS,
    seed: int = 0,
) -> np.ndarray:
    """White particles of random atoms in a ball, normalised outside it: ``n y x`` float32."""
    return _particles(n, box_px, pixel_size_A, defocus_A, snr, lens, seed).copy()


@cache
def _particles(
    n: int,
    box_px: int,
    pixel_size_A: float,
    defocus_A: float,
    snr: float,
    lens: Lens,
    seed: int,
) -> np.ndarray:
    generator = np.random.default_rng(seed)
    wide = 2 * box_px
    y, x = np.mgrid[:wide, :wide] - wide // 2
    inside = np.hypot(y, x) < 0.25 * box_px
    k2 = np.fft.fftfreq(wide, pixel_size_A)[:, None] ** 2 + np.fft.rfftfreq(wide, pixel_size_A) ** 2
    seen = ctf(wide, pixel_size_A, lens, defocus_A) * np.exp(-50 * k2 / 4)
    crop = slice(wide // 2 - box_px // 2, wide // 2 + box_px // 2)
    images = []
    for _ in range(n):
        atoms = generator.random((wide, wide)) * inside
        signal = np.fft.irfft2(np.fft.rfft2(atoms) * seen, s=(wide, wide))[crop, crop]
        noise = generator.standard_normal((box_px, box_px))
        images.append(np.sqrt(snr) * signal / signal.std() + noise)
    return normalised(np.array(images)).astype(np.float32)


def multiplied(images: np.ndarray, pixel_size_A: float, defocus_A: float) -> np.ndarray:
    """Multiply by the CTF and normalise again."""
    size = images.shape[-1]
    seen = np.fft.rfft2(images) * ctf(size, pixel_size_A, LENS, defocus_A)
    return normalised(np.fft.irfft2(seen, s=(size, size))).astype(np.float32)


def normalised(images: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1 outside the circle."""
    size = images.shape[-1]
    y, x = np.mgrid[:size, :size] - size // 2
    outside = images[:, np.hypot(y, x) > size / 2]
    return (images - outside.mean(axis=1)[:, None, None]) / outside.std(axis=1)[:, None, None]


def low_passed(images: np.ndarray, to_nyquist: float) -> np.ndarray:
    """Cut everything above a fraction of Nyquist."""
    size = images.shape[-1]
    radius = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    kept = np.fft.rfft2(images) * (radius <= 0.5 * to_nyquist)
    return np.fft.irfft2(kept, s=images.shape[-2:])
