"""Radiation damage: how much of each wave is left after a dose.

Grant & Grigorieff 2015 (eLife 4, e06980): the amplitude falls as exp(-N / 2 N_e(k)) with the
critical dose N_e(k) = 0.245 k^-1.665 + 2.81 e/Å² at 300 kV.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vitreous.errors import InputError

Array = npt.NDArray[np.float64]

_RELATIVE_DOSE = {300: 1.0, 200: 0.8, 100: 0.64}


def critical_dose_e_per_A2(k_per_A: Array, voltage_kV: float) -> Array:
    """Return the critical dose at frequencies k (infinite at k = 0), in electrons per Å².

    Raises
    ------
    InputError
        The curve is known at 100, 200 and 300 kV only.
    """
    known = [value for value in _RELATIVE_DOSE if abs(value - voltage_kV) <= 2]
    if not known:
        raise InputError(
            f"{voltage_kV:g} kV: radiation damage is known at 100, 200 and 300 kV only. "
            "Choose one of these voltages, or switch damage off with --no_damage."
        )
    with np.errstate(divide="ignore"):
        curve = 0.245 * np.asarray(k_per_A, np.float64) ** -1.665 + 2.81
    return np.asarray(curve * _RELATIVE_DOSE[known[0]])


def amplitude_left(
    k_per_A: Array, start_e_per_A2: float, end_e_per_A2: float, voltage_kV: float
) -> Array:
    """Return the mean amplitude of the specimen while a dose from `start` to `end` arrives.

    Parameters
    ----------
    k_per_A
        Frequencies.
    start_e_per_A2, end_e_per_A2
        Accumulated dose; where both are equal, the amplitude at that dose.
    voltage_kV
        100, 200 or 300.
    """
    twice = 2 * critical_dose_e_per_A2(k_per_A, voltage_kV)
    middle = np.exp(-(start_e_per_A2 + end_e_per_A2) / 2 / twice)
    half = (end_e_per_A2 - start_e_per_A2) / 2 / twice
    ratio = np.ones_like(half)
    np.divide(np.sinh(half), half, out=ratio, where=half > 1e-6)
    return np.asarray(middle * ratio)
