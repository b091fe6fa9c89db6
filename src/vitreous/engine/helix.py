"""Helical symmetry: operators of units along a filament, and mates of poses.

Unit h of a filament along z is the asymmetric unit turned by h times the twist about z and moved
by h times the rise along z. A positive twist is the right-hand rule about +z: with a positive
rise the helix is right-handed. A filament with several starts also has Cn about its axis.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import geometry


def unit_numbers(n_units: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " u"]:
    """Return the numbers of `n_units` neighbouring units around number 0.

    From ``-(n - 1) // 2`` (towards zero) to ``n // 2``: one more above than below for even n.
    """
    return torch.arange(-((n_units - 1) // 2), n_units // 2 + 1, dtype=dtype)


def operators(
    twist_deg: float, rise_px: float, n_units: int, *, n_starts: int = 1
) -> tuple[Float[Tensor, "g 3 3"], Float[Tensor, "g 3"]]:
    """Return the rotations and translations of a helical object in its own frame.

    Parameters
    ----------
    twist_deg, rise_px
        From one unit to the next.
    n_units
        How many units along the axis.
    n_starts
        Order of the cyclic symmetry about the axis.

    Returns
    -------
    tuple
        Rotations R and shifts t (x y z): a point x of the object has the mates ``R x + t``.
        Starts run fastest; with one unit and one start they are the identity.
    """
    return units(unit_numbers(n_units), twist_deg, rise_px, n_starts=n_starts)


def units(
    numbers: Float[Tensor, " u"], twist_deg: float, rise_px: float, *, n_starts: int = 1
) -> tuple[Float[Tensor, "g 3 3"], Float[Tensor, "g 3"]]:
    """Return the operators of units by their numbers, which may be fractions; see `operators`."""
    starts = torch.arange(n_starts, dtype=torch.float64)
    angles = numbers[:, None] * twist_deg + starts[None] * (360 / n_starts)
    axis = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64).expand(angles.numel(), 3)
    shifts = torch.zeros(len(numbers), n_starts, 3, dtype=torch.float64)
    shifts[..., 2] = numbers[:, None] * rise_px
    return geometry.rotation_about(axis, torch.deg2rad(angles.flatten())), shifts.reshape(-1, 3)


def mates(
    poses: Float[Tensor, "n 3 3"],
    shifts_px: Float[Tensor, "n 2"],
    rotations: Float[Tensor, "g 3 3"],
    translations_px: Float[Tensor, "g 3"],
) -> tuple[Float[Tensor, "n g 3 3"], Float[Tensor, "n g 2"]]:
    """Return the poses and shifts that see a helical object exactly as the given ones do.

    Parameters
    ----------
    poses, shifts_px
        Pose A and the shift o that brings the image to the centre.
    rotations, translations_px
        Operators, from `operators`.

    Returns
    -------
    tuple
        Poses ``A R`` and shifts ``o - A t`` in x and y: a point x and its mate ``R x + t`` are
        alike, and what A sees at the one, A R sees at the other less the projection of t.
    """
    turned = poses[:, None] @ rotations[None]
    moved = (poses[:, None] @ translations_px[None, :, :, None])[..., :2, 0]
    return turned, shifts_px[:, None] - moved
