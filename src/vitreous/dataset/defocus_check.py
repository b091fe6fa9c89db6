"""Compare the CTF that particles show with the one that their rows state.

The mean spectrum of the particles of one micrograph is background + signal x CTF^2, so it
swings with the defocus. In the logarithm, with smooth polynomials for both parts, that is a
linear fit for each trial defocus; the fraction of the background's residual that the swing
explains is the score. Averaged over directions, astigmatism damps the swing by a Bessel
function; the edge of the box damps it where the two images of a delocalised point fall apart.
CTF as in formats.md section 7.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0

SURE_SCORE = (0.45, 0.6)
SURE_SCORE_SHELLS = 20.0
STATED_SHARE = 0.5
TOLERANCE = 0.06
SMALLEST_TOLERANCE_A = 600.0
N_SMALLEST_SHELLS = 18
COARSEST_A = 45.0
FINEST_A = 4.0


@dataclass(frozen=True)
class Lens:
    """The microscope behind an image; `phase_shift_rad` of a phase plate."""

    voltage_kV: float
    cs_mm: float
    amplitude_contrast: float
    phase_shift_rad: float = 0.0

    @property
    def wavelength_A(self) -> float:
        """Relativistic wavelength of the electrons."""
        volts = self.voltage_kV * 1e3
        return float(12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts)))


@dataclass(frozen=True)
class DefocusFit:
    """How well stated and best defocus explain a spectrum.

    Parameters
    ----------
    stated_A, best_A
        Mean defocus of the rows, and of the best fit.
    stated_score, best_score
        Fraction of the variance about a smooth background that the CTF explains, 0 to 1.
    strength
        How much the logarithm of the power falls from the tops to the zeros of the CTF, in the
        middle of the range, at the best defocus. Noise fills the zeros of images as they were
        taken (2 is much); images multiplied by their CTF are empty there (3.4 and more).
    frequencies_per_A, spectrum, model
        ``s``: the fitted range, natural logarithm of the power, and its best fit.
    """

    stated_A: float
    best_A: float
    stated_score: float
    best_score: float
    strength: float
    frequencies_per_A: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    model: NDArray[np.float64]

    @property
    def is_sure(self) -> bool:
        """Whether any defocus explains the spectrum beyond chance; few shells need more."""
        least = np.clip(SURE_SCORE_SHELLS / len(self.spectrum), *SURE_SCORE)
        return bool(self.best_score > least)

    @property
    def contradicts(self) -> bool:
        """Whether the images show another defocus than their rows, beyond doubt."""
        return self.is_sure and self.stated_score < STATED_SHARE * self.best_score


def fit_defocus(
    power: NDArray[np.float64],
    box_px: int,
    pixel_size_A: float,
    lens: Lens,
    stated_A: float,
    astigmatism_A: float = 0.0,
) -> DefocusFit | None:
    """Compare a mean spectrum with the CTF at the stated and at every other defocus.

    Parameters
    ----------
    power
        ``s``: mean power of the particles of one micrograph, by shell (`spectra.radial_power`).
    box_px, pixel_size_A
        Of the particles.
    lens
        The microscope.
    stated_A, astigmatism_A
        Mean of the two defoci that the rows state, and their difference.

    Returns
    -------
    DefocusFit or None
        None where the box holds too few shells to tell.
    """
    box_A = box_px * pixel_size_A
    first = max(4, int(np.ceil(box_A / COARSEST_A)))
    last = min(len(power) - 1, round(0.55 * box_px), int(box_A / FINEST_A))
    shells = np.arange(first, last + 1)
    if len(shells) < N_SMALLEST_SHELLS or not np.all(power[shells] > 0):
        return None
    k = shells / box_A
    spectrum = np.log(power[shells])
    swings = _Swings(k, lens, abs(astigmatism_A), box_A)
    tolerance_A = max(TOLERANCE * abs(stated_A), SMALLEST_TOLERANCE_A)
    near = np.linspace(stated_A - tolerance_A, stated_A + tolerance_A, 25)
    trials = np.concatenate([near, np.arange(3000.0, 60001.0, 100.0)])
    scores = np.array([_explain(spectrum, k, swings.at(trial))[0] for trial in trials])
    best = int(scores.argmax())
    _, model, amplitude = _explain(spectrum, k, swings.at(float(trials[best])))
    third = len(k) // 3
    return DefocusFit(
        stated_A=stated_A,
        best_A=float(trials[best]),
        stated_score=float(scores[: len(near)].max()),
        best_score=float(scores[best]),
        strength=float(amplitude[third : 2 * third].mean()),
        frequencies_per_A=k,
        spectrum=spectrum,
        model=model,
    )


@dataclass(frozen=True)
class _Swings:
    """The part of CTF^2 that swings, averaged over directions, as a function of defocus."""

    k_per_A: NDArray[np.float64]
    lens: Lens
    astigmatism_A: float
    box_A: float

    def at(self, defocus_A: float) -> NDArray[np.float64]:
        """Return ``CTF^2 - 1/2`` at a mean defocus."""
        k, wavelength_A = self.k_per_A, self.lens.wavelength_A
        contrast = min(abs(self.lens.amplitude_contrast), 0.99)
        phase = (
            -np.pi * wavelength_A * defocus_A * k**2
            + np.pi / 2 * self.lens.cs_mm * 1e7 * wavelength_A**3 * k**4
            - np.arctan(contrast / np.sqrt(1 - contrast**2))
            - self.lens.phase_shift_rad
        )
        directions = j0(np.pi * wavelength_A * self.astigmatism_A * k**2)
        inside_box = np.clip(1 - 2 * wavelength_A * abs(defocus_A) * k / self.box_A, 0, None)
        return np.asarray(-0.5 * np.cos(2 * phase) * directions * inside_box, dtype=np.float64)


def _explain(
    spectrum: NDArray[np.float64], k: NDArray[np.float64], swing: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the explained fraction of the residual variance, the fit, and the swing's size."""
    x = 2 * (k - k[0]) / (k[-1] - k[0]) - 1
    background = np.polynomial.legendre.legvander(x, 4)
    strength = np.polynomial.legendre.legvander(x, 1)
    weight = np.sqrt(k)[:, None]
    smooth, _ = _least_squares(background, spectrum, weight)
    fitted, coefficients = _least_squares(
        np.hstack([background, strength * swing[:, None]]), spectrum, weight
    )
    amplitude = np.asarray(strength @ coefficients[background.shape[1] :])
    if np.sum(amplitude * np.abs(swing)) <= 0:
        return 0.0, smooth, amplitude
    residual = np.sum(weight[:, 0] ** 2 * (spectrum - fitted) ** 2)
    before = np.sum(weight[:, 0] ** 2 * (spectrum - smooth) ** 2)
    return float(1 - residual / max(before, 1e-30)), fitted, amplitude


def _least_squares(
    columns: NDArray[np.float64], values: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    coefficients = np.linalg.lstsq(columns * weight, values * weight[:, 0], rcond=None)[0]
    return np.asarray(columns @ coefficients), np.asarray(coefficients, dtype=np.float64)
