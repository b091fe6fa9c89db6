"""Directions of the HEALPix grid that a symmetric object needs (refinement.md section 4.1).

For a group of rotations the unit is a closed spherical polygon, the one RELION uses, so that
tables of orientation priors keep their order; points of its border that are mates of each other
are then thinned out. For a group with mirrors it is a Dirichlet cell of what the operators do to
viewing directions: RELION halves the sphere there as if a mirrored view were the same image,
which leaves views out.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vitreous.engine import geometry, healpix, symmetry
from vitreous.engine.symmetry import GOLDEN, PointGroup

CLOSED = 1e-6
THINNED_BELOW = 4000
GENERIC = (0.27, 0.54, 0.80)


def pixels(order: int, point_group: str) -> Int64[Tensor, " n"]:
    """Return the HEALPix pixels of the asymmetric unit, in rising order.

    Parameters
    ----------
    order
        HEALPix order of the grid.
    point_group
        Such as ``C1`` or ``D7``.
    """
    return _pixels(order, point_group).clone()


@lru_cache(maxsize=8)  # seconds for fine grids of icosahedral groups, asked for in every iteration
def _pixels(order: int, point_group: str) -> Tensor:
    everything = torch.arange(healpix.n_pixels(order))
    directions = geometry.view_direction(healpix.directions(order, everything))
    inside = torch.nonzero(contains(directions, point_group))[:, 0]
    if len(inside) >= THINNED_BELOW or len(inside) == len(everything):
        return everything[inside]
    operators = symmetry.view_rotations(symmetry.operators(point_group))
    keep = _first_of_mates(directions[inside], operators, max_pixel_radius_rad(order) / 2)
    return everything[inside][keep]


def contains(directions: Float[Tensor, "n 3"], point_group: str) -> Bool[Tensor, " n"]:
    """Tell which directions lie in the closed asymmetric unit."""
    group = symmetry.parse(point_group)
    normals = sides(group)
    limits = torch.full((len(normals),), -CLOSED, dtype=torch.float64)
    if group.family in {"T", "O"} and not group.has_mirrors:
        limits[0] = CLOSED  # RELION leaves out the points on this side, mates of other sides
    return (directions.to(torch.float64) @ normals.T >= limits).all(-1)


def sides(group: PointGroup) -> Float[Tensor, "m 3"]:
    """Return the inward normals of the planes that bound the asymmetric unit."""
    if group.has_mirrors or group.family == "I5":
        return _dirichlet(symmetry.view_rotations(symmetry.operators(str(group))))
    if group.family in {"C", "D"}:
        return _wedge(group)
    return _polygon(_corners(group.family))


def max_pixel_radius_rad(order: int) -> float:
    """Return the largest distance from the centre of a pixel to its corner."""
    n_side = 2**order
    corner = torch.tensor([[45.0 / n_side, 0.0]], dtype=torch.float64)
    z = torch.tensor([2 / 3, 1 - (1 - 1 / n_side) ** 2 / 3], dtype=torch.float64)
    angles = torch.cat([corner, torch.zeros_like(corner)])
    angles[:, 1] = torch.rad2deg(torch.acos(z))
    first, second = geometry.view_direction(angles)
    return float(torch.acos((first * second).sum().clamp(-1, 1)))


def _wedge(group: PointGroup) -> Tensor:
    """Return the sides for Cn (around +x) and Dn (the upper half, around +y)."""
    half, normals = torch.pi / group.n, []
    middle = 0.0 if group.family == "C" else torch.pi / 2
    if group.n > 1:
        for side in (1, -1):
            angle = torch.tensor(middle + side * (half - torch.pi / 2), dtype=torch.float64)
            normals.append(torch.stack([angle.cos(), angle.sin(), torch.zeros_like(angle)]))
    if group.family == "D":
        normals.append(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    return torch.stack(normals) if normals else torch.zeros(0, 3, dtype=torch.float64)


def _corners(family: str) -> list[tuple[float, float, float]]:
    """Return the corners of the unit of T, O or I, on axes of the group."""
    p = GOLDEN
    # Vertices of an icosahedron with one of them on z: the next are `out` away from the axis.
    up, out = 1 / 5**0.5, 2 / 5**0.5
    x, y = out * p / 2, out * (1 - p * p / 4) ** 0.5  # at 36 degrees from the x axis
    near_x, far_y = out / (2 * p), out * (1 - 1 / (2 * p) ** 2) ** 0.5  # at 72 degrees
    return {
        "T": [(0.0, 0.0, 1.0), (0.0, 8**0.5, -1.0), (-(6**0.5), 2**0.5, 1.0)],
        "O": [(0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (-1.0, 1.0, 1.0)],
        "I1": [(-p, 0.0, 1.0), (-p, 0.0, -1.0), (-p * p, 1.0, 0.0)],
        "I2": [(1.0, 0.0, p), (-1.0, 0.0, p), (0.0, 1.0, p * p)],
        "I3": [(0.0, 0.0, 1.0), (-out, 0.0, up), (-out - near_x, far_y, 1 + 2 * up)],
        "I4": [(-x, y, up), (-x, -y, up), (-2 * x - out, 0.0, up)],
    }[family]


def _polygon(corners: list[tuple[float, float, float]]) -> Tensor:
    points = torch.tensor(corners, dtype=torch.float64)
    normals = torch.linalg.cross(points, points.roll(-1, 0))
    normals = torch.nn.functional.normalize(normals, dim=-1)
    inward: Tensor = normals * (normals @ points.sum(0)).sign()[:, None]
    return inward


def _dirichlet(operators: Tensor) -> Tensor:
    """Return the planes halfway between a generic point and its mates."""
    point = torch.tensor(GENERIC, dtype=torch.float64)
    normals = point - point @ operators
    normals = normals[normals.norm(dim=-1) > CLOSED]
    return torch.nn.functional.normalize(normals, dim=-1)


def _first_of_mates(directions: Tensor, operators: Tensor, radius_rad: float) -> Tensor:
    """Keep a direction unless a mate of one kept before it lies within the radius."""
    near = torch.zeros(len(directions), len(directions), dtype=torch.bool)
    identity = torch.eye(3, dtype=torch.float64)
    closeness = float(torch.cos(torch.tensor(radius_rad, dtype=torch.float64)))
    for operator in operators:
        if float((operator - identity).abs().max()) > CLOSED:
            near |= directions @ (directions @ operator).T > closeness
    near = torch.tril(near, diagonal=-1)
    keep = torch.ones(len(directions), dtype=torch.bool)
    for row in torch.nonzero(near.any(1))[:, 0].tolist():
        keep[row] = not bool((near[row] & keep).any())
    return keep
