"""Radiation damage: how much a frame is worth at each frequency (preprocessing.md section 3).

Grant & Grigorieff 2015 (eLife 4, e06980): the critical dose at 300 kV is
``N_e(k) = 0.245 k^-1.665 + 2.81`` electrons per Å² with k in 1/Å, 0.8 times that at 200 kV and
0.64 times at 100 kV. The optimal weight of a frame that ends at dose N is ``exp(-N / 2 N_e(k))``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.errors import InputError

_RELATIVE_DOSE = {300: 1.0, 200: 0.8, 100: 0.64}
_TOLERANCE_KV = 2


def relative_dose(voltage_kV: float) -> float:
    """Return the critical dose at a voltage over that at 300 kV.

    Raises
    ------
    InputError
        The curve was measured at 100, 200 and 300 kV only.
    """
    for known_kV, factor in _RELATIVE_DOSE.items():
        if abs(voltage_kV - known_kV) <= _TOLERANCE_KV:
            return factor
    raise InputError(
        f"{voltage_kV:g} kV: dose weighting is known at 100, 200 and 300 kV only. Correct the "
        "voltage of the optics group, or switch dose weighting off."
    )


def critical_dose(k_per_A: Float[Tensor, "*k"], voltage_kV: float) -> Float[Tensor, "*k"]:
    """Return the critical dose in electrons per Å²; infinite at frequency 0."""
    return (0.245 * k_per_A**-1.665 + 2.81) * relative_dose(voltage_kV)


def weights(
    dose_e_per_A2: Float[Tensor, " f"], k_per_A: Float[Tensor, "*k"], voltage_kV: float
) -> Float[Tensor, f * k]:
    """Return the weight of each frame at each frequency.

    Parameters
    ----------
    dose_e_per_A2
        What the sample has received when each frame ends.
    k_per_A
        Frequencies.
    voltage_kV
        100, 200 or 300.
    """
    dose = dose_e_per_A2.reshape(-1, *[1] * k_per_A.ndim)
    return torch.exp(-dose / (2 * critical_dose(k_per_A, voltage_kV)))


def frequencies_per_A(
    sizes: tuple[int, int], pixel_size_A: float, device: torch.device | str | None = None
) -> Float[Tensor, "y xh"]:
    """Return the length of the frequency at each pixel of a half transform, in 1/Å."""
    k = fourier.frequencies(sizes, 2, torch.float32, device)
    return torch.hypot(k[..., 0], k[..., 1]) / pixel_size_A
