"""Asymmetric units: they cover the sphere once, and RELION searches the same directions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from vitreous.engine import asymmetric_unit, geometry, healpix, symmetry

GOLDEN = Path(__file__).parents[1] / "golden" / "asymmetric_units" / "directions.json"
ROTATIONS = [
    "C1", "C2", "C3", "C4", "C5", "C7", "C12",
    "D1", "D2", "D3", "D4", "D5", "D7", "T", "O", "I1", "I2", "I3", "I4", "I5",
]  # fmt: skip
MIRRORS = [
    "CI", "CS", "C2V", "C3V", "C2H", "C3H", "S4", "S6",
    "D2V", "D3V", "D3H", "TD", "TH", "OH", "IH", "I1H", "I5H",
]  # fmt: skip


def random_directions(n: int) -> torch.Tensor:
    return geometry.random_rotations(n, torch.Generator().manual_seed(4), torch.float64)[:, 2]


@pytest.mark.parametrize("name", ROTATIONS + MIRRORS)
def test_every_direction_has_exactly_one_mate_in_the_unit(name: str) -> None:
    operators = symmetry.view_rotations(symmetry.operators(name))
    directions = random_directions(2000)
    mates = (directions[:, None, None] @ operators)[:, :, 0]
    inside = asymmetric_unit.contains(mates.reshape(-1, 3), name).reshape(2000, -1)
    assert torch.equal(inside.sum(1), torch.ones(2000, dtype=torch.int64))


@pytest.mark.parametrize("name", ROTATIONS)
def test_the_grid_is_the_sphere_divided_by_the_order_of_the_group(name: str) -> None:
    """Within the points on the border, of which RELION keeps some twice and some never."""
    count = len(asymmetric_unit.pixels(4, name))
    ideal = healpix.n_pixels(4) / len(symmetry.operators(name))
    assert abs(count - ideal) <= 1.5 * ideal**0.5


@pytest.mark.parametrize("name", [name for name in ROTATIONS + MIRRORS if name != "C12"])
def test_directions_times_operators_cover_the_sphere_uniformly(name: str) -> None:
    """Every random direction has a grid point or its mate within about a pixel.

    Not in C12: no pixel of the rings next to the poles lies in a wedge of 30 degrees around x, so
    RELION's grid, which this is, leaves a hole of two steps there.
    """
    pixels = asymmetric_unit.pixels(3, name)
    grid = geometry.view_direction(healpix.directions(3, pixels))
    operators = symmetry.view_rotations(symmetry.operators(name))
    mates = (grid[:, None, None] @ operators).reshape(-1, 3)
    angle = torch.acos((random_directions(1000) @ mates.T).max(1).values.clamp(-1, 1))
    # RELION's thinning of borders leaves small gaps.
    assert float(angle.max()) < 1.9 * asymmetric_unit.max_pixel_radius_rad(3)


@pytest.mark.parametrize("name", sorted(json.loads(GOLDEN.read_text())))
def test_relion_searches_the_same_directions(name: str) -> None:
    theirs = json.loads(GOLDEN.read_text())[name]
    ours = asymmetric_unit.pixels(3, name).tolist()
    if name != "O":
        assert ours == theirs
        return
    # On the sides of O that are mates, rounding decides in RELION: it may keep either mate.
    assert len(ours) == len(theirs)
    differ = torch.tensor(sorted(set(ours) ^ set(theirs)), dtype=torch.int64)
    assert len(differ) <= 2
    swapped = geometry.view_direction(healpix.directions(3, differ))
    turned = symmetry.operators("O")[:, None] @ swapped[None, :, :, None]
    for mates in turned[..., 0].unbind(1):
        near = (mates @ swapped.T > 1 - 1e-9).any(0)
        assert bool(near.all())


def test_the_largest_pixel_radius_is_that_of_a_real_pixel() -> None:
    """No direction is further from its centre; corners are nearer to some other centre."""
    order = 2
    centres = geometry.view_direction(healpix.directions(order, torch.arange(192)))
    angle = torch.acos((random_directions(20000) @ centres.T).max(1).values.clamp(-1, 1))
    radius = asymmetric_unit.max_pixel_radius_rad(order)
    assert 0.6 * radius < float(angle.max()) <= radius


def test_c1_is_the_whole_sphere() -> None:
    assert torch.equal(asymmetric_unit.pixels(2, "C1"), torch.arange(192))
