"""Filters on the Fourier transform of images and volumes, as RELION's tools apply them.

Each function takes real arrays (``*b y x`` or ``*b z y x``, square) and returns real arrays; the
curves themselves are functions of the radius in cycles per pixel, so that others can multiply
transforms by them (preprocessing.md section 0, postprocessing.md sections 4 and 9).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.errors import InputError

Curve = Callable[[Tensor], Tensor]
EDGE_SHELLS = 2
NYQUIST = 0.5


def apply(images: Float[Tensor, "*real"], curve: Curve, ndim: int) -> Float[Tensor, "*real"]:
    """Multiply the transforms of real arrays by a curve of the frequency in cycles per pixel."""
    sizes = tuple(images.shape[-ndim:])
    return fourier.inverse(
        fourier.forward(images, ndim) * curve(radius(sizes, images)).to(images.dtype), ndim, sizes
    )


def radius(sizes: tuple[int, ...], like: Tensor) -> Float[Tensor, "*half"]:
    """Return the length of the frequency at each pixel of a half transform, cycles per pixel."""
    ndim = len(sizes)
    dtype = torch.promote_types(like.dtype, torch.float32)
    if len(set(sizes)) == 1:
        squared = fourier.squared_radius(sizes, ndim, like.device)
        return squared.to(dtype).sqrt_() / sizes[0]
    return fourier.frequencies(sizes, ndim, dtype, like.device).square().sum(-1).sqrt()


def low_pass(
    images: Float[Tensor, "*real"],
    resolution_A: float,
    pixel_size_A: float,
    ndim: int,
    *,
    edge_shells: int = EDGE_SHELLS,
    direction: int | None = None,
) -> Float[Tensor, "*real"]:
    """Keep what is coarser than a resolution, with a raised-cosine edge.

    Parameters
    ----------
    images
        ``*b y x`` or ``*b z y x``, square.
    resolution_A
        Where the filter is one half, rounded to a shell.
    edge_shells
        Width of the edge; an odd one counts as the even one below, as in RELION.
    direction
        0, 1 or 2: filter along x, y or z only.
    """
    size = images.shape[-1]
    curve = low_pass_curve(size, resolution_A, pixel_size_A, edge_shells)
    if direction is None:
        return apply(images, curve, ndim)
    if not 0 <= direction < ndim:
        raise InputError(f"No axis {direction} to filter along in {ndim} dimensions.")
    sizes = tuple(images.shape[-ndim:])
    along = fourier.frequencies(sizes, ndim, images.dtype, images.device)[..., direction].abs()
    return fourier.inverse(
        fourier.forward(images, ndim) * curve(along).to(images.dtype), ndim, sizes
    )


def high_pass(
    images: Float[Tensor, "*real"],
    resolution_A: float,
    pixel_size_A: float,
    ndim: int,
    *,
    edge_shells: int = EDGE_SHELLS,
) -> Float[Tensor, "*real"]:
    """Keep what is finer than a resolution; see `low_pass`."""
    keep = low_pass_curve(images.shape[-1], resolution_A, pixel_size_A, edge_shells)
    return apply(images, lambda k: 1 - keep(k), ndim)


def band_pass(
    images: Float[Tensor, "*real"],
    coarse_A: float,
    fine_A: float,
    pixel_size_A: float,
    ndim: int,
    *,
    edge_shells: int = EDGE_SHELLS,
) -> Float[Tensor, "*real"]:
    """Keep what lies between two resolutions; see `low_pass`."""
    size = images.shape[-1]
    fine = low_pass_curve(size, fine_A, pixel_size_A, edge_shells)
    coarse = low_pass_curve(size, coarse_A, pixel_size_A, edge_shells)
    return apply(images, lambda k: fine(k) * (1 - coarse(k)), ndim)


def low_pass_curve(
    size: int, resolution_A: float, pixel_size_A: float, edge_shells: int = EDGE_SHELLS
) -> Curve:
    """Return the raised-cosine low-pass of a box as a function of cycles per pixel."""
    if not (resolution_A > 0 and pixel_size_A > 0):
        raise InputError(
            f"A filter at {resolution_A:g} A needs a resolution and a pixel size "
            f"({pixel_size_A:g} A) above 0."
        )
    shell = int(size * pixel_size_A / resolution_A + 0.5)
    half = edge_shells // 2
    start, stop = max(0, shell - half) / size, (shell + half) / size

    def curve(k: Tensor) -> Tensor:
        if stop <= start:
            return (k <= stop).to(k.dtype)
        phase = ((k - start) / (stop - start)).clamp(0, 1)
        return 0.5 + 0.5 * torch.cos(torch.pi * phase)

    return curve


def apply_b_factor(
    images: Float[Tensor, "*real"], b_factor_A2: float, pixel_size_A: float, ndim: int
) -> Float[Tensor, "*real"]:
    """Multiply by ``exp(-B k^2 / 4)`` up to Nyquist and by 0 beyond; negative B sharpens."""

    def curve(k: Tensor) -> Tensor:
        return torch.exp(-b_factor_A2 / 4 * (k / pixel_size_A) ** 2) * (k <= NYQUIST)

    return apply(images, curve, ndim)


def laplacian_of_gaussian(
    images: Float[Tensor, "*real"], diameter_A: float, pixel_size_A: float, ndim: int
) -> Float[Tensor, "*real"]:
    """Filter so that bright discs of a diameter answer most (with a positive sign).

    ``q^2 exp(-q^2 / 2)`` with ``q = 2 d k``, d the diameter in pixels (preprocessing.md section 6).
    """
    if not (diameter_A > 0 and pixel_size_A > 0):
        raise InputError("The diameter and the pixel size of a LoG filter must be above 0.")

    def curve(k: Tensor) -> Tensor:
        q2 = (2 * diameter_A / pixel_size_A * k) ** 2
        return q2 * torch.exp(-q2 / 2)

    return apply(images, curve, ndim)


def power_spectrum(images: Float[Tensor, "*real"], ndim: int) -> Float[Tensor, "*half"]:
    """Return ``|F|^2`` as a half transform."""
    return fourier.forward(images, ndim).abs().square()


def mean_power(images: Float[Tensor, "*real"], ndim: int) -> Float[Tensor, "*s"]:
    """Return the mean of ``|F|^2`` in each shell up to Nyquist, every stored coefficient once."""
    return fourier.shell_mean(power_spectrum(images, ndim), ndim, stored=True)


def mean_amplitude(images: Float[Tensor, "*real"], ndim: int) -> Float[Tensor, "*s"]:
    """Return the mean of ``|F|`` in each shell to the corners, every stored coefficient once."""
    corner = int(fourier.shell_index(images.shape[-1], ndim).max()) + 1
    return fourier.shell_mean(fourier.forward(images, ndim).abs(), ndim, corner, stored=True)


def adjust_power(
    images: Float[Tensor, "*real"], like: Float[Tensor, "*like"], ndim: int
) -> Float[Tensor, "*real"]:
    """Scale the shells of images so that their mean amplitude is that of another image.

    Shells without power stay empty.
    """
    wanted, found = mean_amplitude(like, ndim), mean_amplitude(images, ndim)
    factor = torch.where(found > 0, wanted / found.clamp(min=1e-30), 0.0)
    sizes = tuple(images.shape[-ndim:])
    shells = fourier.shell_index(sizes[-1], ndim, images.device)
    return fourier.inverse(fourier.forward(images, ndim) * factor[..., shells], ndim, sizes)
