"""Rotations of the simulator: written from formats.md section 6, shared with nothing else.

The engine has its own; a wrong sign in one of the two shows when they meet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitreous.errors import InputError

Array = npt.NDArray[np.float64]

_GOLDEN_I2 = ((0.525731, 0.0, 0.850651), (0.0, 0.356822, 0.934172))
_GROUPS: dict[str, tuple[tuple[int, tuple[float, float, float]], ...]] = {
    "T": ((3, (0, 0, 1)), (2, (0.0, 0.816496, 0.577350))),
    "O": ((4, (0, 0, 1)), (3, (1, 1, 1))),
    "I1": ((2, (1, 0, 0)), (5, (0.850651, 0, -0.525731)), (3, (0.934172, 0.356822, 0))),
    "I2": ((2, (0, 0, 1)), (5, _GOLDEN_I2[0]), (3, _GOLDEN_I2[1])),
    "I3": ((5, (0, 0, 1)), (2, (-0.525731, 0, 0.850651)), (3, (-0.491123, 0.356822, 0.794654))),
    "I4": ((2, (0.525731, 0, 0.850651)), (5, (0.894427, 0, 0.447214)),
           (3, (0.491123, 0.356822, 0.794654))),
}  # fmt: skip
_ORDER = {"T": 12, "O": 24, "I": 60}


def matrices(angles_deg: Array) -> Array:
    """Return the matrix A of each triple (rot, tilt, psi).

    Parameters
    ----------
    angles_deg
        ``(n, 3)``, degrees.

    Returns
    -------
    ndarray
        ``(n, 3, 3)``. A point of the object at p lies at A p in the frame of the image, whose z
        is the direction of the beam: image(x, y) = integral over z of V(A^-1 (x, y, z)).
    """
    a, b, g = np.radians(np.asarray(angles_deg, np.float64)).T
    ca, sa, cb, sb, cg, sg = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(g), np.sin(g)
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def operators(point_group: str) -> Array:
    """Return the rotations of a point group, ``(g, 3, 3)``, axes as RELION places them.

    Raises
    ------
    InputError
        A group that is not made of rotations alone, or no group at all.
    """
    generators, order = _generators(point_group)
    found = [np.eye(3)]
    for known in found:  # the list grows while it is walked
        for turn in generators:
            new = turn @ known
            if not any(np.abs(new - old).max() < 1e-3 for old in found):
                found.append(new)
            if len(found) > order:
                raise InputError(f"Point group {point_group} did not close; this is a bug.")
    return np.array([_nearest_rotation(matrix) for matrix in found])


@dataclass(frozen=True)
class Preference:
    """A direction of view that is commoner than others.

    Parameters
    ----------
    rot_deg, tilt_deg
        The direction, degrees.
    spread_deg
        Standard deviation about it, degrees.
    fraction
        Share of all particles, 0 to 1.
    """

    rot_deg: float
    tilt_deg: float
    spread_deg: float
    fraction: float


def random_angles(n: int, rng: np.random.Generator, preferences: tuple[Preference, ...]) -> Array:
    """Draw orientations: some about preferred views, the rest uniform over all rotations.

    Parameters
    ----------
    n
        How many.
    rng
        Source of randomness.
    preferences
        Their fractions sum to at most 1.

    Returns
    -------
    ndarray
        ``(n, 3)`` rot, tilt, psi in degrees: rot and psi in -180..180, tilt in 0..180.
    """
    rot = rng.uniform(-180, 180, n)
    tilt = np.degrees(np.arccos(rng.uniform(-1, 1, n)))
    psi = rng.uniform(-180, 180, n)
    edges = np.cumsum([wish.fraction for wish in preferences])
    choice = np.searchsorted(edges, rng.random(n), side="right")
    # Von Mises-Fisher on the sphere: cos(distance) by inversion; kappa = 1 / sd^2 when it is small.
    for number, wish in enumerate(preferences):
        mine = np.flatnonzero(choice == number)
        kappa = 1 / max(np.radians(wish.spread_deg), 1e-3) ** 2
        u = rng.random(len(mine))
        cosine = 1 + np.log(u + (1 - u) * np.exp(-2 * kappa)) / kappa
        around = rng.uniform(0, 2 * np.pi, len(mine))
        sine = np.sqrt(np.clip(1 - cosine**2, 0, None))
        local = np.stack([sine * np.cos(around), sine * np.sin(around), cosine], 1)
        turn = matrices(np.array([[wish.rot_deg, wish.tilt_deg, 0.0]]))[0]
        view = local @ turn  # the inverse of A takes z to the direction of view
        rot[mine] = np.degrees(np.arctan2(view[:, 1], view[:, 0]))
        tilt[mine] = np.degrees(np.arccos(np.clip(view[:, 2], -1, 1)))
    return np.stack([rot, tilt, psi], 1)


def _generators(point_group: str) -> tuple[list[Array], int]:
    name = point_group.strip().upper()
    name = "I2" if name == "I" else name
    if found := re.fullmatch(r"([CD])(\d{1,2})", name):
        kind, n = found[1], int(found[2])
        if n >= 1:
            turns = [_turn((0, 0, 1), n)] + ([_turn((1, 0, 0), 2)] if kind == "D" else [])
            return turns, n * (2 if kind == "D" else 1)
    if name in _GROUPS:
        return [_turn(axis, n) for n, axis in _GROUPS[name]], _ORDER[name[0]]
    raise InputError(
        f"Symmetry {point_group!r} cannot be built from a model; wanted Cn, Dn, T, O, I, I1, I2, "
        "I3 or I4. Groups with mirrors do not occur in molecules of one hand."
    )


def _turn(axis: tuple[float, ...], n: int) -> Array:
    """Return the rotation by 360/n degrees about an axis (Rodrigues)."""
    x, y, z = np.array(axis, np.float64) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2 * np.pi / n
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _nearest_rotation(matrix: Array) -> Array:
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(u @ vt)
