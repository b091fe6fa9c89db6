"""References for template matching: masked, turned in the plane, and few enough waves for all.

All turned references of a run lie in a space with far fewer dimensions than there are references
and angles: about ``(pi R k)^2`` for radius R and highest frequency k. Correlating a micrograph with
an orthonormal basis of that space, and then mixing the maps, gives the correlation with every
reference at every angle for one matrix product and a few dozen transforms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import filtering, fourier, masking, sampling
from vitreous.engine.boxing import new_box, rescale
from vitreous.engine.filtering import low_pass_curve
from vitreous.engine.picking.preparation import Coarse, shell_radius
from vitreous.engine.projection import project, projector
from vitreous.errors import InputError

PADDING = 8
TOLERANCE = 1e-3
_WIDER = 1.5  # ringing of the low-pass beyond the box
_EMPTY = 1e-10
_TOGETHER = 16  # small images transformed at a time


@dataclass(frozen=True)
class References:
    """References as the micrograph would show them.

    Parameters
    ----------
    images
        ``n y x``, sampled like the micrograph, contrast of the micrograph, 0 outside the mask.
    radius_px
        Of the mask, in pixels of the micrograph.
    box_px
        Side of the box.
    """

    images: Float[Tensor, "n y x"]
    radius_px: int

    @property
    def box_px(self) -> int:
        """Side of the box, in pixels of the micrograph."""
        return self.images.shape[-1]

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Basis:
    """Waves that all turned references are mixed from.

    Half of them are the same after half a turn and half change their sign: transforms of the even
    ones are real, of the odd ones imaginary. So an even and an odd one make a pair, whose
    transform ``even + odd / i`` is real and gives two correlations in one inverse transform.

    Parameters
    ----------
    waves
        ``b v u``: transforms of the pairs on the whole plane of the work grid.
    weights
        ``n t w``: what each reference at each angle takes of each even, then each odd wave.
    n_even
        So many of the waves are even.
    psi_deg
        ``t``
    upright
        ``n v uh``: half transforms of the references at the first angle.
    has_pairs
        The second half of the angles is the first one after half a turn: its weights differ in the
        sign of the odd waves.
    """

    waves: Float[Tensor, "b v u"]
    weights: Float[Tensor, "n t w"]
    n_even: int
    psi_deg: Float[Tensor, " t"]
    upright: Complex[Tensor, "n v uh"]
    has_pairs: bool


def references(
    images: Float[Tensor, "n y x"],
    pixel_size_A: float,
    micrograph_pixel_A: float,
    diameter_A: float = -1.0,
    *,
    invert: bool = False,
    shrink_mask_px: int = 2,
) -> References:
    """Scale references to the micrograph and mask them.

    Parameters
    ----------
    images
        Squares.
    diameter_A
        Of the mask; below 0 it is found from the constant border of the references.
    invert
        Their contrast is opposite to that of the micrographs.
    shrink_mask_px
        The mask is made so much smaller.

    Raises
    ------
    InputError
        The mask is larger than the box, or a reference is constant inside it.
    """
    if images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise InputError(
            f"References must be squares; these have {images.shape[-1]} x {images.shape[-2]} pixels"
        )
    old = images.shape[-1]
    size = int(old * pixel_size_A / micrograph_pixel_A + 0.5)
    size += size % 2
    if size != old:
        images = rescale(images, size, 2)
        images = images * (old / size if size > old else 1.0)
    radius = (
        int(diameter_A / (2 * micrograph_pixel_A) + 0.5) - shrink_mask_px
        if diameter_A > 0
        else _radius_of_content(images) - shrink_mask_px
    )
    _require_radius(radius, size, diameter_A, micrograph_pixel_A)
    inside = masking.radius(size, 2, device=images.device) < radius
    masked = images * inside
    spread = masked[:, inside].std(-1, correction=0)
    empty = torch.nonzero(~(spread > 1e-6 * images.abs().amax().clamp(min=_EMPTY)))[:, 0]
    if len(empty):
        raise InputError(
            f"Reference {int(empty[0]) + 1} is empty (constant) after masking with a radius of "
            f"{radius} pixels ({len(empty)} of {len(images)} are). Take it out, or choose another "
            "mask diameter."
        )
    return References(-masked if invert else masked, radius)


def _require_radius(radius: int, size: int, diameter_A: float, pixel_A: float) -> None:
    if radius < 2:
        raise InputError(
            f"The mask has a radius of {radius} pixels of {pixel_A:g} A. Give a larger diameter."
        )
    if 2 * radius > size:
        raise InputError(
            f"The mask is larger than the box: its diameter is {diameter_A:g} A, but the "
            f"references are {size * pixel_A:g} A wide. Give a smaller diameter, or references in "
            "larger boxes."
        )


def _radius_of_content(images: Float[Tensor, "n y x"]) -> int:
    """Return the largest distance at which a reference differs from its corner."""
    differs = (images - images[:, :1, :1]).abs() > 1e-6 * images.abs().amax().clamp(min=_EMPTY)
    r = masking.radius(images.shape[-1], 2, device=images.device)
    reach = torch.where(differs.any(0), r, 0.0).max()
    return min(ceil(float(reach)), images.shape[-1] // 2)


def gaussian(diameter_A: float, pixel_size_A: float, peak: float = 0.1) -> Float[Tensor, "n y x"]:
    """Return a Gaussian blob as a reference: box of 1.5 diameters, sigma a sixth of the box."""
    if not diameter_A > 0:
        message = "A Gaussian reference needs the diameter of the particle (--particle_diameter)."
        raise InputError(message)
    size = int(1.5 * diameter_A / pixel_size_A + 0.5)
    size += size % 2
    r = masking.radius(size, 2)
    return (peak * torch.exp(-0.5 * (r / (size / 6)) ** 2)).to(torch.float32)[None]


def views(
    volume: Float[Tensor, "z y x"], healpix_order: int, point_group: str = "C1"
) -> Float[Tensor, "n y x"]:
    """Project a map in the directions of a HEALPix grid, once in the asymmetric unit."""
    grid = sampling.Grid(healpix_order=healpix_order, point_group=point_group)
    upright = torch.zeros(1, dtype=torch.float64)
    poses = sampling.poses(grid.directions(), upright)[:, 0].to(volume.dtype)
    source = projector(volume)
    parts = [project(source, chunk) for chunk in torch.split(poses, 64)]
    return fourier.inverse(torch.cat(parts), 2, volume.shape[-1])


def basis(
    refs: References,
    at: Coarse,
    psi_step_deg: float,
    low_pass_A: float = -1.0,
    *,
    tolerance: float = TOLERANCE,
) -> Basis:
    """Turn the references and find the waves that they are mixed from.

    Parameters
    ----------
    refs
        On one device; the result is there too.
    at
        The work grid.
    psi_step_deg
        Step of the in-plane angle; 360 for no turning.
    low_pass_A
        Raised-cosine filter at this resolution; not above 0 for none.
    tolerance
        Share of the power of all references that may be left out.
    """
    psi_deg = sampling.psi_angles(psi_step_deg)
    n_psi = len(psi_deg)
    has_pairs = n_psi % 2 == 0
    images, pixel_px = _turned(refs, at, psi_deg[: n_psi // 2] if has_pairs else psi_deg)
    curve = low_pass(at, low_pass_A, images.device)
    parts = _even_and_odd(images)
    # Only what the filter lets through has to be mixed well: it decides how many waves there are.
    seen = [_filtered(part, pixel_px, at, low_pass_A).flatten(1) for part in parts]
    may_lose = tolerance**2 * float(sum(part.square().sum() for part in seen)) / 2
    found = [_principal(part, may_lose) for part in seen]
    waves = [
        ((left / power.sqrt()).T @ part.flatten(1)).reshape(-1, *images.shape[1:])
        for part, (left, power) in zip(parts, found, strict=True)
    ]
    n_turned = len(images) // len(refs)
    even, odd = (
        (left * power.sqrt()).reshape(len(refs), n_turned, len(power)) for left, power in found
    )
    weights = torch.cat([even, odd], -1)
    if has_pairs:
        weights = torch.cat([weights, torch.cat([even, -odd], -1)], 1)
    return Basis(
        _pairs(waves, pixel_px, at, curve),
        weights,
        even.shape[-1],
        psi_deg,
        _on_work_grid(images[::n_turned], pixel_px, at) * curve,
        has_pairs,
    )


def _even_and_odd(images: Float[Tensor, "m y x"]) -> list[Float[Tensor, "m y x"]]:
    """Split images into what stays and what changes its sign after half a turn."""
    turned = images.flip(1, 2).roll((1, 1), (1, 2))
    return [(images + turned) / 2, (images - turned) / 2]


def _pairs(
    waves: list[Float[Tensor, "_ y x"]],
    pixel_px: float,
    at: Coarse,
    curve: Float[Tensor, "v uh"],
) -> Float[Tensor, "b v u"]:
    """Return the transforms ``even + odd / i`` on the whole plane, the even and odd as given.

    As ``sum f cos`` and ``-sum f sin`` they are the Hartley transform of the sum of both images,
    turned by half: two products of real matrices. Nyquist, which has no partner, is left out.
    """
    n_pairs = max(len(part) for part in waves)
    images = waves[0].new_zeros((n_pairs, *waves[0].shape[1:]))
    for part in waves:
        images[: len(part)] += part
    # The first row and column lie opposite to themselves: half of them goes to either side.
    images = torch.nn.functional.pad(images, (0, 1, 0, 1), "circular")
    images[:, [0, -1]] /= 2
    images[:, :, [0, -1]] /= 2
    place = _places(images, pixel_px)
    up, across = (
        _waves(fourier.indices((work, 2), 2, images.device)[:, 0, 1], place, side)
        for work, side in zip(at.work, at.full, strict=True)
    )
    left = torch.cat([up.real + up.imag, up.imag - up.real], 1)
    right = torch.cat([across.real, -across.imag]).T
    scale = torch.cat([curve, curve[:, 1:-1].flip(1)], 1)
    scale = scale * (pixel_px**2 / (at.full[0] * at.full[1]))
    scale[at.work[0] // 2] = 0
    scale[:, at.work[1] // 2] = 0
    pairs = images.new_empty((n_pairs, *at.work))
    for start in range(0, n_pairs, _TOGETHER):
        some = slice(start, start + _TOGETHER)
        cosine, sine = torch.split(images[some] @ right, at.work[1], -1)
        torch.matmul(left, torch.cat([cosine, sine], 1), out=pairs[some]).mul_(scale)
    return pairs


def _turned(
    refs: References, at: Coarse, psi_deg: Float[Tensor, " t"]
) -> tuple[Float[Tensor, "m y x"], float]:
    """Return all references at all angles, and the size of their pixels in micrograph pixels."""
    finest = max(side / work for side, work in zip(at.full, at.work, strict=True))
    wide = int(refs.box_px * _WIDER)
    wide += wide % 2
    # Twice as fine as the work grid, which is twice as fine as its highest frequency.
    size = min(wide, 2 * ceil(wide / max(1.0, finest / 1.5) / 2))
    images = rescale(new_box(refs.images, wide, 2), size, 2)
    angle = torch.deg2rad(psi_deg).to(images)
    cos, sin = angle.cos(), angle.sin()
    turns = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], -2)
    parts = [
        fourier.inverse(project(projector(image, PADDING), turns), 2, size) for image in images
    ]
    return torch.cat(parts), wide / size


def _filtered(
    images: Float[Tensor, "m y x"], pixel_px: float, at: Coarse, low_pass_A: float
) -> Float[Tensor, "m y x"]:
    """Low-pass small images, also at the finest frequency of the work grid."""
    finest = min(at.scale) / 2

    def curve(k: Tensor) -> Tensor:
        inside = (k <= finest * pixel_px).to(k.dtype)
        if low_pass_A <= 0:
            return inside
        return inside * low_pass_curve(max(at.full), low_pass_A, at.pixel_size_A)(k / pixel_px)

    return torch.cat([filtering.apply(chunk, curve, 2) for chunk in torch.split(images, 256)])


def _principal(flat: Float[Tensor, "m p"], may_lose: float) -> tuple[Tensor, Tensor]:
    """Return the strongest left singular vectors ``m b`` and the powers ``b`` of a matrix.

    The others have no more power than may be lost. They are those of the smaller of its two
    products with itself.
    """
    m, p = flat.shape
    if m <= p:
        power, left = torch.linalg.eigh((flat @ flat.T).to(torch.float64))
        keep = _strong(power, may_lose)
        return left[:, keep].to(flat.dtype), power[keep].to(flat.dtype)
    power, right = torch.linalg.eigh((flat.T @ flat).to(torch.float64))
    keep = _strong(power, may_lose)
    root = power[keep].sqrt()
    return (flat.to(torch.float64) @ right[:, keep] / root).to(flat.dtype), power[keep].to(flat)


def _strong(power: Tensor, may_lose: float) -> Tensor:
    """Tell which of the ascending powers are kept; rounding errors are not."""
    positive = power.clamp(min=0)
    return (positive.cumsum(0) > may_lose) & (positive > _EMPTY * positive.max())


def _on_work_grid(
    images: Float[Tensor, "b y x"], pixel_px: float, at: Coarse
) -> Complex[Tensor, "b v uh"]:
    """Return the half transforms of small images put into the middle of an empty micrograph.

    The transform of few pixels at few frequencies is two matrix products. Divided by the number of
    pixels of the micrograph, as `fourier.forward` does.
    """
    index = fourier.indices(at.work, 2, images.device)
    ky, kx = index[:, 0, 1], index[0, :, 0]
    place = _places(images, pixel_px)
    up, across = (_waves(k, place, side) for k, side in ((ky, at.full[0]), (kx, at.full[1])))
    parts = [up @ (chunk.to(up.dtype) @ across.T) for chunk in torch.split(images, _TOGETHER)]
    return torch.cat(parts) * (pixel_px**2 / (at.full[0] * at.full[1]))


def _places(images: Float[Tensor, "b y x"], pixel_px: float) -> Float[Tensor, " y"]:
    """Return how far the pixels of small images are from the middle, in micrograph pixels."""
    side = images.shape[-1]
    return (torch.arange(side, device=images.device) - side // 2).to(torch.float64) * pixel_px


def _waves(k: Tensor, place: Tensor, side: int) -> Tensor:
    turns = -2 * torch.pi * k[:, None].to(torch.float64) * place / side
    return torch.polar(torch.ones_like(turns), turns).to(torch.complex64)


def low_pass(at: Coarse, resolution_A: float, device: torch.device) -> Float[Tensor, "v uh"]:
    """Return the curve of the low-pass filter of references on the work grid."""
    radius = shell_radius(at, device)
    if resolution_A <= 0:
        return torch.ones_like(radius)
    curve = low_pass_curve(max(at.full), resolution_A, at.pixel_size_A)
    return curve(radius).to(torch.float32)


def sums_inside(
    transforms: Complex[Tensor, "n v uh"], at: Coarse, radius_px: int
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], int]:
    """Return sum and sum of squares of images over a disc, in pixels of the micrograph.

    Parameters
    ----------
    transforms
        Half transforms on the work grid, origin at the centre.

    Returns
    -------
    Tensor, Tensor, int
        The sums, and how many pixels the disc has.
    """
    index = fourier.indices(at.work, 2, transforms.device)
    ky, kx = index[:, 0, 1], index[0, :, 0]
    place = torch.arange(-radius_px, radius_px + 1, device=transforms.device)
    up = _waves(ky, place.to(torch.float64), at.full[0]).conj()
    across = _waves(kx, place.to(torch.float64), at.full[1]).conj()
    twice = torch.where((kx == 0) | (kx == at.work[1] // 2), 1.0, 2.0)
    images = (up.T @ (transforms * twice) @ across).real
    inside = (place[:, None] ** 2 + place**2) < radius_px**2
    chosen = images[:, inside]
    return chosen.sum(-1), chosen.square().sum(-1), int(inside.sum())


def stack_of_one_size(images: Sequence[Tensor]) -> Float[Tensor, "n y x"]:
    """Put references into one array; refuse those of different sizes."""
    sizes = sorted({tuple(image.shape) for image in images})
    if len(sizes) > 1:
        told = " and ".join(f"{size[1]} x {size[0]}" for size in sizes)
        raise InputError(
            f"References have different sizes ({told} pixels). Scale or window them to one size."
        )
    return torch.stack(list(images))
