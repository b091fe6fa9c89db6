"""The curvature of the Ewald sphere in images and their reconstruction (refinement.md 13.3).

To first order an image holds, at each frequency, one point of each of two paraboloids::

    I(k) = a V(k, +z) + conj(a) V(k, -z),   a = -(i / 2) exp(-i gamma),   z = wavelength k^2 / 2

(DeRosier, Ultramicroscopy 81, 83 (2000); Wolf, DeRosier & Grigorieff, ibid. 106, 376 (2006)). Where
the two points are alike this is the CTF, ``-sin(gamma)``. To reconstruct, ``conj(a) I`` is inserted
at +z and ``a I`` at -z. What the other point leaves in each is spread far in real space by twice
the defocus phase, where a mask around the particle takes it away (Russo & Henderson,
Ultramicroscopy 187, 26 (2018)). The sign of z is RELION's; data of the other hand need its reverse.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ctf import PLAIN, Defocus, Optics, Treatment, ctf


def curvature_px(optics: Optics, row: int, box_px: int) -> float:
    """Return z over kx^2 + ky^2 in frequency steps of a box: wavelength / (2 box pixel size)."""
    return float(optics.wavelength_A()[row] / (2 * box_px * optics.pixel_size_A[row]))


def quadratures(
    optics: Optics,
    defocus: Defocus,
    size: int,
    *,
    group: Int64[Tensor, " n"] | None = None,
    treatment: Treatment = PLAIN,
) -> tuple[Float[Tensor, "n y xh"], Float[Tensor, "n y xh"]]:
    """Return the CTF, damping times ``-sin(gamma)``, and damping times ``cos(gamma)``."""
    turned = replace(defocus, phase_shift_deg=defocus.phase_shift_deg + 90)
    sine = ctf(optics, defocus, size, group=group, treatment=treatment)
    return sine, ctf(optics, turned, size, group=group, treatment=treatment)


def image_of(
    near: Complex[Tensor, "n y xh"],
    far: Complex[Tensor, "n y xh"],
    sine: Float[Tensor, "n y xh"],
    cosine: Float[Tensor, "n y xh"],
) -> Complex[Tensor, "n y xh"]:
    """Return images of the slices at +z (`near`) and -z (`far`)."""
    return 0.5 * ((near + far) * sine - 1j * (near - far) * cosine)


def sides_of(
    images: Complex[Tensor, "n y xh"],
    sine: Float[Tensor, "n y xh"],
    cosine: Float[Tensor, "n y xh"],
    window: Float[Tensor, "y x"] | None = None,
    size: int | None = None,
) -> tuple[Complex[Tensor, "n u uh"], Complex[Tensor, "n u uh"]]:
    """Return what is inserted at +z and at -z: the adjoint of `image_of`.

    Parameters
    ----------
    images
        Centred images.
    sine, cosine
        Of `quadratures`.
    window
        Real-space mask applied to both; None for none.
    size
        Side that the masked images are cropped to; by default they keep theirs.
    """
    # Both parts have the symmetry of real images, which lets them be masked as such.
    parts = [0.5 * images * sine, 0.5 * images * cosine]
    if window is not None or size is not None:
        side = images.shape[-2]
        size = side if size is None else size
        first = side // 2 - size // 2
        for i, part in enumerate(parts):
            real = fourier.inverse(part, 2, side)
            if window is not None:
                real = real * window
            cut = real[:, first : first + size, first : first + size]
            parts[i] = fourier.forward(cut.contiguous(), 2) * (size / side) ** 2
    return parts[0] + 1j * parts[1], parts[0] - 1j * parts[1]


def overlap(
    optics: Optics, row: int, size: int, box_px: int, diameter_A: float
) -> Float[Tensor, "y xh"]:
    """Return how alike the two points of an image frequency are, from 1 down to about 0.

    The transform of a particle is smooth over the inverse of its diameter; for density spread
    evenly over a ball the correlation of points ``2 z`` apart is the transform of the ball.

    Parameters
    ----------
    optics, row
        The optics group.
    size, box_px
        Side of the transform, and of the box that its frequencies belong to.
    diameter_A
        Of the particle.
    """
    k2_per_A2 = fourier.squared_radius(size, 2).to(torch.float64)
    k2_per_A2 /= (box_px * optics.pixel_size_A[row]) ** 2
    x = (torch.pi * diameter_A * optics.wavelength_A()[row] * k2_per_A2).clamp(min=1e-2)
    return (3 * (x.sin() - x * x.cos()) / x**3).to(torch.float32)


def weights(
    sine: Float[Tensor, "n y xh"],
    cosine: Float[Tensor, "n y xh"],
    alike: Float[Tensor, "y xh"] | float,
) -> Float[Tensor, "n y xh"]:
    """Return the weight of each of the two insertions.

    The part of ``conj(a) I`` that measures V(+z) is ``|a|^2`` and, as far as the two points are
    alike, the real part of ``conj(a)^2``. Where they are one point both weights add up to CTF^2;
    where they are independent, each is a quarter of the damping squared.
    """
    return 0.25 * ((1 + alike) * sine**2 + (1 - alike) * cosine**2)
