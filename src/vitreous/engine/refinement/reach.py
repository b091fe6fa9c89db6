"""How far from the origin pixels tell poses apart (refinement.md section 15.4).

References end where the data of the iteration before ended, and often hold next to nothing well
before; the final iteration of an auto-refinement compares images of the full size with such
references. Two poses whose slices have the power E = sum c |P|^2 beyond some radius differ there
in log weight by a number of mean E at most and of deviation sqrt(2 E) at most, noise included.

The answer is of the model alone, so that it does not matter how images are dealt to ranks and
chunks.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import geometry
from vitreous.engine.ctf import Optics
from vitreous.engine.refinement.disc import disc, tight_index
from vitreous.engine.refinement.images import View
from vitreous.engine.refinement.references import References
from vitreous.engine.refinement.state import Model

LEAST_RADIUS = 24  # below which there is little to gain
FIRST_PASS_NAT = 0.3  # by which log weights may be off where they only select
FINE_PASS_NAT = 0.05  # and where they weigh
SAMPLE = 16  # slices of each map, and images
_SPREAD = 2.0  # what a slice has at most, in means of the sample
_ROUNDING = 2e-4  # deviation of a number of 11 bits, as a part of it


def radius_of(
    seen: View,
    model: Model,
    references: References,
    optics: Optics,
    radius: int,
    error_nat: float,
) -> int:
    """Return the radius beyond which pixels change log weights by less than an error.

    Parameters
    ----------
    seen
        The images of an optics group; their CTF is taken as 1 everywhere.
    model, references, optics
        What they are compared with; a sample of the slices is looked at.
    radius
        That is returned at most.
    error_nat
        Deviation of the difference of two log weights.
    """
    if radius < LEAST_RADIUS:
        return radius
    beyond = torch.zeros(radius + 1, dtype=torch.float64)
    for k in range(len(references.projectors)):
        slices = references.tight(k, views(references.ndim), seen, optics, radius)
        of_shells = powers(slices, seen, model, radius)
        tail = of_shells.flip(0).cumsum(0).flip(0)  # of a shell and all after it
        beyond = torch.maximum(beyond, tail)
    enough = torch.nonzero(2 * _SPREAD * beyond <= error_nat**2)
    last = int(enough[0]) if len(enough) else radius
    return max(LEAST_RADIUS, min(last, radius))


def rounding_nat(
    seen: View, model: Model, references: References, optics: Optics, ctf4: Float[Tensor, " s"]
) -> float:
    """Return the deviation of log weights from slices of numbers that are rounded to 11 bits.

    With q the whitened slice, z the whitened image and u the deviation of a rounded number, cross
    term and power are off by ``u sqrt(sum q^2 (1 + q^2))`` (section 15.4).

    Parameters
    ----------
    seen
        The images of an optics group.
    model, references, optics
        What they are compared with; a sample of the slices is looked at.
    ctf4
        Mean fourth power of the CTF of the images, by shells.
    """
    radius = seen.disc.radius
    shells = disc(radius).shell[tight_index(radius)].clamp(max=radius)
    count = torch.bincount(shells, minlength=radius + 1).clamp(min=1)
    ctf4 = ctf4[: radius + 1].double()
    worst = 0.0
    for k in range(len(references.projectors)):
        slices = references.tight(k, views(references.ndim), seen, optics, radius)
        of_shells = _SPREAD * powers(slices, seen, model, radius)
        of_shells[0] = 0  # the grey level is not compared
        squares = of_shells * ctf4.sqrt() + of_shells.square() / count * ctf4
        worst = max(worst, float(squares.sum().sqrt()))
    return _ROUNDING * worst


def powers(
    slices: Float[Tensor, "r m 2"], seen: View, model: Model, radius: int
) -> Float[Tensor, " s"]:
    """Return the mean of c |P|^2 of slices summed over each shell; the CTF is taken as 1.

    Parameters
    ----------
    slices
        In the order of `disc.tight_index`.
    seen, model
        Of the images, for their noise and scale.
    radius
        Of the slices.
    """
    shells = disc(radius).shell[tight_index(radius)].clamp(max=radius)
    scale = float(model.group_scale.max()) / seen.scale**2
    c = scale**2 / seen.sigma2[shells.clamp(max=len(seen.sigma2) - 1)]
    power = c * slices.square().sum(-1).mean(0).double().cpu()
    return torch.zeros(radius + 1, dtype=torch.float64).index_add_(0, shells, power)


def views(ndim: int) -> Float[Tensor, "r 3 3"]:
    """Return rotations all over the sphere; an average has the same power from all sides."""
    if ndim == 2:
        return torch.eye(3)[None]
    return geometry.random_rotations(SAMPLE, torch.Generator().manual_seed(0), torch.float32)
