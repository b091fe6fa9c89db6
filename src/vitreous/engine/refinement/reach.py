"""How far from the origin pixels tell poses apart (refinement.md section 15.4).

References end where the data of the iteration before ended, and often hold next to nothing well
before; the final iteration of an auto-refinement compares images of the full size with such
references. Two poses whose slices have the power E = sum c |P|^2 beyond some radius differ there
in log weight by a number of mean E at most and of deviation sqrt(2 E) at most, noise included.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.ctf import Optics
from vitreous.engine.refinement.disc import disc, places_in, tight_index
from vitreous.engine.refinement.images import Prepared
from vitreous.engine.refinement.references import References

LEAST_RADIUS = 24  # below which there is little to gain
_SAMPLE = 16  # slices of each class, and images
_SPREAD = 2.0  # what images and slices have at most, in means of the sample


def radius_of(
    images: Prepared,
    references: References,
    optics: Optics,
    classes: Int64[Tensor, " r"],
    rotations: Float[Tensor, "r 3 3"],
    radius: int,
    error_nat: float,
) -> int:
    """Return the radius beyond which pixels change log weights by less than an error.

    Parameters
    ----------
    images
        Of one optics group.
    references, optics, classes, rotations
        What they are compared with; a sample of the slices is looked at.
    radius
        That is returned at most.
    error_nat
        Deviation of the difference of two log weights.
    """
    if radius < LEAST_RADIUS or len(images) == 0:
        return radius
    seen = images.view
    some = torch.arange(0, len(images), -(-len(images) // _SAMPLE))
    index = tight_index(radius)
    places = places_in(radius, seen.scored.radius)[index]
    c = images.c[some][:, places].mean(0)
    shells = disc(radius).shell[index].clamp(max=radius)
    beyond = torch.zeros(radius + 1, dtype=torch.float64)
    for k in torch.unique(classes).tolist():
        of_class = torch.nonzero(classes == k)[:, 0]
        sample = rotations[of_class[:: -(-len(of_class) // _SAMPLE)]]
        slices = references.tight(k, sample, seen, optics, radius)
        power = (c * slices.square().sum(-1).mean(0)).double().cpu()
        of_shells = torch.zeros_like(beyond).index_add_(0, shells, power)
        tail = of_shells.flip(0).cumsum(0).flip(0)  # of a shell and all after it
        beyond = torch.maximum(beyond, tail)
    enough = torch.nonzero(2 * _SPREAD * beyond <= error_nat**2)
    last = int(enough[0]) if len(enough) else radius
    return max(LEAST_RADIUS, min(last, radius))
