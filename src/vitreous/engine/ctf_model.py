"""What rings of a defocus look like in a spectrum, and how well they agree with it.

The square of the CTF is ``(1 - cos 2 gamma) / 2``; in the logarithm of the amplitude of a noisy
image its rings are small, so the model is ``-cos 2 gamma`` times an envelope ``exp(-B k^2 / 2)``
and times what the tile leaves of rings so narrow (`Spectra.visibility`). gamma is that of
formats.md section 7 without even aberrations::

    gamma = -pi lambda k^2 (z + a1 cos 2 phi + a2 sin 2 phi)
            + (pi/2) Cs lambda^3 k^4 - phase - asin Q0

z is the mean of U and V; ``(a1, a2)`` is half of their difference along twice its angle, so that
neither the angle wraps nor U and V change places.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.ctf_band import Band
from vitreous.engine.ctf_spectrum import Spectra

Z, A1, A2, PHASE = range(4)
# Neighbours in the spectrum of a windowed tile are alike: how many count as one. The sum over all
# distances of the squared correlation, (1 + 2 (2/3)^2 + 2 (1/6)^2)^2 for Hann's window.
ALIKE_IN_WINDOW = (1 + 2 * (2 / 3) ** 2 + 2 * (1 / 6) ** 2) ** 2
# Power of the narrowest waves of noise: measured on white noise with tiles half a side apart;
# closer ones leave a little less.
NOISE_LEFT = 0.02


@dataclass(frozen=True)
class Lens:
    """The part of gamma that the microscope fixes.

    Parameters
    ----------
    wavelength_A
        Of the electrons.
    coma_A3
        Spherical aberration times the square of the wavelength.
    amplitude_phase_rad
        asin of the amplitude contrast.
    """

    wavelength_A: float
    coma_A3: float
    amplitude_phase_rad: float

    @classmethod
    def of(cls, optics: Optics, group: int = 0) -> Lens:
        """Return the lens of an optics group."""
        return cls(
            float(optics.wavelength_A()[group]),
            float(optics.coma_strength()[group]),
            math.asin(float(optics.amplitude_contrast[group])),
        )

    def per_defocus(self, k2: Tensor) -> Tensor:
        """Return the derivative of gamma by the defocus, in rad/A."""
        return -torch.pi * self.wavelength_A * k2

    def fixed_rad(self, k2: Tensor) -> Tensor:
        """Return gamma at no defocus and no phase shift."""
        spherical = torch.pi / 2 * self.coma_A3 * self.wavelength_A * k2**2
        return spherical - self.amplitude_phase_rad

    def displacement_A(self, defocus_A: Tensor, radius_per_A: Tensor) -> Tensor:
        """Return the inverse of the distance of rings of ``cos 2 gamma``: |d gamma / dk| / pi."""
        slope = -2 * self.wavelength_A * defocus_A * radius_per_A
        return slope + 2 * self.coma_A3 * self.wavelength_A * radius_per_A**3


@dataclass(frozen=True)
class Scene:
    """Spectra, ready for any number of models.

    Parameters
    ----------
    data
        ``n p``, of `ctf_band.rings`, scaled to unit length.
    band, lens
        Where they are, and the microscope.
    spectra
        What they come from.
    """

    data: Float[Tensor, "n p"]
    band: Band
    lens: Lens
    spectra: Spectra

    @property
    def n_independent(self) -> float:
        """How many independent values a spectrum has in the band."""
        share = ALIKE_IN_WINDOW if self.spectra.is_windowed else 1.0
        return float(self.band.weight.sum()) / share


def gamma_rad(lens: Lens, parameters: Float[Tensor, "*b 4"], k_per_A: Tensor) -> Tensor:
    """Return gamma at some frequencies, ``*b p``, in double precision.

    Parameters
    ----------
    lens
        The microscope.
    parameters
        z, a1, a2 in A and the phase shift in radians.
    k_per_A
        ``p c``
    """
    k2 = (k_per_A**2).sum(-1)
    defocus_k2 = parameters[..., :3] @ _directions(k_per_A)
    return (
        lens.fixed_rad(k2)
        - torch.pi * lens.wavelength_A * defocus_k2
        - parameters[..., PHASE, None]
    )


def model(
    scene: Scene,
    parameters: Float[Tensor, "n c 4"],
    bfactor_A2: Float[Tensor, "n c"],
    n_derivatives: int = 0,
) -> Float[Tensor, "n c d p"]:
    """Return data and rings of candidates in units of the noise, then derivatives of the rings.

    Returns
    -------
    Tensor
        ``d`` is 0 for the data, 1 for the rings, then their derivatives by the first
        `n_derivatives` parameters. All carry the root of the weight and are free of what is
        smooth.
    """
    band, lens = scene.band, scene.lens
    seen, noise = visible(scene, parameters[..., Z])
    fading = damping(band.radius_per_A.to(seen.dtype), bfactor_A2.to(seen.dtype))
    envelope = seen * fading * band.weight.sqrt()
    twice = 2 * _wrapped(gamma_rad(lens, parameters, band.k_per_A)).to(envelope.dtype)
    layers = [-torch.cos(twice) * envelope]
    if n_derivatives:
        slope = 2 * torch.sin(twice) * envelope
        directions = _directions(band.k_per_A).to(envelope.dtype)
        layers += [slope * (-torch.pi * lens.wavelength_A * part) for part in directions]
        layers += [-slope]
    stacked = band.without_background(torch.stack(layers[: n_derivatives + 1], -2))
    data = scene.data[:, None, None].expand(*parameters.shape[:2], 1, -1)
    return torch.cat([data, stacked], -2) / noise[..., None, :]


def visible_ctf(scene: Scene, parameters: Float[Tensor, "n c 4"]) -> Float[Tensor, "n c p"]:
    """Return ``|CTF|`` as far as it is visible, weighted and freed of background like the data."""
    gamma = _wrapped(gamma_rad(scene.lens, parameters, scene.band.k_per_A))
    seen, _ = visible(scene, parameters[..., Z])
    values = torch.sin(gamma).abs().to(seen.dtype) * seen * scene.band.weight.sqrt()
    return scene.band.without_background(values)


def visible(scene: Scene, defocus_A: Float[Tensor, "*c"]) -> tuple[Tensor, Tensor]:
    """Return how visible rings are, ``*c p``, and the noise beside them.

    Noise in the spectrum of a windowed tile is a sum of waves as well, and those as narrow as the
    rings fade with them: the noise that matters falls nearly as fast as the rings.
    """
    spread = scene.lens.displacement_A(defocus_A[..., None], scene.band.radius_per_A)
    spread = spread.to(scene.data.dtype)
    seen = scene.spectra.visibility(spread)
    return seen, noise_beside(seen)


def noise_beside(seen: Tensor) -> Tensor:
    """Return the noise of waves that are so visible, 1 for wide ones."""
    return torch.sqrt((seen**2 + NOISE_LEFT) / (1 + NOISE_LEFT))


def damping(radius_per_A: Tensor, bfactor_A2: Tensor) -> Tensor:
    """Return the envelope of the rings: ``exp(-B k^2 / 2)``, ``*c p``."""
    return torch.exp(-bfactor_A2[..., None] * radius_per_A**2 / 2)


def agreement(layers: Float[Tensor, "n c d p"]) -> Float[Tensor, "n c"]:
    """Return the correlation of the data with the rings, both of `model`."""
    data, rings = layers[..., 0, :], layers[..., 1, :]
    length: Tensor = torch.linalg.vector_norm(rings, dim=-1)
    return (data * rings).sum(-1) / length.clamp(min=1e-12)


def _wrapped(gamma: Tensor) -> Tensor:
    """Take whole half-turns off, which no square and no absolute value knows."""
    turns = gamma / torch.pi
    return torch.pi * (turns - turns.round())


def _directions(k_per_A: Tensor) -> Float[Tensor, "3 p"]:
    """Return k^2, k^2 cos 2 phi and k^2 sin 2 phi."""
    kx, ky = k_per_A.unbind(-1)
    return torch.stack([kx**2 + ky**2, kx**2 - ky**2, 2 * kx * ky])
