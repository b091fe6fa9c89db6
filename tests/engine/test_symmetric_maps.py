"""Turning, symmetrising and aligning volumes against phantoms and RELION."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from vitreous.engine import boxing, fourier, geometry, symmetric_maps, symmetry
from vitreous.io import read_volume, write_volume
from vitreous.testing import phantoms

SLOWER = ("C2", "C7", "D3", "T", "O", "I1", "I3")
CLUSTER = phantoms.cluster(radius_px=7, width_px=1.8)


def one_rotation(seed: int) -> torch.Tensor:
    return geometry.random_rotations(1, torch.Generator().manual_seed(seed), torch.float64)[0]


@pytest.mark.parametrize("size", [28, 29])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_turned_volume_is_the_turned_object(size: int, dtype: torch.dtype) -> None:
    turn = one_rotation(1)
    shift = torch.tensor([1.5, -0.5, 2.0], dtype=torch.float64)
    found = symmetric_maps.rotate(CLUSTER.volume(size).to(dtype), turn, shift)
    assert found.dtype == dtype
    exact = CLUSTER.turned(turn).moved(shift).volume(size).to(dtype)
    linear = float((found - exact).norm() / exact.norm())
    fine = symmetric_maps.rotate(CLUSTER.volume(size).to(dtype), turn, shift, oversampling=2)
    assert linear < 0.08
    assert float((fine - exact).norm() / exact.norm()) < linear / 2.5


@pytest.mark.parametrize("size", [28, 29])
def test_quarter_turns_are_exact(size: int) -> None:
    volume = CLUSTER.volume(size)
    for operator in symmetry.operators("OH")[::3]:
        found = symmetric_maps.rotate(volume, operator)
        torch.testing.assert_close(found, CLUSTER.turned(operator).volume(size), atol=1e-7, rtol=0)


@pytest.mark.parametrize("point_group", ["C3", "D3", "T", "C2V"])
def test_a_symmetrised_map_has_the_symmetry(point_group: str) -> None:
    exact = CLUSTER.symmetrised(point_group).volume(28) / len(symmetry.operators(point_group))
    found = symmetric_maps.symmetrise(CLUSTER.volume(28), point_group, oversampling=2)
    assert float((found - exact).norm() / exact.norm()) < 0.02
    assert symmetric_maps.score(found, point_group) > 0.99


@pytest.mark.usefixtures("relion")
@pytest.mark.parametrize("point_group", ["C3", "D2", "O", "I1", "C3V"])
def test_relion_symmetrises_alike(tmp_path: Path, point_group: str) -> None:
    volume = CLUSTER.volume(28).float()
    write_volume(tmp_path / "in.mrc", volume.numpy(), 4.0)
    command = f"relion_image_handler --i in.mrc --o out.mrc --sym {point_group}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    theirs = torch.from_numpy(read_volume(tmp_path / "out.mrc").data.copy())
    ours = symmetric_maps.symmetrise(volume, point_group)
    assert float((ours - theirs).abs().max() / theirs.abs().max()) < 3e-5


def test_the_centre_of_mass_is_that_of_the_positive_density() -> None:
    shift = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    moved = CLUSTER.moved(shift).volume(28)
    expected = (CLUSTER.weights @ CLUSTER.centres_px) / CLUSTER.weights.sum() + shift
    torch.testing.assert_close(
        torch.tensor(boxing.centre_of_mass(moved - 1e-9), dtype=torch.float64),
        expected,
        atol=1e-3,
        rtol=0,
    )


def error_deg(total: torch.Tensor, point_group: str) -> float:
    """Largest angle between an axis of the turned object and the nearest of the group."""
    operators = symmetry.operators(point_group)
    turned = total @ operators @ total.T
    nearest = [
        min(geometry.rotation_distance_deg(one.expand_as(operators), operators).tolist())
        for one in turned
    ]
    return max(nearest)


@pytest.mark.parametrize(
    "point_group",
    ["C4", "D2", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOWER)],
)
def test_axes_are_found_from_any_orientation(point_group: str) -> None:
    phantom = phantoms.symmetric_cluster(point_group, radius_px=12, width_px=1.8, seed=3)
    turn = one_rotation(5)
    volume = phantom.turned(turn).volume(36).float()
    found = symmetric_maps.find_axes(volume, point_group)
    assert found.score > 0.995
    assert found.score > symmetric_maps.score(volume, point_group)
    assert error_deg(found.rotation.double() @ turn, point_group) < 0.3


def test_only_rot_turns_about_z() -> None:
    phantom = phantoms.symmetric_cluster("D3", radius_px=12, width_px=1.8, seed=3)
    turn = geometry.matrix_from_euler(torch.tensor([[23.0, 0.0, 0.0]], dtype=torch.float64))[0]
    found = symmetric_maps.find_axes(phantom.turned(turn).volume(36).float(), "D3", only_rot=True)
    again = symmetric_maps.find_axes(phantom.turned(turn).volume(36).float(), "D3", only_rot=True)
    assert torch.equal(found.rotation, again.rotation)
    assert float(found.rotation[2, 2]) == pytest.approx(1.0, abs=1e-6)
    assert error_deg(found.rotation.double() @ turn, "D3") < 0.3


def test_an_asymmetric_map_gets_a_low_score() -> None:
    small = phantoms.cluster(radius_px=6, width_px=1.5)
    found = symmetric_maps.find_axes(small.volume(20).float(), "D3")
    assert found.score < 0.9


@pytest.mark.parametrize("point_group", ["C3", "D2", "I1", "CS"])
def test_a_map_agrees_with_its_mates_as_far_as_it_has_the_symmetry(point_group: str) -> None:
    right = symmetric_maps.symmetrise(CLUSTER.volume(32), point_group, oversampling=2)
    assert float(symmetric_maps.mates_fsc(right, point_group)[1:9].min()) > 0.97
    # Noise in fine detail: the agreement ends where it begins, whatever the order of the group.
    noise = torch.randn(32, 32, 32, generator=torch.Generator().manual_seed(1), dtype=right.dtype)
    shells = fourier.shell_index(32, 3)
    fine = fourier.inverse(fourier.forward(noise, 3) * (shells >= 6), 3, 32)
    curve = symmetric_maps.mates_fsc(right + 3 * fine * right.std(), point_group)
    assert float(curve[1:4].min()) > 0.9
    assert float(curve[7:13].mean()) < 0.3
