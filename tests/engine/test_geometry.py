"""Euler angles and rotations: formats.md section 6, refinement.md sections 1.4 and 1.6."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.engine import geometry

DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 4e-6, torch.float64: 1e-14}


def rotations(n: int = 500, dtype: torch.dtype = torch.float64) -> Tensor:
    return geometry.random_rotations(n, torch.Generator().manual_seed(7), dtype)


def about(axis: str, angle_deg: float) -> Tensor:
    """An active rotation by the right-hand rule."""
    unit = torch.eye(3, dtype=torch.float64)["xyz".index(axis)][None]
    return geometry.rotation_about(unit, torch.deg2rad(torch.tensor([angle_deg]).double()))[0]


def test_rotation_about_turns_by_the_right_hand_rule() -> None:
    x, y, z = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(about("z", 90.0) @ x, y)
    torch.testing.assert_close(about("x", 90.0) @ y, z)
    torch.testing.assert_close(about("y", 90.0) @ z, x)


def test_the_pose_is_three_passive_turns_z_y_z() -> None:
    rot, tilt, psi = 25.0, 70.0, -130.0
    pose = geometry.matrix_from_euler(torch.tensor([[rot, tilt, psi]], dtype=torch.float64))[0]
    # A passive turn of the frame is the active turn of the vectors the other way.
    expected = about("z", -psi) @ about("y", -tilt) @ about("z", -rot)
    torch.testing.assert_close(pose, expected)


def test_the_third_row_is_the_viewing_direction() -> None:
    angles = torch.tensor([[30.0, 60.0, 11.0], [-120.0, 5.0, 200.0]], dtype=torch.float64)
    torch.testing.assert_close(
        geometry.matrix_from_euler(angles)[:, 2], geometry.view_direction(angles[:, :2])
    )


def test_psi_multiplies_from_the_left_and_rot_from_the_right() -> None:
    def pose(rot: float, tilt: float, psi: float) -> Tensor:
        return geometry.matrix_from_euler(torch.tensor([[rot, tilt, psi]]).double())[0]

    torch.testing.assert_close(pose(20, 40, 60), pose(0, 0, 50) @ pose(20, 40, 10))
    torch.testing.assert_close(pose(20, 40, 60), pose(15, 40, 60) @ pose(5, 0, 0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_euler_angles_of_random_rotations_give_them_back(dtype: torch.dtype) -> None:
    poses = rotations(dtype=dtype)
    angles = geometry.euler_from_matrix(poses)
    assert angles.dtype == dtype
    assert bool((angles[:, 1] >= 0).all() and (angles[:, 1] <= 180).all())
    back = geometry.matrix_from_euler(angles)
    assert float((back - poses).abs().max()) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-5, 1e-3, 179.9999, 180.0])
def test_euler_angles_stay_exact_next_to_the_poles(tilt: float, dtype: torch.dtype) -> None:
    angles = torch.tensor([[37.0, tilt, -12.0], [-100.0, tilt, 75.0]], dtype=torch.float64)
    poses = geometry.matrix_from_euler(angles).to(dtype)
    back = geometry.matrix_from_euler(geometry.euler_from_matrix(poses))
    assert float((back - poses).abs().max()) < TOLERANCE[dtype]


def test_at_the_poles_rot_is_zero_and_psi_takes_all() -> None:
    angles = torch.tensor([[20.0, 0.0, 15.0], [20.0, 180.0, 15.0]], dtype=torch.float64)
    found = geometry.euler_from_matrix(geometry.matrix_from_euler(angles))
    expected = torch.tensor([[0.0, 0.0, 35.0], [0.0, 180.0, -5.0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_directions_and_their_angles_are_inverse() -> None:
    directions = rotations(200)[:, 2]
    angles = geometry.angles_from_direction(directions)
    torch.testing.assert_close(geometry.view_direction(angles), directions)
    pole = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    assert geometry.angles_from_direction(pole).tolist() == [[0.0, 0.0], [0.0, 180.0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("angle_deg", [0.0, 1e-3, 1.0, 90.0, 179.99, 180.0])
def test_distance_is_the_angle_between_poses(angle_deg: float, dtype: torch.dtype) -> None:
    poses = rotations(50)
    turns = geometry.rotation_about(
        rotations(50)[:, 0], torch.full((50,), angle_deg, dtype=torch.float64).deg2rad()
    )
    found = geometry.rotation_distance_deg((turns @ poses).to(dtype), poses.to(dtype))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-6
    torch.testing.assert_close(found, torch.full_like(found, angle_deg), atol=tolerance, rtol=0)


def test_random_rotations_are_uniform_and_seeded() -> None:
    poses = rotations(20000)
    identity = torch.eye(3, dtype=torch.float64).expand_as(poses)
    torch.testing.assert_close(poses @ poses.transpose(1, 2), identity)
    torch.testing.assert_close(torch.linalg.det(poses), torch.ones(20000, dtype=torch.float64))
    # Uniform: every entry has mean 0 and mean square 1/3.
    assert float(poses.mean(0).abs().max()) < 5 * (1 / 3 / 20000) ** 0.5
    assert float(((poses**2).mean(0) - 1 / 3).abs().max()) < 5 * (4 / 45 / 20000) ** 0.5
    # The angle from the identity has the density (1 - cos a) / pi: its mean is 126.476 degrees.
    mean = float(geometry.rotation_distance_deg(poses, identity).mean())
    assert abs(mean - (90 + 360 / torch.pi**2)) < 1.0
    assert torch.equal(rotations(5), rotations(5))


def test_optics_matrices_undo_the_magnification_and_scale_frequencies() -> None:
    poses = rotations(4)
    magnification = torch.tensor([[[1.02, 0.01], [-0.02, 0.97]]], dtype=torch.float64)
    scale = torch.tensor([0.8], dtype=torch.float64)
    folded = geometry.optics_matrices(poses, magnification, scale)
    k = torch.tensor([3.0, -2.0, 0.0], dtype=torch.float64)
    sampled = torch.linalg.solve(folded, k.expand(4, 3))
    distorted = torch.cat([magnification[0] @ k[:2], k[2:]]) / 0.8
    torch.testing.assert_close(sampled, poses.transpose(1, 2) @ distorted)


def test_empty_batches() -> None:
    nothing = torch.zeros(0, 3)
    poses = geometry.matrix_from_euler(nothing)
    assert poses.shape == (0, 3, 3)
    assert geometry.euler_from_matrix(poses).shape == (0, 3)
    assert geometry.rotation_distance_deg(poses, poses).shape == (0,)
