"""Zernike aberrations and the phase plate of the odd ones (formats.md section 7).

Frequencies are in 1/A, not scaled to a disc: ``Z(m, n) = R(m, n, |k|) cos(m phi)`` for m >= 0 and
``R(|m|, n, |k|) sin(|m| phi)`` for m < 0, with the usual radial polynomials, not normalised.
"""

from __future__ import annotations

from math import factorial, isqrt

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier


def even_order(index: int) -> tuple[int, int]:
    """Return (m, n) of the even Zernike polynomial at a place in ``rlnEvenZernike``."""
    half = isqrt(index)
    return 2 * (index - half * half - half), 2 * half


def odd_order(index: int) -> tuple[int, int]:
    """Return (m, n) of the odd Zernike polynomial at a place in ``rlnOddZernike``."""
    half = (isqrt(1 + 4 * index) - 1) // 2
    n = 2 * half + 1
    return 2 * (index - half * half - half) - n, n


def zernike(m: int, n: int, k_per_A: Float[Tensor, "*half c"]) -> Float[Tensor, "*half"]:
    """Evaluate one Zernike polynomial.

    Parameters
    ----------
    m, n
        Angular and radial order, ``n - abs(m)`` even and not negative.
    k_per_A
        Frequencies, components x y.
    """
    order = abs(m)
    kx, ky = k_per_A.unbind(-1)
    k2 = kx**2 + ky**2
    radial = torch.zeros_like(k2)
    for s in range((n - order) // 2 + 1):
        numerator = (-1) ** s * factorial(n - s)
        denominator = (
            factorial(s) * factorial((n + order) // 2 - s) * factorial((n - order) // 2 - s)
        )
        radial = radial + numerator / denominator * k2 ** ((n - order) // 2 - s)
    # |k|^m cos(m phi) and |k|^m sin(m phi) are the two parts of (kx + i ky)^m.
    real, imaginary = torch.ones_like(kx), torch.zeros_like(kx)
    for _ in range(order):
        real, imaginary = real * kx - imaginary * ky, real * ky + imaginary * kx
    return radial * (imaginary if m < 0 else real)


def even_phase(
    coefficients: Float[Tensor, " m"], k_per_A: Float[Tensor, "*half c"]
) -> Float[Tensor, "*half"]:
    """Return what the even Zernike terms add to the phase gamma of the CTF, in radians."""
    total = torch.zeros_like(k_per_A[..., 0])
    for index, coefficient in enumerate(coefficients):
        total = total + coefficient * zernike(*even_order(index), k_per_A)
    return total


def odd_phase(
    coefficients: Float[Tensor, " m"],
    beam_tilt_mrad: Float[Tensor, " c"],
    coma_strength: Float[Tensor, ""],
    k_per_A: Float[Tensor, "*half c"],
) -> Float[Tensor, "*half"]:
    """Return the antisymmetric phase p of odd Zernike terms and beam tilt, in radians.

    A predicted image is multiplied by ``exp(i p)``, a measured one by its conjugate.

    Parameters
    ----------
    coefficients
        ``rlnOddZernike``.
    beam_tilt_mrad
        Beam tilt x y; adds ``-2 pi Cs lambda^2 k^2 (k . t)``.
    coma_strength
        Spherical aberration times the square of the wavelength, in A^3.
    k_per_A
        Frequencies, components x y.
    """
    k2 = (k_per_A**2).sum(-1)
    along = (k_per_A * beam_tilt_mrad * 1e-3).sum(-1)
    total = -2 * torch.pi * coma_strength * k2 * along
    for index, coefficient in enumerate(coefficients):
        total = total + coefficient * zernike(*odd_order(index), k_per_A)
    return total


def unit_phases(turns: Float[Tensor, "*half"], dtype: torch.dtype) -> Complex[Tensor, "*half"]:
    """Return ``exp(2 pi i turns)``; whole turns are taken off before the precision drops."""
    angle = (2 * torch.pi * (turns - turns.round())).to(dtype)
    return torch.polar(torch.ones_like(angle), angle)


def mtf(
    resolution_per_px: Float[Tensor, " m"],
    value: Float[Tensor, " m"],
    k_per_px: Float[Tensor, "*half"],
) -> Float[Tensor, "*half"]:
    """Look up the modulation transfer function of a detector.

    Parameters
    ----------
    resolution_per_px
        ``rlnResolutionInversePixel``, rising, in cycles per pixel of the *detector*.
    value
        ``rlnMtfValue``.
    k_per_px
        Lengths of frequencies in cycles per detector pixel: 1/A times the pixel size that the
        table belongs to, which is not that of a binned image.

    Returns
    -------
    Tensor
        Linear interpolation; the first and last values are held outside the table.
    """
    upper = torch.searchsorted(resolution_per_px, k_per_px.contiguous())
    upper = upper.clamp(1, len(resolution_per_px) - 1)
    low, high = resolution_per_px[upper - 1], resolution_per_px[upper]
    weight = ((k_per_px - low) / (high - low)).clamp(0, 1)
    return torch.lerp(value[upper - 1], value[upper], weight)


def mtf_image(
    resolution_per_px: Float[Tensor, " m"],
    value: Float[Tensor, " m"],
    size: int,
    box_A: float,
    detector_pixel_A: float,
) -> Float[Tensor, "y xh"]:
    """Return the MTF at every frequency of a half transform.

    Parameters
    ----------
    resolution_per_px, value
        The table; see `mtf`.
    size
        Side of the image whose half transform is meant.
    box_A
        Side of the box that the frequencies belong to: box times pixel size.
    detector_pixel_A
        Pixel size of the table (``rlnMicrographOriginalPixelSize``).
    """
    index = fourier.indices(size, 2, value.device).to(value.dtype)
    return mtf(resolution_per_px, value, index.norm(dim=-1) * (detector_pixel_A / box_A))
