"""The threshold of a mask from the noise of its own map.

Solvent is the largest population of voxels with one mean. Its density is estimated from the
densest part of the histogram, its deviation from what lies below, where no particle is. A voxel is
particle where its density is no longer explained by that noise: the false discovery rate among all
voxels called particle is held at a given value (Benjamini & Hochberg, J. R. Stat. Soc. B 57, 289
(1995), for maps Beckers, Jakobi & Sachse, IUCrJ 6, 18 (2019)). That allows some specks of noise, so
that a part is kept only if it also has a voxel above a second threshold which noise would pass
nowhere in the map, and is not much smaller than the largest part.

SciPy finds connected parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from vitreous.engine import masking
from vitreous.errors import InputError

RATE = 0.01
DALTON_PER_A3 = 0.81
SMALLEST_PART = 0.02
"""Of the largest part; smaller ones are specks."""
_SOLVENT = 0.3  # of the voxels, surely solvent, whose densities are closest together
_MOST = 1_000_000
_BLANK = 0.5
_MEDIAN = 0.67448975  # of the absolute value of a normal variable


@dataclass(frozen=True)
class Noise:
    """Density of the solvent.

    Parameters
    ----------
    level, deviation
        Its mean and standard deviation.
    """

    level: float
    deviation: float


@dataclass(frozen=True)
class Thresholds:
    """Where a particle begins.

    Parameters
    ----------
    initial
        A part that reaches this density nowhere is noise.
    extended
        From this density on a voxel belongs to a part.
    noise
        What they come from.
    """

    initial: float
    extended: float
    noise: Noise


def require_solvent(volume: Float[Tensor, "z y x"]) -> None:
    """Refuse a map (before it is smoothed) whose solvent is blank: it was masked."""
    values = _sample(volume)
    blank = float((values == values.mode().values).double().mean())
    if blank > _BLANK:
        raise InputError(
            f"{100 * blank:.0f} % of the map have exactly one density: it was masked, and its "
            "solvent no longer tells the noise. Take the unmasked map of the refinement, or give "
            "the threshold or the molecular weight."
        )


def noise_of(volume: Float[Tensor, "z y x"]) -> Noise:
    """Measure the solvent of a map, smoothed as the mask is to be.

    Raises
    ------
    InputError
        The map has no noise.
    """
    ordered = _sample(volume).sort().values
    n = max(2, int(_SOLVENT * len(ordered)))
    widths = ordered[n - 1 :] - ordered[: len(ordered) - n + 1]
    start = int(widths.argmin())
    level = float(ordered[start : start + n].mean())
    below = level - ordered[ordered < level]
    if not len(below) or float(below.median()) <= 0:
        raise InputError("The map has no noise around its solvent.")
    return Noise(level, float(below.median()) / _MEDIAN)


def thresholds(volume: Float[Tensor, "z y x"], noise: Noise, rate: float = RATE) -> Thresholds:
    """Return where the particle begins.

    Parameters
    ----------
    volume
        A map, smoothed as the mask is to be.
    noise
        Of this map.
    rate
        Share of the voxels above the extended threshold that may be noise.

    Raises
    ------
    InputError
        Nothing is above the noise.
    """
    z = ((_sample(volume) - noise.level) / noise.deviation).sort(descending=True).values
    p = torch.special.erfc(z / math.sqrt(2)) / 2
    allowed = rate * torch.arange(1, len(p) + 1, dtype=p.dtype) / len(p)
    passing = torch.nonzero(p <= allowed)
    # Noise passes this nowhere: one voxel in a hundred maps of as many independent voxels.
    top = float(torch.special.ndtri(torch.tensor(1 - 0.01 / volume.numel(), dtype=p.dtype)))
    if not len(passing) or float(z[0]) < top:
        raise InputError(
            f"Nothing stands out of the noise: the largest density is {float(z[0]):.1f} deviations "
            f"above the solvent, and noise alone reaches {top:.1f}. Filter more strongly, or look "
            "at the map: is there a particle, and is it white?"
        )
    extended = float(z[int(passing[-1, 0])])
    return Thresholds(
        noise.level + max(top, extended) * noise.deviation,
        noise.level + extended * noise.deviation,
        noise,
    )


def inside(volume: Float[Tensor, "z y x"], found: Thresholds) -> Bool[Tensor, "z y x"]:
    """Return the voxels of the particle: connected parts that are neither noise nor specks."""
    labels, n_parts = ndimage.label((volume >= found.extended).cpu().numpy())
    sizes = np.bincount(labels.ravel(), minlength=n_parts + 1)
    keep = np.zeros(n_parts + 1, bool)
    keep[np.unique(labels[(volume >= found.initial).cpu().numpy()])] = True
    keep[0] = False
    if keep.any():
        keep &= sizes >= SMALLEST_PART * sizes[keep].max()
    return torch.from_numpy(keep[labels]).to(volume.device)


def _sample(volume: Tensor) -> Tensor:
    """Return voxels of the largest ball in the box, at most a million, in double precision."""
    size = volume.shape[0]
    step = max(1, math.ceil((volume.numel() / _MOST) ** (1 / 3)))
    thin = slice(size // 2 % step, None, step)
    ball = masking.radius(size, 3, device=volume.device)[thin, thin, thin] < size / 2 - 1
    return volume[thin, thin, thin][ball].double().cpu()
