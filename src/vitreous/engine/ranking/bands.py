"""How much of a class average is detail of each size, and whether that detail is the protein's.

An average is split into bands of elements across the mask of the classification. In each band,
what a particle shows stands out of the solvent beside it, and noise does not: their ratio is a
signal-to-noise ratio by frequency, which holds for solid and for hollow particles, and for many
particles and few.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ranking.preparation import RADIUS_PX, SIZE_PX, disc, distance

_ELEMENTS = (2.0, 3.0, 4.5, 6.5, 9.5, 14.0)  # across the mask, borders of the bands
_STEEPNESS = 8
_LEAST_PX = 100  # of protein or of solvent, for a mean over them
_LEAST_SHARE, _LEAST_CONTRAST, _MOST_CONTRAST = 1e-6, -2.0, 3.0
_TINY = 1e-9


def of_image(image: Float[Tensor, "y x"], mask: Bool[Tensor, "y x"]) -> dict[str, float]:
    """Measure each band of an average.

    Parameters
    ----------
    image
        See `vitreous.engine.ranking.preparation.Prepared`.
    mask
        Where protein is.

    Returns
    -------
    dict
        For each band the logarithms (base 10) of its share of the power and of its power on
        protein over that beside it, and how far from the middle its power lies, in radii.
    """
    inside, seen = disc(1.0), disc(0.97)
    protein, solvent = seen & mask, seen & ~mask
    protein = protein if int(protein.sum()) > _LEAST_PX else disc(0.6)
    solvent = solvent if int(solvent.sum()) > _LEAST_PX else disc(0.97, 0.8)
    transform = fourier.forward((image * inside)[None], 2)
    total = float((image[inside] ** 2).sum()) + _TINY
    found = {}
    for number, band in enumerate(_bands(), start=1):
        power = fourier.inverse(transform * band, 2, SIZE_PX)[0] ** 2
        share = power[seen].sum() / total + _LEAST_SHARE
        contrast = (power[protein].mean() + _TINY) / (power[solvent].mean() + _TINY)
        spread = (power * distance() ** 2)[seen].sum() / (power[seen].sum() + _TINY)
        found[f"band_share_{number}"] = float(share.log10())
        found[f"band_contrast_{number}"] = float(
            contrast.log10().clamp(_LEAST_CONTRAST, _MOST_CONTRAST)
        )
        found[f"band_spread_{number}"] = float(spread.sqrt())
    return found


@lru_cache(maxsize=1)
def _bands() -> Float[Tensor, "bands y xh"]:
    """Return a factor by frequency for each band, with borders that are soft."""
    elements = fourier.squared_radius(SIZE_PX, 2).double().sqrt() * (2 * RADIUS_PX / SIZE_PX)
    below = [1 / (1 + (elements / border) ** _STEEPNESS) for border in _ELEMENTS]
    return torch.stack([high - low for low, high in pairwise(below)])
