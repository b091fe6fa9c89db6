"""The contrast transfer function, written from formats.md section 7 and sharing no code with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitreous.testing.simulate.scattering import wavelength_A

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Microscope:
    """What all images of an optics group share.

    Parameters
    ----------
    voltage_kV, cs_mm, amplitude_contrast
        The microscope.
    beam_tilt_mrad
        x and y.
    odd_zernike, even_zernike
        Coefficients in RELION's order, radians at rho = |k| in 1/Å; may be empty.
    phase_shift_deg
        Of a phase plate.
    """

    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.1
    beam_tilt_mrad: tuple[float, float] = (0.0, 0.0)
    odd_zernike: tuple[float, ...] = ()
    even_zernike: tuple[float, ...] = ()
    phase_shift_deg: float = 0.0


def transfer(
    microscope: Microscope,
    kx: Array,
    ky: Array,
    defocus_A: Array,
    *,
    bfactor_A2: float = 0.0,
) -> npt.NDArray[np.complex64]:
    """Return what the transforms of white projections are multiplied by.

    Parameters
    ----------
    microscope
        The optics.
    kx, ky
        Frequencies in 1/Å, of shapes that broadcast to ``(y, xh)``.
    defocus_A
        ``(n, 3)``: defocus U and V in Å (underfocus positive), and the angle of U in degrees.
    bfactor_A2
        Envelope exp(-B k^2 / 4).

    Returns
    -------
    ndarray
        ``(n, y, xh)``; real where there is neither beam tilt nor another odd aberration.
    """
    k2 = kx**2 + ky**2
    phi = np.arctan2(ky, kx)
    u, v, angle_deg = (column[:, None, None] for column in np.asarray(defocus_A, np.float64).T)
    alpha = np.radians(angle_deg)
    defocus = u * np.cos(phi - alpha) ** 2 + v * np.sin(phi - alpha) ** 2
    wave, cs = wavelength_A(microscope.voltage_kV), microscope.cs_mm * 1e7
    absorbed = microscope.amplitude_contrast
    gamma = (
        -np.pi * wave * defocus * k2
        + 0.5 * np.pi * cs * wave**3 * k2**2
        - np.radians(microscope.phase_shift_deg)
        - np.arctan2(absorbed, np.sqrt(1 - absorbed**2))
        + _zernike(microscope.even_zernike, kx, ky, odd=False)
    )
    tx, ty = microscope.beam_tilt_mrad
    odd = _zernike(microscope.odd_zernike, kx, ky, odd=True)
    odd = odd - 2 * np.pi * cs * wave**2 * k2 * (kx * tx + ky * ty) * 1e-3
    envelope = np.exp(-bfactor_A2 * k2 / 4)
    return np.asarray(-np.sin(gamma) * envelope * np.exp(1j * odd), np.complex64)


def trefoil(x: float, y: float) -> tuple[float, ...]:
    """Return the odd Zernike coefficients of a trefoil alone: rho^3 cos 3 phi and sin 3 phi."""
    return (0.0, 0.0, y, 0.0, 0.0, x)


def _zernike(coefficients: tuple[float, ...], kx: Array, ky: Array, *, odd: bool) -> Array:
    rho, phi = np.hypot(kx, ky), np.arctan2(ky, kx)
    total = np.zeros(np.broadcast_shapes(kx.shape, ky.shape))
    for index, amount in enumerate(coefficients):
        n, m = _orders(index, odd=odd)
        angular = np.cos(m * phi) if m >= 0 else np.sin(-m * phi)
        total += amount * _radial(n, abs(m), rho) * angular
    return total


def _orders(index: int, *, odd: bool) -> tuple[int, int]:
    if odd:
        q = int((np.sqrt(1 + 4 * index) - 1) // 2)
        n = 2 * q + 1
        return n, 2 * (index - q * q - q) - n
    q = int(np.sqrt(index))
    return 2 * q, 2 * (index - q * q - q)


def _radial(n: int, m: int, rho: Array) -> Array:
    """Return the radial polynomial R(n, m): sum of (-1)^s (n-s)! / (s! a! b!) rho^(n-2s)."""
    from math import factorial

    total = np.zeros_like(rho)
    for s in range((n - m) // 2 + 1):
        below = factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)
        total += (-1) ** s * factorial(n - s) / below * rho ** (n - 2 * s)
    return total
