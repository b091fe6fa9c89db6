"""Whether a mask is too tight: correlation inside it, and inside wider ones.

A mask spreads what halves have in common at low resolution over its neighbours, so that they
correlate where they have nothing in common. Randomising the phases beyond a shell tells how much
(Chen et al., Ultramicroscopy 135, 24 (2013)), and the corrected curve must then not depend on the
mask: it may only fall slowly as a wider mask lets in solvent, that is noise. A curve that falls at
once when a mask is made wider by a few voxels was made by the mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier_volume, masking, resolution
from vitreous.engine.kernels import planes
from vitreous.engine.validation.directional import crossing

_SOFT_PX = 6.0
_SOFTEST_PX = 20.0
_LARGE_PX = 96
_VERY_LARGE_PX = 192
_LOOKED_AT = 64
_FINE_SHELL = 24


@dataclass(frozen=True)
class InMask:
    """Curves inside one mask.

    Parameters
    ----------
    wider_px
        How far beyond the given mask it goes; 0 for that mask itself.
    masked, randomised, corrected
        ``s``
    """

    wider_px: float
    masked: Tensor
    randomised: Tensor
    corrected: Tensor

    @property
    def shell(self) -> float:
        """Where the corrected curve falls below 0.143."""
        return crossing(self.corrected)

    def by_mask(self, shell: float) -> float:
        """Return the correlation with randomised phases at a shell: what the mask makes."""
        return float(self.randomised[min(round(shell), len(self.randomised) - 1)])


@dataclass(frozen=True)
class Mask:
    """A mask that is made plane by plane.

    Parameters
    ----------
    values
        ``z y x``, 0 to 1.
    pool
        Voxels along each side of the cube that one value stands for.
    wider_px
        How far it goes beyond the mask that it was made from.
    """

    values: Tensor
    pool: int = 1
    wider_px: float = 0.0
    _finer: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def side_px(self) -> int:
        """Side of the cube."""
        return len(self.values) * self.pool

    def plane(self, z: int) -> Float[Tensor, "y x"]:
        """Return one plane, values between those there are on straight lines."""
        if self.pool == 1:
            return self.values[z]
        at = min(max((z + 0.5) / self.pool - 0.5, 0.0), len(self.values) - 1.0)
        low = int(at)
        high = min(low + 1, len(self.values) - 1)
        return torch.lerp(self._fine(low), self._fine(high), at - low)

    def _fine(self, number: int) -> Float[Tensor, "y x"]:
        """Return a plane of `values` made finer; the last two are kept, as planes come in turn."""
        if number not in self._finer:
            if len(self._finer) > 1:
                del self._finer[next(iter(self._finer))]
            coarse = self.values[number][None, None]
            scale = self.pool
            found = torch.nn.functional.interpolate(coarse, scale_factor=scale, mode="bilinear")
            self._finer[number] = found[0, 0]
        return self._finer[number]

    def power(self) -> float:
        """Return the sum of squares; of many planes a part is looked at."""
        step = max(1, self.side_px // _LOOKED_AT)
        some = range(self.side_px % step // 2, self.side_px, step)
        squares = sum(float(self.plane(z).square().sum(dtype=torch.float64)) for z in some)
        return squares * self.side_px / len(some)


def masked_fsc(
    first: Float[Tensor, "z y x"], second: Float[Tensor, "z y x"], mask: Float[Tensor, "z y x"]
) -> Float[Tensor, " s"]:
    """Correlate two maps inside a mask."""
    return resolution.fsc_of_transforms(
        fourier_volume.forward(first, mask), fourier_volume.forward(second, mask), 3
    )


def wider(mask: Float[Tensor, "z y x"], steps_px: Sequence[float], edge_px: float) -> list[Mask]:
    """Return masks that go further than one by some pixels, with a soft edge.

    Soft masks vary slowly: of a large one every second or fourth voxel along each axis is enough.

    Parameters
    ----------
    mask
        0 to 1; what is above one half is inside.
    """
    side = len(mask)
    pool = 4 if side > _VERY_LARGE_PX else 2 if side > _LARGE_PX else 1
    while side % pool:
        pool //= 2
    if pool > 1:
        mask = _pooled(mask, pool)
    # Distances run between middles of blocks; the region begins at the border of one.
    most = math.ceil((max(steps_px) + edge_px) / pool) + 1
    distance = (pool * masking.near_distance(mask > 0.5, most) - (pool - 1) / 2).clamp(min=0)
    return [
        Mask(masking.raised_cosine(distance, step, edge_px).to(mask.dtype), pool, step)
        for step in steps_px
    ]


def _pooled(mask: Tensor, pool: int) -> Tensor:
    """Return how much of each block of voxels is inside, a layer of blocks at a time."""
    layers = [
        torch.nn.functional.avg_pool2d(
            (mask[z : z + pool] > 0.5).to(mask.dtype).mean(0)[None], pool
        )[0]
        for z in range(0, len(mask), pool)
    ]
    return torch.stack(layers)


def with_solvent(corrected: Float[Tensor, " s"], more: float) -> Float[Tensor, " s"]:
    """Return the curve that a wider mask should have if all it adds is solvent.

    Noise power goes with the sum of the squared mask and signal power stays, so that a curve
    ``F = S / (S + N)`` becomes ``S / (S + v N)``.

    Parameters
    ----------
    more
        Sum of the squared wider mask over that of the given one.
    """
    held = corrected.clamp(-1, 1)
    return held / (held + (1 - held) * more)


def edge_width_px(mask: Float[Tensor, "z y x"]) -> float:
    """Return about how wide the soft edge of a mask is: its volume over the mask's surface.

    Of many planes a part is looked at.
    """
    between = faces = 0
    for z in range(0, len(mask) - 1, max(1, len(mask) // _LOOKED_AT)):
        plane, next_plane = mask[z : z + 2].cpu().numpy()  # counts faster than a tensor
        inside, above = plane > 0.5, next_plane > 0.5
        between += int(np.count_nonzero((plane > 0.01) & (plane < 0.99)))
        neighbours = (inside, above), (inside[1:], inside[:-1]), (inside[:, 1:], inside[:, :-1])
        faces += sum(int(np.count_nonzero(one != other)) for one, other in neighbours)
    return between / (faces / 1.5) if faces else 0.0  # a sphere has 1.5 times as many faces


def wanted_edge_px(mask: Float[Tensor, "z y x"]) -> float:
    """Return the edge for wider masks: that of the mask, but soft, and not endless."""
    return min(max(edge_width_px(mask), _SOFT_PX), _SOFTEST_PX)


def fold_for(side_px: int, shell: float) -> int:
    """Return how often maps of a side may be folded where a curve falls at a shell.

    A map folded onto 1/n of its side along each axis has every n-th coefficient along each: exact
    ones, and still many in a shell, in a fraction of the time.
    """
    fits = [n for n in (4, 2) if side_px % n == 0 and shell / n >= _FINE_SHELL]
    return fits[0] if fits else 1


def in_masks(
    halves: tuple[Float[Tensor, "z y x"], Float[Tensor, "z y x"]],
    randomised: tuple[Float[Tensor, "z y x"], Float[Tensor, "z y x"]],
    masks: Sequence[Mask],
    randomised_from: int,
    fold: int = 1,
) -> list[InMask]:
    """Correlate half-maps inside masks.

    Parameters
    ----------
    halves
        The maps.
    randomised
        The same with randomised phases.
    masks
        Of the same size.
    randomised_from
        First shell (of these arrays) whose phases are random.
    fold
        Curves have every `fold`-th shell only: see `fold_for`.
    """
    if fold == 1:  # sums as large as the maps: two at a time
        found = [
            tuple(_fsc(_transforms(pair, [mask], 1)[0]) for pair in (halves, randomised))
            for mask in masks
        ]
    else:
        every = _transforms((*halves, *randomised), masks, fold)
        found = [(_fsc(maps[:2]), _fsc(maps[2:])) for maps in every]
    start = -(-randomised_from // fold)
    return [
        InMask(mask.wider_px, masked, random, resolution.correct(masked, random, start))
        for mask, (masked, random) in zip(masks, found, strict=True)
    ]


def _fsc(pair: Sequence[Tensor]) -> Tensor:
    return resolution.fsc_of_transforms(pair[0], pair[1], 3)


def _transforms(maps: Sequence[Tensor], masks: Sequence[Mask], fold: int) -> list[list[Tensor]]:
    """Return every n-th coefficient along each axis of each map, mask by mask."""
    size = masks[0].side_px
    side = size // fold
    kind = masks[0].values
    sums = [[kind.new_zeros((side, side, side)) for _ in maps] for _ in masks]
    for z in range(size):
        inside = [mask.plane(z) for mask in masks]
        for number, volume in enumerate(maps):
            one = volume[z].to(kind.dtype)
            for factor, totals in zip(inside, sums, strict=True):
                planes.add_folded_(totals[number][z % side], one, factor)
    return [[fourier_volume.forward(totals.pop(0)) for _ in maps] for totals in sums]
