"""Whether a mask is too tight: correlation inside it, and inside wider ones.

A mask spreads what halves have in common at low resolution over its neighbours, so that they
correlate where they have nothing in common. Randomising the phases beyond a shell tells how much
(Chen et al., Ultramicroscopy 135, 24 (2013)), and the corrected curve must then not depend on the
mask: it may only fall slowly as a wider mask lets in solvent, that is noise. A curve that falls at
once when a mask is made wider by a few voxels was made by the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier_volume, masking, resolution
from vitreous.engine.validation.directional import crossing

_SOFT_PX = 6.0
_SOFTEST_PX = 20.0
_LARGE_PX = 96


@dataclass(frozen=True)
class InMask:
    """Curves inside one mask.

    Parameters
    ----------
    wider_px
        How far beyond the given mask it goes; 0 for that mask itself.
    masked, randomised, corrected
        ``s``
    share
        Of the volume of the box, inside.
    """

    wider_px: float
    masked: Tensor
    randomised: Tensor
    corrected: Tensor
    share: float

    @property
    def shell(self) -> float:
        """Where the corrected curve falls below 0.143."""
        return crossing(self.corrected)

    def by_mask(self, shell: float) -> float:
        """Return the correlation with randomised phases at a shell: what the mask makes."""
        return float(self.randomised[min(round(shell), len(self.randomised) - 1)])


def masked_fsc(
    first: Float[Tensor, "z y x"], second: Float[Tensor, "z y x"], mask: Float[Tensor, "z y x"]
) -> Float[Tensor, " s"]:
    """Correlate two maps inside a mask."""
    return resolution.fsc_of_transforms(
        fourier_volume.forward(first, mask), fourier_volume.forward(second, mask), 3
    )


def wider(
    mask: Float[Tensor, "z y x"], steps_px: Sequence[float], edge_px: float
) -> list[Float[Tensor, "z y x"]]:
    """Return masks that go further than one by some pixels, with a soft edge.

    Parameters
    ----------
    mask
        0 to 1; what is above one half is inside.
    """
    inside = mask > 0.5
    if mask.shape[0] <= _LARGE_PX or mask.shape[0] % 2:
        distance = masking.distance_to(inside)
        return [masking.raised_cosine(distance, step, edge_px).to(mask.dtype) for step in steps_px]
    # Soft masks vary slowly: of a large one every second voxel along each axis is enough.
    pooled = torch.nn.functional.avg_pool3d(inside.to(mask.dtype)[None], 2)[0]
    distance = 2 * masking.distance_to(pooled >= 0.5).to(mask.dtype)
    coarse = [masking.raised_cosine(distance, step, edge_px) for step in steps_px]
    return [
        torch.nn.functional.interpolate(one[None, None], scale_factor=2, mode="trilinear")[0, 0]
        for one in coarse
    ]


def with_solvent(
    corrected: Float[Tensor, " s"], mask: Float[Tensor, "z y x"], wider_mask: Float[Tensor, "z y x"]
) -> Float[Tensor, " s"]:
    """Return the curve that a wider mask should have if all it adds is solvent.

    Noise power goes with the sum of the squared mask and signal power stays, so that a curve
    ``F = S / (S + N)`` becomes ``S / (S + v N)``.
    """
    more = float(wider_mask.square().sum() / mask.square().sum())
    held = corrected.clamp(-1, 1)
    return held / (held + (1 - held) * more)


def edge_width_px(mask: Float[Tensor, "z y x"]) -> float:
    """Return about how wide the soft edge of a mask is: its volume over the mask's surface."""
    inside = mask > 0.5
    between = float(((mask > 0.01) & (mask < 0.99)).sum())
    faces = sum(
        float((inside.narrow(axis, 1, side - 1) != inside.narrow(axis, 0, side - 1)).sum())
        for axis, side in enumerate(mask.shape)
    )
    return between / (faces / 1.5) if faces else 0.0  # a sphere has 1.5 times as many faces


def wanted_edge_px(mask: Float[Tensor, "z y x"]) -> float:
    """Return the edge for wider masks: that of the mask, but soft, and not endless."""
    return min(max(edge_width_px(mask), _SOFT_PX), _SOFTEST_PX)


def in_mask(
    halves: tuple[Float[Tensor, "z y x"], Float[Tensor, "z y x"]],
    randomised: tuple[Float[Tensor, "z y x"], Float[Tensor, "z y x"]],
    mask: Float[Tensor, "z y x"],
    randomised_from: int,
    wider_px: float = 0.0,
) -> InMask:
    """Correlate half-maps inside a mask.

    Parameters
    ----------
    halves
        The maps.
    randomised
        The same with randomised phases.
    mask
        0 to 1.
    randomised_from
        First shell (of these arrays) whose phases are random.
    """
    masked, random = (masked_fsc(first, second, mask) for first, second in (halves, randomised))
    share = float((mask > 0.5).double().mean())
    corrected = resolution.correct(masked, random, randomised_from)
    return InMask(wider_px, masked, random, corrected, share)
