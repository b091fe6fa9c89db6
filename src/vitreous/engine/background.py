"""The background of boxed images: where it is, its plane, its mean and spread.

Normalised images have a background of mean 0 and standard deviation 1, after the plane that fits
the background best was subtracted everywhere (preprocessing.md section 7).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

FLAT = 1e-10
"""Below this standard deviation a background counts as constant."""
ROUNDING = 1e-7
"""And below this share of the values: a difference of squares is no better in double precision."""


@dataclass(frozen=True)
class Dust:
    """Pixels that are replaced by noise, because they are too far from the background.

    Parameters
    ----------
    white_sigma, black_sigma
        In standard deviations of the background above and below its mean; below 0 is off.
    """

    white_sigma: float = -1.0
    black_sigma: float = -1.0

    @property
    def is_on(self) -> bool:
        """Whether any pixel can be replaced."""
        return self.white_sigma >= 0 or self.black_sigma >= 0


NO_DUST = Dust()


def outside_circle(
    box_px: int, radius_px: float, device: torch.device | str | None = None
) -> Bool[Tensor, "1 y x"]:
    """Return the pixels farther than a radius from pixel ``box_px // 2``."""
    axis = _axis(box_px, device)
    return ((axis[:, None] ** 2 + axis**2) > radius_px**2)[None]


def outside_tubes(
    box_px: int, radius_px: float, psi_rad: Float[Tensor, " n"]
) -> Bool[Tensor, "n y x"]:
    """Return the pixels farther than a radius from the axis of a filament through the centre.

    Parameters
    ----------
    box_px, radius_px
        Side of the box; radius of the filament.
    psi_rad
        In-plane angle of each filament: its axis points along ``(cos psi, -sin psi)``, x y.
    """
    axis = _axis(box_px, psi_rad.device)
    sine, cosine = psi_rad.double().sin(), psi_rad.double().cos()
    distance = sine[:, None, None] * axis + cosine[:, None, None] * axis[:, None]
    return distance.abs() > radius_px


def replace_dust(
    images: Float[Tensor, "n y x"],
    background: Bool[Tensor, "m y x"],
    dust: Dust,
    generator: torch.Generator,
) -> Float[Tensor, "n y x"]:
    """Replace pixels that stand out by Gaussian noise with mean and spread of the background.

    Parameters
    ----------
    images
        Before a plane is subtracted from them.
    background
        Of each image, or one of all.
    dust
        What stands out.
    generator
        Of the noise, on the device of the images.
    """
    inside = background.to(images.dtype)
    count = inside.sum((1, 2), keepdim=True)
    centred = images - (images * inside).sum((1, 2), keepdim=True) / count
    sigma = (((centred * inside) ** 2).sum((1, 2), keepdim=True) / count).sqrt()
    is_dust = torch.zeros_like(images, dtype=torch.bool)
    if dust.white_sigma >= 0:
        is_dust |= centred > dust.white_sigma * sigma
    if dust.black_sigma >= 0:
        is_dust |= centred < -dust.black_sigma * sigma
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=images.device)
    return torch.where(is_dust, images - centred + noise * sigma, images)


def normalise(
    images: Float[Tensor, "n y x"],
    background: Bool[Tensor, "m y x"],
    *,
    ramp: bool = True,
    sign: float = 1.0,
) -> tuple[Float[Tensor, "n y x"], Bool[Tensor, " n"]]:
    """Give the background mean 0 and standard deviation 1.

    Parameters
    ----------
    images
        In double precision: the spread is a difference of squares.
    background
        Of each image, or one of all.
    ramp
        Subtract the plane ``a x + b y + c`` that fits the background best; otherwise its mean.
    sign
        -1 inverts the contrast.

    Returns
    -------
    Tensor
        ``n y x``.
    Tensor
        ``n``, where the background is constant: such an image is only centred.
    """
    inside = background.to(images.dtype)
    y, x = (_axis(size, images.device).to(images.dtype) for size in images.shape[-2:])
    values = images - images[:, :1, :1]  # a large offset would cost digits of the squares
    kept = values * inside
    along_x = kept @ torch.stack([torch.ones_like(x), x], 1)
    totals = along_x.sum(1)
    sums = torch.stack([totals[:, 0], totals[:, 1], along_x[:, :, 0] @ y], 1)
    normal = moments(background)
    if not ramp:
        sums, normal = sums[:, :1], normal[:, :1, :1]
    plane = torch.linalg.solve(normal.expand(len(sums), -1, -1), sums)
    energy = torch.linalg.vector_norm(kept.flatten(1), dim=1) ** 2
    count = normal[:, 0, 0]
    # What least squares leave: the energy less that of the fitted plane.
    sigma = ((energy - (plane * sums).sum(1)).clamp(min=0) / count).sqrt()
    is_flat = sigma <= FLAT + ROUNDING * (energy / count).sqrt()
    scale = sign / torch.where(is_flat, torch.ones_like(sigma), sigma)
    plane = torch.nn.functional.pad(plane, (0, 3 - plane.shape[1])) * -scale[:, None]
    fitted = (plane[:, :1] + plane[:, 2:] * y)[:, :, None] + (plane[:, 1:2] * x)[:, None]
    return torch.addcmul(fitted, values, scale[:, None, None]), is_flat


def moments(background: Bool[Tensor, "m b b"]) -> Float[Tensor, "m 3 3"]:
    """Return the matrix of the normal equations of a plane, ordered 1 x y, over each background."""
    inside = background.double()
    axis = _axis(background.shape[-1], background.device)
    n, nx, nxx = (inside @ torch.stack([torch.ones_like(axis), axis, axis**2], 1)).unbind(-1)
    entries = [
        [n.sum(1), nx.sum(1), n @ axis],
        [nx.sum(1), nxx.sum(1), nx @ axis],
        [n @ axis, nx @ axis, n @ axis**2],
    ]
    return torch.stack([torch.stack(row, -1) for row in entries], -2)


def _axis(size: int, device: torch.device | str | None) -> Float[Tensor, " size"]:
    return torch.arange(size, dtype=torch.float64, device=device) - size // 2
