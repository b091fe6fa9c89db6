"""How much the poses of particles changed between two iterations (refinement.md section 5.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import geometry, symmetry
from vitreous.engine.refinement.state import Assignments

_IN_CACHE = 2**14  # particles compared at a time


@dataclass(frozen=True)
class Changes:
    """Means over particles.

    Parameters
    ----------
    angle_deg
        Mean angle between the axes of the old and the new pose, the nearest of symmetry mates;
        in 2D the change of psi.
    shift_A
        Root mean square of one component of the shifts.
    class_
        Fraction of the particles that went to another class.
    """

    angle_deg: float
    shift_A: float
    class_: float


def between(
    old: Assignments,
    new: Assignments,
    *,
    ndim: int = 3,
    point_group: str = "C1",
    rows: NDArray[np.int64] | None = None,
) -> Changes:
    """Measure what an expectation step changed.

    Parameters
    ----------
    old, new
        Before and after, same particles in the same order.
    ndim
        Of the references.
    point_group
        Poses that are mates of each other are the same.
    rows
        Particles of this iteration; all by default.
    """
    chosen = np.arange(len(old)) if rows is None else rows
    if len(chosen) == 0:
        return Changes(0.0, 0.0, 0.0)
    before, after = old.angles_deg[chosen], new.angles_deg[chosen]
    if ndim == 2:
        angle = np.abs((after[:, 2] - before[:, 2] + 180) % 360 - 180)
    else:
        operators = symmetry.operators(point_group)
        angle = axes_distance_deg(
            torch.from_numpy(before), torch.from_numpy(after), operators
        ).numpy()
    shift = new.origin_A[chosen] - old.origin_A[chosen]
    switched = new.class_[chosen] != old.class_[chosen]
    return Changes(
        float(angle.mean()),
        float(np.sqrt((shift**2).sum() / (2 * len(chosen)))),
        float(switched.mean()),
    )


def axes_distance_deg(
    first_deg: Float[Tensor, "n 3"],
    second_deg: Float[Tensor, "n 3"],
    operators: Float[Tensor, "g 3 3"],
) -> Float[Tensor, " n"]:
    """Return the mean angle between the axes of two poses, of the nearest symmetry mates.

    Parameters
    ----------
    first_deg, second_deg
        Euler angles.
    operators
        Of the object; mates of a pose are those of `symmetry.mates`.
    """
    flat = operators.reshape(len(operators), 9).T.to(first_deg)
    hand = torch.linalg.det(operators).sign().to(first_deg)
    pairs = zip(torch.split(first_deg, _IN_CACHE), torch.split(second_deg, _IN_CACHE), strict=True)
    parts = [_nearest(first, second, flat, hand) for first, second in pairs]
    return torch.cat(parts) if parts else first_deg.new_zeros(0)


def _nearest(first_deg: Tensor, second_deg: Tensor, flat: Tensor, hand: Tensor) -> Tensor:
    """Return the smallest mean angle over operators, which are ``9 g``; `hand` is -1 of mirrors."""
    first, second = geometry.matrix_from_euler(first_deg), geometry.matrix_from_euler(second_deg)
    total = first.new_zeros(len(first), flat.shape[1])
    for axis in range(3):
        # Row i of A R dot row i of B is the sum over j k of A_ij R_jk B_ik.
        outer = first[:, axis, :, None] * second[:, axis, None, :]
        cosine = outer.reshape(-1, 9) @ flat
        total += torch.acos((cosine * hand if axis == 2 else cosine).clamp_(-1, 1))
    return torch.rad2deg(total.amin(1)) / 3
