"""Bodies of a multi-body refinement: where they are, how they turn, which density is whose.

A body turns by residual angles about axes of its own (refinement.md section 13.1; Nakane et al.,
eLife 7, e36861 (2018))::

    A_b = A O^T Y E(rot, tilt, psi) O,   Y = E(0, 90, 0)^T

A is the pose of the whole, O turns the axis away from the body's partner onto z. What is left of
O, the turn about z, brings the x axis of the map as near to x as it can come: found from the poses
that RELION 3.1.3 writes, to 1e-7. With residual angles (0, 90, 0) a body moves with the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.boxing import centre_of_mass
from vitreous.engine.geometry import matrix_from_euler
from vitreous.errors import InputError

REST_DEG = (0.0, 90.0, 0.0)


def centre(mask: Float[Tensor, "z y x"]) -> Float[Tensor, " 3"]:
    """Return the centre of mass of a body's mask from the centre of the box, in whole voxels."""
    found = torch.tensor(centre_of_mass(mask), dtype=torch.float64)
    return torch.trunc(found + torch.copysign(torch.full_like(found, 0.5), found))


def frame(own: Float[Tensor, " 3"], partner: Float[Tensor, " 3"]) -> Float[Tensor, "3 3"]:
    """Return O of a body, from its centre and that of the body that it turns about.

    Raises
    ------
    InputError
        Both centres are at one place.
    """
    axis = own - partner
    length = float(axis.norm())
    if length == 0:
        raise InputError(
            "A body and the one that it turns about have their centres of mass at one voxel, so "
            "there is no axis between them."
        )
    axis = axis / length
    x, y, z = axis.tolist()
    across = (y * y + z * z) ** 0.5
    if across == 0:  # along x: any turn about it is as near
        rows = [[0.0, 0.0, -x], [0.0, 1.0, 0.0], [x, 0.0, 0.0]]
        return torch.tensor(rows, dtype=torch.float64)
    rows = [
        [across, -x * y / across, -x * z / across],
        [0.0, z / across, -y / across],
        [x, y, z],
    ]
    return torch.tensor(rows, dtype=torch.float64)


def poses(
    whole: Float[Tensor, "n 3 3"], residual_deg: Float[Tensor, "n 3"], frame: Float[Tensor, "3 3"]
) -> Float[Tensor, "n 3 3"]:
    """Return the pose matrices of a body.

    Parameters
    ----------
    whole
        Poses of the whole, A.
    residual_deg
        Rot, tilt, psi of the body.
    frame
        O.
    """
    rest = torch.tensor([REST_DEG], dtype=torch.float64)
    turned = matrix_from_euler(residual_deg.to(torch.float64))
    back = matrix_from_euler(rest)[0].T
    return whole.to(torch.float64) @ frame.T @ back @ turned @ frame


def shifts(
    whole_px: Float[Tensor, "n 2"],
    residual_px: Float[Tensor, "n 2"],
    whole: Float[Tensor, "n 3 3"],
    own: Float[Tensor, "n 3 3"],
    centre_px: Float[Tensor, " 3"],
) -> Float[Tensor, "n 2"]:
    """Return the shifts that go with `poses`: the body turns about its own centre.

    Parameters
    ----------
    whole_px, residual_px
        Shift that centres the whole, and that of the body.
    whole, own
        Poses of the whole and of the body.
    centre_px
        Of the body, from the centre of the box, in pixels of the shifts.
    """
    moved = (own.to(torch.float64) - whole.to(torch.float64)) @ centre_px.to(torch.float64)
    return whole_px + residual_px + moved[:, :2]


def apart(masks: Sequence[Float[Tensor, "z y x"]], first: int) -> list[Float[Tensor, "z y x"]]:
    """Return masks that nowhere add up to more than 1.

    Where bodies overlap, density belongs to the body `first`, and else to the earlier one.
    """
    covered = masks[first].clone()
    found = {first: masks[first]}
    for number, mask in enumerate(masks):
        if number != first:
            found[number] = torch.minimum(mask, 1 - covered).clamp(min=0)
            covered = (covered + found[number]).clamp(max=1)
    return [found[number] for number in range(len(masks))]


def most_inside(masks: Sequence[Float[Tensor, "z y x"]], keep: Float[Tensor, "z y x"]) -> int:
    """Return which body a mask holds most of, by volume."""
    return max(range(len(masks)), key=lambda number: float((masks[number] * keep).sum()))
