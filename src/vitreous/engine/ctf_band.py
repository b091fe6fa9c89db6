"""The part of a spectrum in which the CTF is fitted, freed of everything that is smooth.

The data are the logarithms of the amplitudes, so that a steep background, of thick ice or carbon,
costs no more than a flat one, and every pixel has the same noise. Background is whatever a few
smooth functions of frequency can make: cubic B-splines of the radius, and fewer of them times the
cosine and sine of twice the angle. They are taken out of the data *and* out of every model
(Frisch-Waugh), so what is compared is the same part of both, also for the few wide rings of a
small defocus.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ctf_spectrum import Spectra
from vitreous.errors import InputError

N_RADIAL, N_ANGULAR = 7, 4  # splines over the band: of the radius, and of each angular wave
KNOTS_POWER = 0.65
ICE_PER_A = (0.25, 0.28)
ICE_WEIGHT = 0.1
ICE_MATTERS_BELOW_A = 4.0
CLIP_SIGMA = 4.0
FEWEST_PIXELS = 500


@dataclass(frozen=True)
class Band:
    """Pixels of a half plane that are fitted, each Friedel pair once.

    Parameters
    ----------
    index
        ``p``, where they are in a flattened half plane.
    k_per_A
        ``p c``, frequencies, in double precision as phases need it.
    weight
        ``p``; lower in the ring of ice.
    basis
        ``b p``, orthonormal: smooth functions times the root of the weight.
    """

    index: Int64[Tensor, " p"]
    k_per_A: Float[Tensor, "p c"]
    weight: Float[Tensor, " p"]
    basis: Float[Tensor, "b p"]

    @property
    def radius_per_A(self) -> Float[Tensor, " p"]:
        """Length of each frequency."""
        length: Tensor = torch.linalg.vector_norm(self.k_per_A, dim=-1)
        return length

    def without_background(self, values: Float[Tensor, "*b p"]) -> Float[Tensor, "*b p"]:
        """Take what is smooth out of values that carry the root of the weight already."""
        return values - (values @ self.basis.T) @ self.basis


def make_band(
    spectra: Spectra, coarsest_A: float, finest_A: float, device: torch.device | str = "cpu"
) -> Band:
    """Return the band between two resolutions, or up to the last frequency there is.

    Raises
    ------
    InputError
        Hardly any pixel is left between the two.
    """
    return _band(spectra.side, spectra.extent_A, coarsest_A, finest_A, str(device))


def rings(spectra: Spectra, band: Band) -> Float[Tensor, "n p"]:
    """Return the data of a fit: logarithms of the amplitudes without background, outliers clipped.

    Returns
    -------
    Tensor
        Scaled to unit variance, multiplied by the root of the weight.
    """
    values = spectra.amplitude.flatten(1)[:, band.index].to(band.basis.dtype)
    least = values.median(dim=1, keepdim=True).values * 1e-3
    logs = torch.log(torch.maximum(values, least.clamp(min=torch.finfo(torch.float32).tiny)))
    root = band.weight.sqrt()
    plain = band.without_background((logs - logs.mean(1, keepdim=True)) * root) / root
    for _ in range(2):  # what sticks out bends the background: once more without
        sigma = 1.4826 * plain.abs().median(dim=1, keepdim=True).values.clamp(min=1e-12)
        clipped = torch.maximum(torch.minimum(plain, CLIP_SIGMA * sigma), -CLIP_SIGMA * sigma)
        plain = band.without_background(clipped * root) / root
    return plain * root / plain.std(dim=1, keepdim=True).clamp(min=1e-12)


def ice_weight(radius_per_A: Tensor, finest_A: float) -> Tensor:
    """Return the weight of frequencies: little in the ring of ice, where a fit goes so far."""
    low, high = ICE_PER_A
    in_ring = (radius_per_A >= low) & (radius_per_A <= high)
    one = torch.ones_like(radius_per_A)
    return torch.where(in_ring, ICE_WEIGHT * one, one) if finest_A < ICE_MATTERS_BELOW_A else one


def splines(position: Float[Tensor, " p"], n: int) -> Float[Tensor, "n p"]:
    """Return the `n` cubic B-splines of evenly spaced knots that cover 0 to 1 (n at least 4)."""
    t = position.clamp(0, 1) * (n - 3)
    cell = t.floor().clamp(max=n - 4)
    f = t - cell
    parts = torch.stack(
        [(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3]
    )
    result = position.new_zeros((n, len(position)))
    rows = cell.to(torch.int64) + torch.arange(4, device=position.device)[:, None]
    return result.scatter_add(0, rows, parts / 6)


@lru_cache(maxsize=8)
def _band(side: int, extent_A: float, coarsest_A: float, finest_A: float, device: str) -> Band:
    index = fourier.indices(side, 2, device).flatten(0, 1)
    k_per_A = index.to(torch.float64) / extent_A
    radius = k_per_A.norm(dim=-1)
    nyquist = 0.5 * side / extent_A
    inner, outer = 1 / coarsest_A, min(1 / finest_A, nyquist)
    off_axes = (index[:, 0] >= 1) & (index[:, 1].abs() >= 1)
    # The column at Nyquist holds each pair twice.
    chosen = off_axes & (index[:, 0] < side / 2) & (radius >= inner) & (radius <= outer)
    pixels = torch.nonzero(chosen)[:, 0]
    if len(pixels) < FEWEST_PIXELS:
        raise InputError(
            f"between {coarsest_A:g} and {finest_A:g} A the spectrum of {side} pixels "
            f"({extent_A / side:.3f} A a pixel) has only {len(pixels)} values, wanted at least "
            f"{FEWEST_PIXELS}: a larger spectrum or a wider range of resolutions is needed"
        )
    weight = ice_weight(radius[pixels], finest_A)
    smooth = _smooth(k_per_A[pixels], inner, outer) * weight.sqrt()
    basis, _ = torch.linalg.qr(smooth.T)
    single = torch.float32
    return Band(pixels, k_per_A[pixels], weight.to(single), basis.T.to(single).contiguous())


def _smooth(k_per_A: Tensor, inner: float, outer: float) -> Float[Tensor, "b p"]:
    """Return the functions that make the background."""
    radius = k_per_A.norm(dim=-1)
    # Backgrounds are steepest at low resolution: the knots are closer there.
    position = ((radius - inner) / (outer - inner)) ** KNOTS_POWER
    cos = (k_per_A[:, 0] ** 2 - k_per_A[:, 1] ** 2) / radius**2
    sin = 2 * k_per_A[:, 0] * k_per_A[:, 1] / radius**2
    waves = splines(position, N_ANGULAR)
    return torch.cat([splines(position, N_RADIAL), waves * cos, waves * sin])
