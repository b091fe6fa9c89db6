"""Maps made by a program outside: its input and output are whole arrays, and files are for others.

The exchange itself (RELION's ``_external_reconstruct`` MRC and STAR files, starting the program) is
a callable handed in from above; here its input is made from the sums, and its answer is taken in
(refinement.md section 12). Arrays are on the CPU; their
signs and scales are those of RELION's files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import grids
from vitreous.engine.projection import padded_side
from vitreous.engine.refinement.regulariser import Regularised, Regulariser, Request


@dataclass(frozen=True)
class Exchange:
    """What a program outside is given.

    Parameters
    ----------
    data
        ``z y xh``, sum of the slices: the half transform of a box padded to `side_px`, zero
        frequency at index 0, nothing beyond the radius in use.
    weight
        ``z y xh``, sum of their weights.
    tau2, fsc
        ``s``: power of the signal (T enters the map once more) and correlation between halves.
    request
        Everything else: T, padding, box, pixel size, diameter, class, half, iteration.
    """

    data: Complex[Tensor, "*half"]
    weight: Float[Tensor, "*half"]
    tau2: Float[Tensor, " s"]
    fsc: Float[Tensor, " s"]
    request: Request

    @property
    def side_px(self) -> int:
        """Return the side of the padded box."""
        return int(self.data.shape[0])


def external(exchange: Callable[[Exchange], Regularised]) -> Regulariser:
    """Return a regulariser that has its maps made elsewhere.

    Parameters
    ----------
    exchange
        Writes files, runs the program, and returns the map it made, with its own FSC or signal
        power where it gives one.
    """

    def regularise(request: Request) -> Regularised:
        return exchange(exchanged(request))

    return regularise


def exchanged(request: Request) -> Exchange:
    """Put the sums of a request into the arrays that are written to files."""
    sums = request.sums
    side = padded_side(sums.box_px, sums.padding)
    # Interpolation spread a little beyond the sphere; that belongs to no shell.
    inside = grids.radius_of(sums.weight) <= round(sums.padding * sums.r_max) + 1e-4
    data = grids.uncentred(sums.data * inside, side)
    weight = grids.uncentred((sums.weight * inside).to(data.dtype), side).real
    return Exchange(data.cpu(), weight.contiguous().cpu(), request.tau2, request.fsc, request)
