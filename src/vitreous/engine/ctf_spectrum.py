"""Amplitude spectra of micrographs, in which the rings of the CTF are looked for.

From an image: the mean power of overlapping tiles under a Hann window (preprocessing.md section 4),
each tile at its own scale, so that a patch of carbon or a crystal of ice counts no more than any
other. Tiles are taken so large that the spectrum ends at 1.4 A a pixel where the image is finer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.errors import ComputeError, InputError

FINEST_PIXEL_A = 1.4
SMALLEST_BOX_PX = 64
_FADING = 12  # an image fades out over so small a part of a tile at its edges


@dataclass(frozen=True)
class Spectra:
    """Amplitudes of the transforms of micrographs, one geometry for all.

    Parameters
    ----------
    amplitude
        ``n y xh``, a square half plane with zero frequency at index 0.
    extent_A
        Side of the piece of specimen that is meant: the frequencies are whole numbers over it.
    is_windowed
        Whether the tiles were windowed, so that narrow rings fade; see `visibility`.
    """

    amplitude: Float[Tensor, "n y xh"]
    extent_A: float
    is_windowed: bool

    @property
    def side(self) -> int:
        """Side of the real image behind the half plane, in pixels."""
        return int(self.amplitude.shape[-2])

    @property
    def pixel_size_A(self) -> float:
        """Sampling of that image."""
        return self.extent_A / self.side

    def visibility(self, displacement_A: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Return how much is left of rings ``1 / displacement_A`` apart, 0 to 1.

        Rings are waves in frequency; they are as far apart as the inverse of the distance over
        which the CTF spreads a point. What is spread beyond the tile is lost: under a window the
        share left is the window's autocorrelation (here in closed form for Hann's).
        """
        share = (displacement_A.abs() / self.extent_A).clamp(max=1)
        turn = 2 * torch.pi * share
        if self.is_windowed:
            return (1 - share) * (2 + turn.cos()) / 3 + turn.sin() / (2 * torch.pi)
        # A plane that was resampled keeps what is spread over less than half of its side.
        return ((0.5 - share) / 0.05).clamp(0, 1)


def of_images(
    images: Float[Tensor, "n y x"], pixel_size_A: float, box_px: int, coarsest_A: float = 30.0
) -> Spectra:
    """Return spectra of micrographs of one size.

    Parameters
    ----------
    images
        Micrographs; no dose weighting, for it removes the rings at high resolution.
    pixel_size_A
        Sampling.
    box_px
        Side of the spectrum.
    coarsest_A
        Tiles are brought to one scale by their power at finer resolutions than this.

    Raises
    ------
    InputError
        The images are smaller than 64 pixels, or the box is.
    ComputeError
        An image is constant, or holds values that are not finite.
    """
    ny, nx = images.shape[-2:]
    if min(ny, nx, box_px) < SMALLEST_BOX_PX:
        raise InputError(
            f"the image has {nx} x {ny} pixels and the spectrum {box_px}: at least "
            f"{SMALLEST_BOX_PX} are needed to see rings"
        )
    tile = _good_size(min(_tile_px(pixel_size_A, box_px), ny, nx))
    side = min(_even(box_px), tile)
    power = torch.stack([_power(image, tile, side, pixel_size_A, coarsest_A) for image in images])
    return Spectra(power.sqrt(), tile * pixel_size_A, is_windowed=True)


def of_centred_planes(planes: Float[Tensor, "n y x"], pixel_size_A: float) -> Spectra:
    """Return spectra that motion correction wrote as whole planes, zero frequency in the middle.

    Parameters
    ----------
    planes
        Amplitudes, square.
    pixel_size_A
        Sampling of the image that a plane belongs to.
    """
    ny, nx = planes.shape[-2:]
    if ny != nx or ny < SMALLEST_BOX_PX:
        raise InputError(
            f"the power spectrum has {nx} x {ny} pixels, wanted a square of at least "
            f"{SMALLEST_BOX_PX}"
        )
    plane = torch.roll(planes, (-(ny // 2), -(nx // 2)), (-2, -1))
    mate = torch.roll(plane.flip(-2, -1), (1, 1), (-2, -1))
    half = ((plane + mate) / 2)[..., : nx // 2 + 1]
    _refuse_empty(half)
    return Spectra(half.clamp(min=0), nx * pixel_size_A, is_windowed=False)


def centred_plane(half: Float[Tensor, "n y xh"]) -> Float[Tensor, "n y x"]:
    """Return the whole plane behind a real half plane, zero frequency in the middle."""
    side = half.shape[-2]
    mate = torch.roll(half.flip(-2), 1, -2)[..., 1 : (side + 1) // 2].flip(-1)
    return torch.roll(torch.cat([half, mate], -1), (side // 2, side // 2), (-2, -1))


def _tile_px(pixel_size_A: float, box_px: int) -> int:
    return round(box_px * max(1.0, FINEST_PIXEL_A / pixel_size_A))


def _even(size: int) -> int:
    return size - size % 2


def _good_size(most: int) -> int:
    """Return the largest side that transforms fast: even, no prime factor above 5."""
    return next(side for side in range(_even(most), 0, -2) if _is_smooth(side))


def _is_smooth(side: int) -> bool:
    for factor in (2, 3, 5):
        while side % factor == 0:
            side //= factor
    return side == 1


def _power(
    image: Tensor, tile: int, side: int, pixel_size_A: float, coarsest_A: float
) -> Float[Tensor, "y xh"]:
    """Return the mean power of the tiles of an image, each divided by its own.

    Tiles reach over the edges of the image, where they count by how much of it they show: without
    them the outer parts, a quarter of an image of three tiles, would hardly count.
    """
    band = _band(tile, side, pixel_size_A, coarsest_A, image.device)
    total = torch.zeros((side, side // 2 + 1), dtype=torch.float64, device=image.device)
    counted = 0.0
    deviation, middle = torch.std_mean(image, correction=0)
    if not float(deviation) > 1e-6 * abs(float(middle)):  # what is left of a constant is rounding
        _refuse_empty(total)
    # An empty part shows rounding alone, far below white noise of the deviation of the image.
    least = 1e-8 * float(deviation * _hann(tile, image).square().mean().sqrt() / tile) ** 2
    for row, inside, share in _rows_of_tiles(image - middle, tile):
        mean = row.sum((-2, -1), keepdim=True) / inside.sum((-2, -1), keepdim=True)
        flat = (row - mean * inside) * _hann(tile, image)
        transform = fourier.forward_from_corner(flat, (side, side))
        power = transform.real**2 + transform.imag**2
        scale = power.flatten(1)[:, band].mean(1)
        kept = torch.isfinite(scale) & (scale > least)
        weight = share[kept] / scale[kept]
        total += torch.einsum("nyx,n->yx", power[kept], weight)
        counted += float(share[kept].sum())
    if counted == 0:
        _refuse_empty(total)
    return (total / max(counted, 1e-6)).to(image.dtype)


def _rows_of_tiles(image: Tensor, tile: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the tiles of one row after another, spread over the image and a little more.

    Yields
    ------
    Tensor
        ``n y x``, faded at the edges of the image and 0 beyond.
    Tensor
        ``n y x``, the fading: 1 inside, 0 beyond.
    Tensor
        ``n``, the share of a tile, as its window weighs it, that shows the image.
    """
    ny, nx = image.shape
    fade_y, starts_y, shares_y = _along(ny, tile, image)
    fade_x, starts_x, shares_x = _along(nx, tile, image)
    reach = _reach(tile)
    faded = torch.nn.functional.pad(image * fade_y[reach : ny + reach, None], (reach, reach))
    faded *= fade_x
    none = image.new_zeros(tile, nx + 2 * reach)
    for y, share in zip(starts_y, shares_y, strict=True):
        first, last = max(0, y - reach), min(ny, y - reach + tile)
        strip = none.clone()
        strip[first - y + reach : last - y + reach] = faded[first:last]
        inside = fade_y[y : y + tile, None] * fade_x
        yield (
            torch.stack([strip[:, x : x + tile] for x in starts_x]),
            torch.stack([inside[:, x : x + tile] for x in starts_x]),
            share * shares_x,
        )


def _along(length: int, tile: int, like: Tensor) -> tuple[Tensor, list[int], Tensor]:
    """Return along one axis: how the image fades, where tiles begin, and the share of each.

    Places count from `_reach` pixels before the image.
    """
    reach, width = _reach(tile), max(1, tile // _FADING)
    place = torch.arange(length, device=like.device, dtype=like.dtype) + 0.5
    from_edge = torch.minimum(place, length - place) / width
    fade = 0.5 - 0.5 * torch.cos(torch.pi * from_edge.clamp(max=1))
    fade = torch.nn.functional.pad(fade, (reach, reach))
    starts = _starts(length + 2 * reach, tile)
    window = torch.hann_window(tile, periodic=True, dtype=like.dtype, device=like.device)
    shown = torch.stack([(fade[s : s + tile] * window).square().sum() for s in starts])
    return fade, starts, shown / window.square().sum()


def _reach(tile: int) -> int:
    return tile // 3


def _starts(length: int, tile: int) -> list[int]:
    """Return where tiles begin, about a third of a side apart and spread over the image.

    Under Hann's window closer ones would tell nothing more: the variance of the mean is 0.48 of
    that of tiles that do not overlap, and 0.53 where they are half a side apart.
    """
    n = 1 + math.ceil((length - tile) / (tile / 3))
    return [round(i * (length - tile) / max(1, n - 1)) for i in range(n)]


def _hann(size: int, like: Tensor) -> Tensor:
    window = torch.hann_window(size, periodic=True, dtype=like.dtype, device=like.device)
    return window[:, None] * window


def _band(
    tile: int, side: int, pixel_size_A: float, coarsest_A: float, device: torch.device
) -> Tensor:
    """Return where the half plane lies beyond a resolution, inside its largest circle."""
    radius2 = fourier.squared_radius(side, 2, device).flatten()
    inner = min(tile * pixel_size_A / coarsest_A, side / 4)
    return torch.nonzero((radius2 > inner**2) & (radius2 < (side / 2) ** 2))[:, 0]


def _refuse_empty(values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()) or float(values.max()) <= 0:
        raise ComputeError(
            "there is nothing but one constant value, or values that are no numbers, so there are "
            "no rings to fit"
        )
