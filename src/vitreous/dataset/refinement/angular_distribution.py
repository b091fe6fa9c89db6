"""The ``.bild`` picture of an angular distribution, which Chimera draws around a map.

Every direction has a cylinder that stands on a sphere around the map, as long as the direction is
frequent; the colour goes from blue to red. Scales as RELION's: lengths up to 0.3 of the radius,
the widths an eighth of the angular step on either side, red at five deviations above the mean.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.geometry import view_direction

_LONGEST = 0.3
_BLUE, _RED = -1.0, 5.0  # deviations from the mean


def bild(
    directions_deg: Float[Tensor, "r 2"],
    weights: Float[Tensor, " r"],
    box_A: float,
    step_deg: float,
) -> str:
    """Return the text of the file.

    Parameters
    ----------
    directions_deg
        Rot and tilt.
    weights
        How frequent each is; directions without weight are left out.
    box_A
        Side of the map, whose centre the sphere has.
    step_deg
        Between neighbouring directions.
    """
    weights = weights.to(torch.float64)
    radius = box_A / 2
    unit = view_direction(directions_deg.to(torch.float64))
    length = _LONGEST * radius * weights / weights.max().clamp(min=1e-300)
    foot = radius + radius * unit
    tip = foot + length[:, None] * unit
    colour = _colours(weights)
    width = radius * math.radians(step_deg / 4)
    lines = []
    for row in torch.nonzero(weights > 0)[:, 0].tolist():
        red = colour[row].item()
        ends = " ".join(f"{value:g}" for value in (*foot[row].tolist(), *tip[row].tolist()))
        lines += [f".color {red:g} 0 {1 - red:g}", f".cylinder {ends} {width:g}"]
    return "".join(f"{line}\n" for line in lines)


def _colours(weights: Tensor) -> Tensor:
    deviation = weights.std(correction=0)
    if deviation == 0:
        return torch.full_like(weights, -_BLUE / (_RED - _BLUE))
    above = (weights - weights.mean()) / deviation
    return ((above - _BLUE) / (_RED - _BLUE)).clamp(0, 1)
