"""Micrographs that are nothing but rings: noise seen through the CTF, in noise that is not.

The Thon SNR (preprocessing.md section 4) is the power of what comes through the CTF over the power
of all else at the same frequency, before the envelope and averaged over rings, where the mean of
``CTF^2`` is a half. The rings reach twice as high::

    power(k) = background(k) (1 + 2 SNR CTF(k)^2 exp(-B k^2 / 2))

Both parts are coloured alike by a background as micrographs have: steep at low resolution, falling
with the detector at high.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import fft

from vitreous.testing.simulate.contrast import Microscope, transfer


@dataclass(frozen=True)
class Thon:
    """What is simulated.

    Parameters
    ----------
    size_px, pixel_size_A
        Of the square micrograph.
    microscope
        Optics, with the phase shift.
    snr
        Thon SNR as told above.
    bfactor_A2
        The rings' power falls as ``exp(-B k^2 / 2)``.
    has_background
        Whether the spectrum is steep, or white.
    """

    size_px: int = 2048
    pixel_size_A: float = 1.1
    microscope: Microscope = field(default_factory=Microscope)
    snr: float = 0.3
    bfactor_A2: float = 80.0
    has_background: bool = True


def thon_micrograph(
    wanted: Thon, defocus_A: tuple[float, float, float], rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return one micrograph, ``y x``.

    Parameters
    ----------
    wanted
        See `Thon`.
    defocus_A
        U and V in A, underfocus positive, and the angle of U in degrees.
    rng
        Source of randomness.
    """
    size = wanted.size_px
    ky = fft.fftfreq(size, wanted.pixel_size_A)[:, None]
    kx = fft.rfftfreq(size, wanted.pixel_size_A)[None]
    ctf = transfer(wanted.microscope, kx, ky, np.array([defocus_A]), bfactor_A2=wanted.bfactor_A2)[
        0
    ].real
    # Noise plus noise through the CTF is noise of the sum of both powers.
    power = 1 + 2 * wanted.snr * ctf.astype(np.float32) ** 2
    waves = _white(size, rng) * np.sqrt(power)
    if wanted.has_background:
        waves *= _background(np.hypot(kx, ky), 0.5 / wanted.pixel_size_A)
    return np.asarray(fft.irfft2(waves, (size, size)), np.float32)


def random_defocus_A(
    rng: np.random.Generator, low_A: float, high_A: float, most_astigmatism_A: float
) -> tuple[float, float, float]:
    """Return U, V and angle: evenly spread mean, difference and direction."""
    mean = rng.uniform(low_A, high_A)
    half = rng.uniform(0, most_astigmatism_A) / 2
    return mean + half, mean - half, rng.uniform(-90, 90)


def _white(size: int, rng: np.random.Generator) -> npt.NDArray[np.complex64]:
    """Return the transform of white noise of unit variance."""
    parts = rng.standard_normal((size, size // 2 + 1, 2), np.float32) * np.float32(size / 2**0.5)
    return parts.view(np.complex64)[..., 0]


def _background(k: npt.NDArray[np.float64], nyquist: float) -> npt.NDArray[np.float32]:
    """Return amplitudes: a rise towards low resolution and the fall of a detector."""
    steep = 1 + (0.04 / np.maximum(k, 0.002)) ** 1.5
    return np.asarray(steep * np.exp(-0.5 * (k / nyquist) ** 2), np.float32)
