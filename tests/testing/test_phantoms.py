"""The phantoms are what they say: sampled, transformed and projected in closed form."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import fourier, geometry, symmetry
from vitreous.testing import phantoms


@pytest.mark.parametrize("size", [32, 33])
def test_the_transform_of_the_sampled_cluster_is_the_formula(size: int) -> None:
    phantom = phantoms.cluster(width_px=2.0, radius_px=4.0)
    found = fourier.forward(phantom.volume(size), 3)
    torch.testing.assert_close(found, phantom.transform(size), atol=1e-8 / size**3, rtol=0)
    torch.testing.assert_close(found[0, 0, 0].real * size**3, phantom.weights.sum())


@pytest.mark.parametrize("size", [32, 33])
def test_projections_and_their_transforms_agree(size: int) -> None:
    phantom = phantoms.cluster(width_px=2.0, radius_px=4.0)
    poses = geometry.random_rotations(3, torch.Generator().manual_seed(1), torch.float64)
    images = phantom.projections(poses, size)
    found = fourier.forward(images, 2)
    expected = phantom.projection_transforms(poses, size)
    torch.testing.assert_close(found, expected, atol=1e-8 / size**2, rtol=0)
    assert phantom.projections(poses[:0], size).shape == (0, size, size)


def test_the_projection_at_the_identity_is_the_sum_along_z() -> None:
    phantom = phantoms.cluster(width_px=2.0, radius_px=4.0)
    summed = phantom.volume(32).sum(0)
    image = phantom.projections(torch.eye(3, dtype=torch.float64)[None], 32)[0]
    torch.testing.assert_close(image, summed, atol=1e-9, rtol=0)


def test_a_slice_of_the_transform_is_the_projection() -> None:
    """Fourier slice theorem with the convention of poses: sample at A^-1 (kx, ky, 0)."""
    phantom = phantoms.cluster(width_px=2.0, radius_px=4.0)
    poses = geometry.random_rotations(2, torch.Generator().manual_seed(2), torch.float64)
    k = fourier.frequencies(16, 2, torch.float64).reshape(-1, 2)
    flat = torch.cat([k, torch.zeros_like(k[:, :1])], 1)
    for pose, expected in zip(poses, phantom.projection_transforms(poses, 16), strict=True):
        found = phantom.at(flat @ pose) / 16**2
        torch.testing.assert_close(found.reshape(16, 9), expected)


def test_turning_the_object_is_turning_the_pose() -> None:
    phantom = phantoms.cluster()
    pose, turn = geometry.random_rotations(2, torch.Generator().manual_seed(3), torch.float64)
    seen = phantom.turned(turn).projections(pose[None], 32)
    torch.testing.assert_close(seen, phantom.projections((pose @ turn)[None], 32))


@pytest.mark.parametrize("point_group", ["C3", "D2", "O", "C2V"])
def test_symmetric_clusters_stay_the_same_under_their_operators(point_group: str) -> None:
    phantom = phantoms.symmetric_cluster(point_group)
    volume = phantom.volume(24)
    for operator in symmetry.operators(point_group):
        torch.testing.assert_close(phantom.turned(operator).volume(24), volume)
    other = geometry.matrix_from_euler(torch.tensor([[20.0, 0.0, 0.0]], dtype=torch.float64))[0]
    assert float((phantom.turned(other).volume(24) - volume).abs().max()) > 0.1 * volume.max()


def test_the_cluster_has_no_symmetry_and_no_mirror() -> None:
    phantom = phantoms.cluster()
    volume = phantom.volume(24)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    for operator in (*symmetry.operators("O")[1:], mirror, -torch.eye(3, dtype=torch.float64)):
        assert (
            float((phantom.turned(operator).volume(24) - volume).abs().max()) > 0.3 * volume.max()
        )


def test_a_moved_object_is_shifted_in_its_transform() -> None:
    phantom = phantoms.cluster()
    shift = torch.tensor([1.3, -0.4, 2.2], dtype=torch.float64)
    found = fourier.shift(phantom.transform(32)[None], shift[None])[0]
    torch.testing.assert_close(phantom.moved(shift).transform(32), found, atol=1e-6, rtol=0)


def test_the_ball() -> None:
    ball = phantoms.Ball(9.0)
    volume = ball.volume(32)
    assert float(volume.sum()) == pytest.approx(4 / 3 * torch.pi * 9**3, rel=1e-3)
    found, formula = fourier.forward(volume, 3), ball.transform(32)
    low = fourier.shell_index(32, 3) < 8
    peak = float(formula.abs().max())
    # Averaging over a voxel damps the transform by a sinc of each frequency.
    k = fourier.frequencies(32, 3, torch.float64)
    damped = formula * torch.sinc(k).prod(-1)
    assert float((found - damped)[low].abs().max()) < 1e-3 * peak
    chord = ball.projection(32)
    assert float(chord[16, 16]) == 18.0
    assert float((volume.sum(0) - chord).abs().mean()) < 0.1
