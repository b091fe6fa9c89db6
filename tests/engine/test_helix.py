"""Helical operators: a filament looks the same from the poses of its units."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import geometry, helix


@pytest.mark.parametrize(
    ("n", "numbers"), [(1, [0]), (2, [0, 1]), (3, [-1, 0, 1]), (4, [-1, 0, 1, 2])]
)
def test_units_stand_around_number_zero(n: int, numbers: list[int]) -> None:
    assert helix.unit_numbers(n).tolist() == numbers


def test_a_positive_twist_and_rise_make_a_right_handed_helix() -> None:
    rotations, shifts = helix.operators(90.0, 2.0, 2)
    x = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    torch.testing.assert_close(rotations[1] @ x + shifts[1], expected)


def test_operators_compose() -> None:
    rotations, shifts = helix.operators(27.0, 4.8, 5, n_starts=3)
    assert rotations.shape == (15, 3, 3)
    # Units -2 ... 2, starts fastest: unit 1 start 1 twice is unit 2 start 2.
    one, two = 3 * 3 + 1, 4 * 3 + 2
    torch.testing.assert_close(rotations[one] @ rotations[one], rotations[two])
    torch.testing.assert_close(rotations[one] @ shifts[one] + shifts[one], shifts[two])
    torch.testing.assert_close(rotations[6], torch.eye(3, dtype=torch.float64))


def test_fractions_of_a_unit() -> None:
    numbers = torch.tensor([-0.5, 0.25], dtype=torch.float64)
    rotations, shifts = helix.units(numbers, 40.0, 8.0)
    assert shifts[:, 2].tolist() == [-4.0, 2.0]
    whole, _ = helix.operators(10.0, 0.0, 2)
    torch.testing.assert_close(rotations[1], whole[1])


@pytest.mark.parametrize("n_starts", [1, 2])
def test_a_filament_projects_alike_from_all_mates(n_starts: int) -> None:
    """Points of a long filament, seen near its middle."""
    rotations, shifts = helix.operators(33.0, 3.0, 61, n_starts=n_starts)
    seeds = torch.tensor([[4.0, 0.0, 0.3], [1.0, 2.0, -0.5]], dtype=torch.float64)
    points = (seeds @ rotations.transpose(1, 2) + shifts[:, None]).reshape(-1, 3)
    poses = geometry.random_rotations(4, torch.Generator().manual_seed(3), torch.float64)
    offsets = torch.randn(4, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    few = helix.operators(33.0, 3.0, 5, n_starts=n_starts)
    mates, moved = helix.mates(poses, offsets, *few)
    near = points[:, 2].abs() < 60
    for pose, offset, copies, places in zip(poses, offsets, mates, moved, strict=True):
        # The shift o brings the image to the centre: what is seen lies at its place minus o.
        middle = (points[near] @ pose.T)[:, :2] - offset
        for copy, place in zip(copies, places, strict=True):
            again = (points @ copy.T)[:, :2] - place
            assert float(torch.cdist(middle, again).min(1).values.max()) < 1e-5


def test_an_empty_batch() -> None:
    nothing = torch.zeros(0, 3, 3, dtype=torch.float64)
    mates, shifts = helix.mates(nothing, nothing[:, :2, 0], *helix.operators(1.0, 1.0, 3))
    assert mates.shape == (0, 3, 3, 3)
    assert shifts.shape == (0, 3, 2)
