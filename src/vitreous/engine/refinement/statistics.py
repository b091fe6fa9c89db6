"""What the expectation step counts (refinement.md section 6), summed over particles and ranks.

Everything here is a plain sum: two sets of particles processed apart and added give what both
give together. References accumulate beside it, in one `projection.Accumulator` per class (in
gradient runs two, one for each pseudo-half).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Float
from torch import Tensor

from vitreous.engine.projection import Accumulator


@dataclass(frozen=True)
class Statistics:
    """Sums of one half, all in float64.

    Parameters
    ----------
    residual
        ``g s``: sum of weight times |S_t X - s CTF P V|^2 over half-plane pixels of each shell of
        the images (with `power_img` beyond the current size), on the shells of the optics
        group's own box cropped or extended to the shells of the reference's box by rounding.
    group_weight
        ``g``: sum of weights of each optics group.
    scale_cross, scale_power
        ``m``: XA and AA of each scale group, of the shells with data versus prior above 3.
    direction_weight
        ``k r``: sum of weights of each class and direction.
    class_offset
        ``k 2``: sum of weighted shifts in angstrom (2D).
    offset2
        Sum of weighted squared distances of shifts from their priors, in A^2.
    total_weight, log_likelihood, pmax, n_particles
        Sums over particles.
    ctf2, ctf2_weight
        ``k s``: weighted sum of s CTF^2 over the pixels of each shell, and the sum of weights, for
        premultiplied data (section 7.4).
    """

    residual: Float[Tensor, "g s"]
    group_weight: Float[Tensor, " g"]
    scale_cross: Float[Tensor, " m"]
    scale_power: Float[Tensor, " m"]
    direction_weight: Float[Tensor, "k r"]
    class_offset: Float[Tensor, "k 2"]
    offset2: Float[Tensor, ""]
    total_weight: Float[Tensor, ""]
    log_likelihood: Float[Tensor, ""]
    pmax: Float[Tensor, ""]
    n_particles: Float[Tensor, ""]
    ctf2: Float[Tensor, "k s"]
    ctf2_weight: Float[Tensor, "k s"]

    def __add__(self, other: Statistics) -> Statistics:
        """Add the sums of other particles."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Statistics(*(a + b for a, b in pairs))


@dataclass(frozen=True)
class Sums:
    """The outcome of an expectation step over one half.

    Parameters
    ----------
    statistics
        Plain sums.
    references
        Per class its accumulator; in gradient runs a pair, for even and odd particle numbers.
        Not yet folded or symmetrised.
    """

    statistics: Statistics
    references: tuple[tuple[Accumulator, ...], ...]
