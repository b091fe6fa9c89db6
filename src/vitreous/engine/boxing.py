"""Whole images and volumes put elsewhere: box, sampling, mirrors, shifts, symmetry.

The origin is the pixel ``size // 2`` before and after, unless a function says otherwise
(postprocessing.md section 9).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.errors import InputError


def new_box(
    images: Float[Tensor, "*real"], size: int | tuple[int, ...], ndim: int, *, fill: float = 0.0
) -> Float[Tensor, "*boxed"]:
    """Cut a centred box out, or put the images into the middle of a larger one.

    Parameters
    ----------
    images
        ``*b y x`` or ``*b z y x``.
    size
        New side, or sides in array order.
    fill
        Value of pixels that were not there.
    """
    sides = (size,) * ndim if isinstance(size, int) else size
    if min(sides) < 1:
        raise InputError(f"A box of {size} pixels; wanted at least 1.")
    result = images
    for axis, side in zip(range(images.ndim - ndim, images.ndim), sides, strict=True):
        old = result.shape[axis]
        start = old // 2 - side // 2
        cut = result.narrow(axis, max(0, start), min(old - max(0, start), side + min(0, start)))
        before, after = max(0, -start), side - max(0, -start) - cut.shape[axis]
        shape = list(cut.shape)
        parts = []
        for length in (before, after):
            shape[axis] = length
            parts.append(torch.full(shape, fill, dtype=images.dtype, device=images.device))
        result = torch.cat([parts[0], cut, parts[1]], dim=axis)
    return result


def rescale(images: Float[Tensor, "*real"], size: int, ndim: int) -> Float[Tensor, "*scaled"]:
    """Resample to another number of pixels in Fourier space; grey values keep their mean.

    The pixel size becomes ``old size / new size`` times what it was. Enlarging leaves out the
    corners of the old transform, as RELION does.
    """
    old = images.shape[-1]
    if size < 2:
        raise InputError(f"A box of {size} pixels cannot be scaled to; wanted at least 2.")
    if size < old and ndim == 2 and old % 2 == size % 2 == 0:  # centres stay where they are
        return fourier.inverse_to_corner(fourier.forward_from_corner(images, size), size)
    if size < old:
        return fourier.inverse(fourier.cropped_forward(images, size, ndim), ndim, size)
    transform = fourier.forward(images, ndim)
    if size > old:
        transform = fourier.pad(transform, size, ndim)
    return fourier.inverse(transform, ndim, size)


def even_size(size: int, pixel_size_A: float, new_pixel_size_A: float) -> int:
    """Return the even side for a new pixel size: rounded, and an odd one made smaller by one."""
    wanted = int(size * pixel_size_A / new_pixel_size_A + 0.5)
    return max(2, wanted - wanted % 2)


def flip(images: Float[Tensor, "*real"], axis: int) -> Float[Tensor, "*real"]:
    """Mirror along x (0), y (1) or z (2) so that the first pixel becomes the last.

    For an even size this moves the origin by one pixel; see `invert_hand`.
    """
    if axis >= images.ndim:
        raise InputError("A flip along z needs a map with three axes.")
    return images.flip(-1 - axis)


def invert_hand(images: Float[Tensor, "*real"]) -> Float[Tensor, "*real"]:
    """Mirror x so that the origin stays: x becomes ``(N - x) mod N``."""
    return images.flip(-1).roll(1, -1) if images.shape[-1] % 2 == 0 else images.flip(-1)


def shift(images: Float[Tensor, "*real"], shift_px: tuple[float, ...]) -> Float[Tensor, "*real"]:
    """Move images in real space by x y (z) pixels; zeros come in, nothing wraps around.

    Fractions are interpolated linearly along each axis; a pixel whose source is not wholly inside
    becomes 0.
    """
    moved = images
    for component, distance in enumerate(shift_px):
        axis = images.ndim - 1 - component
        whole = int(torch.floor(torch.tensor(distance, dtype=torch.float64)))
        fraction = distance - whole
        near = _slide(moved, whole, axis)
        if fraction:
            near = near * (1 - fraction) + _slide(moved, whole + 1, axis) * fraction
            edge = whole if whole >= 0 else moved.shape[axis] + whole
            if 0 <= edge < moved.shape[axis]:  # here one of the two neighbours is missing
                near.select(axis, edge).zero_()
        moved = near
    return moved


def centre_of_mass(image: Float[Tensor, "*real"]) -> tuple[float, ...]:
    """Return where the positive density of one image lies from its origin: x y (z) in pixels.

    Raises
    ------
    InputError
        Nothing in the image is positive.
    """
    weight = image.to(torch.float64).clamp(min=0)
    total = float(weight.sum())
    if total <= 0:
        raise InputError("The image has no positive density, so no centre of mass.")
    centre = []
    for axis in reversed(range(image.ndim)):
        size = image.shape[axis]
        others = [other for other in range(image.ndim) if other != axis]
        place = torch.arange(size, dtype=torch.float64, device=image.device) - size // 2
        centre.append(float((weight.sum(others) * place).sum()) / total)
    return tuple(centre)


def sample(volume: Float[Tensor, "z y x"], places_px: Float[Tensor, "*n c"]) -> Float[Tensor, "*n"]:
    """Read a volume at places x y z from its origin, linearly interpolated, 0 outside."""
    sizes = torch.tensor(volume.shape[::-1], dtype=places_px.dtype, device=volume.device)
    origin = torch.div(sizes, 2, rounding_mode="floor")
    scaled = (places_px + origin) * 2 / (sizes - 1).clamp(min=1) - 1
    grid = scaled.reshape(1, 1, 1, -1, 3)
    inside = ((scaled >= -1 - 1e-5) & (scaled <= 1 + 1e-5)).all(-1)
    values = torch.nn.functional.grid_sample(
        volume[None, None], grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )
    return values.reshape(places_px.shape[:-1]) * inside


def _slide(images: Tensor, distance: int, axis: int) -> Tensor:
    """Move by whole pixels along an axis and let zeros in."""
    size = images.shape[axis]
    distance = max(-size, min(size, distance))
    result = torch.zeros_like(images)
    length = size - abs(distance)
    result.narrow(axis, max(0, distance), length).copy_(
        images.narrow(axis, max(0, -distance), length)
    )
    return result
