"""Where a class average shows protein: islands of density that begin near the middle."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from vitreous.engine.ranking.preparation import disc, distance

_THRESHOLD_SIGMA = 0.05
_SEED_RADIUS = 0.6
_CENTRAL_RADIUS = 0.3
_LEAST_CENTRAL = 0.1


def protein_masks(low_passed: Float[Tensor, "n y x"]) -> Bool[Tensor, "n y x"]:
    """Return where protein is (postprocessing.md section 1).

    Islands are pixels above 0.05 standard deviations of the low-passed image. Those that reach
    within 0.6 of the radius count; and all of them are dropped where they cover less than a tenth
    of the central disc.

    Parameters
    ----------
    low_passed
        See `vitreous.engine.ranking.preparation.Prepared`.
    """
    inside = disc(1.0)
    return torch.stack([_mask(image, inside) for image in low_passed])


def _mask(image: Float[Tensor, "y x"], inside: Bool[Tensor, "y x"]) -> Bool[Tensor, "y x"]:
    bright = (image > _THRESHOLD_SIGMA * image[inside].std()) & inside
    labels, _ = ndimage.label(bright.numpy())
    near = np.unique(labels[(distance() < _SEED_RADIUS).numpy()])
    mask = torch.from_numpy(np.isin(labels, near[near > 0]))
    centre = disc(_CENTRAL_RADIUS)
    return mask if mask[centre].double().mean() >= _LEAST_CENTRAL else torch.zeros_like(mask)
