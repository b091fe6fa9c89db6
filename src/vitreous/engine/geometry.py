"""Rotations and poses: Euler angles, matrices, distances (formats.md section 6).

A pose is a matrix A = Rz(psi) Ry(tilt) Rz(rot) in the passive sense; it takes a vector of the
volume to the frame of the image. Its third row is the viewing direction, a slice samples the
volume at ``A^-1 (kx, ky, 0)``, an in-plane rotation multiplies A from the left, a rotation of the
object from the right. Vectors have components x y z. Degrees are for the border of the engine;
inside it, poses are matrices.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def matrix_from_euler(angles_deg: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Return the pose matrices of Euler angles.

    Parameters
    ----------
    angles_deg
        rot, tilt, psi in degrees, any range.

    Returns
    -------
    Tensor
        A = Rz(psi) Ry(tilt) Rz(rot), orthonormal.
    """
    rot, tilt, psi = torch.deg2rad(angles_deg).unbind(-1)
    ca, sa, cb, sb, cg, sg = rot.cos(), rot.sin(), tilt.cos(), tilt.sin(), psi.cos(), psi.sin()
    rows = [
        torch.stack([cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb], -1),
        torch.stack([-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb], -1),
        torch.stack([sb * ca, sb * sa, cb], -1),
    ]
    return torch.stack(rows, -2)


def euler_from_matrix(matrices: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """Return Euler angles of pose matrices.

    Where the viewing direction is the z axis, rot is 0 and psi is the whole in-plane rotation.

    Parameters
    ----------
    matrices
        Rotations.

    Returns
    -------
    Tensor
        rot and psi in [-180, 180], tilt in [0, 180], in degrees.
    """
    a = matrices
    sin_tilt = torch.hypot(a[:, 0, 2], a[:, 1, 2])
    tilt = torch.atan2(sin_tilt, a[:, 2, 2])
    psi = torch.atan2(a[:, 1, 2], -a[:, 0, 2])
    # Undoing psi leaves (-sin rot, cos rot, 0) as the second row: rot stays exact next to the
    # poles, where the third row alone would lose it.
    row = psi.sin()[:, None] * a[:, 0] + psi.cos()[:, None] * a[:, 1]
    rot = torch.atan2(-row[:, 0], row[:, 1])
    polar = sin_tilt < 16 * torch.finfo(a.dtype).eps
    sign = torch.where(a[:, 2, 2] > 0, 1.0, -1.0).to(a.dtype)
    psi = torch.where(polar, torch.atan2(-sign * a[:, 1, 0], sign * a[:, 0, 0]), psi)
    rot = torch.where(polar, torch.zeros_like(rot), rot)
    return torch.rad2deg(torch.stack([rot, tilt, psi], -1))


def view_direction(angles_deg: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Return the unit vectors of directions given as rot and tilt: the third row of the pose."""
    rot, tilt = torch.deg2rad(angles_deg).unbind(-1)
    return torch.stack([tilt.sin() * rot.cos(), tilt.sin() * rot.sin(), tilt.cos()], -1)


def angles_from_direction(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Return rot in [-180, 180] and tilt in [0, 180] of viewing directions; rot 0 at the poles."""
    x, y, z = directions.unbind(-1)
    sin_tilt = torch.hypot(x, y)
    rot = torch.where(sin_tilt > 0, torch.atan2(y, x), torch.zeros_like(x))
    return torch.rad2deg(torch.stack([rot, torch.atan2(sin_tilt, z)], -1))


def rotation_about(
    axes: Float[Tensor, "n 3"], angles_rad: Float[Tensor, " n"]
) -> Float[Tensor, "n 3 3"]:
    """Return the rotations that turn a vector about each axis by the right-hand rule."""
    unit = axes / axes.norm(dim=-1, keepdim=True)
    x, y, z = unit.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    sin, cos = angles_rad.sin()[:, None, None], angles_rad.cos()[:, None, None]
    identity = torch.eye(3, dtype=axes.dtype, device=axes.device)
    result: Tensor = cos * identity + sin * cross + (1 - cos) * unit[:, :, None] * unit[:, None, :]
    return result


def rotation_distance_deg(
    first: Float[Tensor, "n 3 3"], second: Float[Tensor, "n 3 3"]
) -> Float[Tensor, " n"]:
    """Return the angle of the rotation that takes one pose to the other, 0 to 180 degrees."""
    relative = first @ second.transpose(-1, -2)
    trace = relative.diagonal(dim1=-2, dim2=-1).sum(-1)
    # The sine keeps small angles, the cosine large ones.
    skew = relative - relative.transpose(-1, -2)
    sine = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], -1).norm(dim=-1) / 2
    return torch.rad2deg(torch.atan2(sine, (trace - 1) / 2))


def random_rotations(
    n: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "n 3 3"]:
    """Draw rotations uniformly (unit quaternions with normal components, normalised)."""
    quaternions = torch.randn(
        (n, 4), generator=generator, dtype=torch.float64, device=generator.device
    )
    quaternions = quaternions / quaternions.norm(dim=-1, keepdim=True)
    w, x, y, z = quaternions.unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], -1),
        torch.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], -1),
        torch.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], -1),
    ]
    return torch.stack(rows, -2).to(dtype)


def optics_matrices(
    rotations: Float[Tensor, "n 3 3"],
    magnification: Float[Tensor, "#n 2 2"],
    scale: Float[Tensor, "#n"],
) -> Float[Tensor, "n 3 3"]:
    """Fold the geometry of an optics group into poses (refinement.md section 1.6).

    Parameters
    ----------
    rotations
        Poses A.
    magnification
        Anisotropic magnification M of the image plane.
    scale
        Box times pixel size of the group over that of the reference.

    Returns
    -------
    Tensor
        ``M^-1 A scale``. No longer rotations: a slice must use their *inverse*, not their
        transpose.
    """
    embedded = torch.eye(3, dtype=rotations.dtype, device=rotations.device)
    embedded = embedded.repeat(len(magnification), 1, 1)
    embedded[:, :2, :2] = magnification
    poses: Tensor = torch.linalg.solve(embedded, rotations) * scale[:, None, None]
    return poses
