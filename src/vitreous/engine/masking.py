"""Soft masks, and distances from what they cover (postprocessing.md section 3).

SciPy gives the exact Euclidean distance transform; everything else is torch. Mask making is done
once for a map, so the volume visits the CPU and comes back to its device.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.errors import InputError


def soft_mask(
    volume: Float[Tensor, "*real"], threshold: float, extend_px: float = 0, edge_px: float = 0
) -> Float[Tensor, "*real"]:
    """Make a mask: pixels at or above a threshold, extended, with a soft edge around.

    Parameters
    ----------
    volume
        ``y x`` or ``z y x``.
    threshold
        Pixels of at least this value are inside.
    extend_px, edge_px
        See `soften`.

    Returns
    -------
    Tensor
        0 to 1, shape and type of `volume`.

    Raises
    ------
    InputError
        Nothing or everything is at or above the threshold.
    """
    inside = volume >= threshold
    n_inside = int(inside.sum())
    if n_inside in (0, inside.numel()):
        low, high = float(volume.min()), float(volume.max())
        what = "nothing" if n_inside == 0 else "everything"
        raise InputError(
            f"A threshold of {threshold:g} makes a mask with {what} inside; the map "
            f"runs from {low:g} to {high:g}. Choose a threshold between them."
        )
    return soften(inside, extend_px, edge_px, dtype=volume.dtype)


def soften(
    inside: Bool[Tensor, "*real"],
    extend_px: float = 0,
    edge_px: float = 0,
    *,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "*real"]:
    """Extend a binary mask and give it a soft edge.

    Parameters
    ----------
    inside
        ``y x`` or ``z y x``.
    extend_px
        Pixels nearer than this to the mask join it; negative: those nearer than this to the
        outside leave it.
    edge_px
        Beyond it, ``0.5 + 0.5 cos(pi d / edge_px)`` up to this distance.
    """
    if extend_px > 0:
        inside = inside | (distance_to(inside) < extend_px)
    elif extend_px < 0:
        inside = inside & ~(distance_to(~inside) < -extend_px)
    mask = inside.to(dtype)
    if edge_px <= 0:
        return mask
    distance = distance_to(inside)
    edge = (0.5 + 0.5 * torch.cos(torch.pi * distance / edge_px)).to(dtype)
    return torch.where((distance > 0) & (distance < edge_px), edge, mask)


def distance_to(inside: Bool[Tensor, "*real"]) -> Float[Tensor, "*real"]:
    """Return the distance of each pixel to the nearest one inside, in pixels, float64.

    Infinity where nothing is inside.
    """
    from scipy import ndimage  # slow to import, and few programs need it

    if not bool(inside.any()):
        return torch.full(inside.shape, math.inf, dtype=torch.float64, device=inside.device)
    distance = ndimage.distance_transform_edt(~inside.cpu().numpy())
    return torch.from_numpy(np.asarray(distance, np.float64)).to(inside.device)


def near_distance(inside: Bool[Tensor, "*real"], most_px: int) -> Float[Tensor, "*real"]:
    """Return the distance of each pixel to the nearest one inside, float32, where it is not far.

    One axis after the other, so that the time goes with `most_px`.

    Parameters
    ----------
    inside
        The region.
    most_px
        Distances up to this one are exact; all others are infinite.
    """
    squared = torch.where(inside, 0.0, math.inf)
    for axis in range(inside.ndim):
        side = inside.shape[axis]
        nearest = squared.clone()
        for step in range(1, min(most_px, side - 1) + 1):
            here, there = (squared.narrow(axis, first, side - step) for first in (0, step))
            for other, first in ((there, 0), (here, step)):
                target = nearest.narrow(axis, first, side - step)
                torch.minimum(target, other + step**2, out=target)
        squared = nearest
    return torch.where(squared <= most_px**2, squared.sqrt(), math.inf)


def touches_edge(mask: Float[Tensor, "*real"], above: float = 0.0) -> bool:
    """Tell whether a mask is above a value in the outermost layer of its box.

    A mask cut off by the box makes both the masked correlation and the transform wrong.
    """
    return any(
        bool((mask.select(axis, index) > above).any())
        for axis in range(mask.ndim)
        for index in (0, -1)
    )


def parts(inside: Bool[Tensor, "*real"]) -> tuple[int, float]:
    """Return how many parts do not touch by a face, and the share that the largest holds."""
    from scipy import ndimage  # slow to import, and few programs need it

    labels, n_parts = ndimage.label(inside.cpu().numpy())
    if not n_parts:
        return 0, 0.0
    sizes = np.bincount(labels.ravel())[1:]
    return int(n_parts), float(sizes.max() / sizes.sum())


def sphere(
    size: int,
    ndim: int,
    radius_px: float,
    edge_px: float = 0,
    *,
    inner_radius_px: float = 0,
    centre_px: tuple[float, ...] | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, "*real"]:
    """Make a disc, ball or hollow ball with raised-cosine borders.

    Parameters
    ----------
    size
        Side of the box.
    ndim
        2 or 3.
    radius_px, edge_px
        1 up to the radius, then falling to 0 at ``radius_px + edge_px``.
    inner_radius_px
        Below this radius the mask falls to 0 at ``inner_radius_px - edge_px``.
    centre_px
        Components x y (z) from the centre ``size // 2``.

    Returns
    -------
    Tensor
        ``y x`` or ``z y x``, float32.
    """
    r = radius(size, ndim, centre_px, device)
    mask = raised_cosine(r, radius_px, edge_px)
    if inner_radius_px > 0:
        mask = mask * raised_cosine(-r, -inner_radius_px, edge_px)
    return mask.to(torch.float32)


def radius(
    size: int,
    ndim: int,
    centre_px: tuple[float, ...] | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, "*real"]:
    """Return the distance of each pixel from the centre ``size // 2`` plus `centre_px` (x y z)."""
    centre = centre_px or (0.0,) * ndim
    axes = [
        (torch.arange(size, dtype=torch.float64, device=device) - size // 2 - shift) ** 2
        for shift in reversed(centre)
    ]
    total = axes[0]
    for axis in axes[1:]:
        total = total[..., None] + axis
    return total.sqrt()


def raised_cosine(
    values: Float[Tensor, "*real"], start: float, width: float
) -> Float[Tensor, "*real"]:
    """Return 1 up to `start`, then half a cosine down to 0 at ``start + width``."""
    if width <= 0:
        return (values <= start).to(values.dtype)
    phase = ((values - start) / width).clamp(0, 1)
    return 0.5 + 0.5 * torch.cos(torch.pi * phase)


def fill_outside(
    images: Float[Tensor, n * real], mask: Float[Tensor, "*real"]
) -> Float[Tensor, n * real]:
    """Fade each image outside a mask into the mean of what lies there.

    Parameters
    ----------
    images
        ``n y x`` or ``n z y x``.
    mask
        0 to 1, shape of one image. The mean is weighted by ``1 - mask``.
    """
    outside = 1 - mask
    axes = tuple(range(1, images.ndim))
    weight = outside.sum().clamp(min=torch.finfo(mask.dtype).tiny)
    background = (images * outside).sum(axes, keepdim=True) / weight
    return images * mask + background * outside


def central_cylinder(
    mask: Float[Tensor, "z y x"], z_fraction: float, edge_px: float = 0
) -> Float[Tensor, "z y x"]:
    """Keep the central part of a mask along z, as for a helix, with soft ends.

    Parameters
    ----------
    z_fraction
        Length that is kept over that of the box.
    edge_px
        Width of the soft ends, outside of what is kept.
    """
    size = mask.shape[0]
    z = (torch.arange(size, dtype=torch.float64, device=mask.device) - size // 2).abs()
    ends = raised_cosine(z, z_fraction * size / 2, edge_px)
    return mask * ends.to(mask.dtype)[:, None, None]


def threshold_for_weight(
    volume: Float[Tensor, "z y x"], pixel_size_A: float, weight_dalton: float
) -> float:
    """Return the threshold at which the largest connected part has the volume of a protein.

    Parameters
    ----------
    weight_dalton
        Molecular weight; 0.81 dalton a cubic ångström.

    Raises
    ------
    InputError
        The protein is larger than the box.
    """
    from scipy import ndimage  # slow to import, and few programs need it

    wanted = weight_dalton / 0.81 / pixel_size_A**3
    values = volume.detach().cpu().numpy()
    if not 1 <= wanted <= values.size:
        raise InputError(
            f"{weight_dalton:g} Da fill {wanted:.0f} voxels, the box has {values.size}. "
            "Check the weight and the pixel size."
        )
    low, high = float(values.min()), float(values.max())
    for _ in range(30):
        middle = (low + high) / 2
        labels, n_parts = ndimage.label(values >= middle)
        largest = int(np.bincount(labels.ravel())[1:].max()) if n_parts else 0
        low, high = (middle, high) if largest > wanted else (low, middle)
    return high
