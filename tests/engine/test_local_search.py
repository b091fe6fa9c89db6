"""The list of near directions is what the whole grid tells."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import asymmetric_unit, geometry, healpix, local_search, sampling


def directions(n: int) -> torch.Tensor:
    return geometry.random_rotations(n, torch.Generator().manual_seed(6), torch.float64)[:, 2]


@pytest.mark.parametrize(
    ("order", "sigma_deg", "point_group"),
    [
        (1, 20.0, "C1"),
        (3, 5.0, "C1"),
        (4, 3.75, "D2"),
        (4, 2.0, "I1"),
        (3, 8.0, "C3"),
        (3, 5.0, "TD"),
    ],
)
def test_pairs_are_those_of_the_whole_grid(order: int, sigma_deg: float, point_group: str) -> None:
    current = directions(20)
    found = local_search.neighbours(current, order, sigma_deg, point_group)
    pixels = asymmetric_unit.pixels(order, point_group)
    grid = geometry.view_direction(healpix.directions(order, pixels))
    whole = sampling.local_directions(current, grid, sigma_deg, point_group)
    listed = torch.zeros_like(whole)
    listed[found.particle, torch.searchsorted(pixels, found.pixel)] = found.weight
    torch.testing.assert_close(listed, whole, atol=1e-6, rtol=0)


def test_a_fine_order_keeps_about_thirty_directions() -> None:
    current = directions(50)
    sigma = 2 * healpix.spacing_deg(8)
    found = local_search.neighbours(current, 7, sigma)
    count = torch.bincount(found.particle, minlength=50).double()
    assert 25 < float(count.mean()) < 35
    total = torch.zeros(50, dtype=torch.float64).index_add(0, found.particle, found.weight)
    torch.testing.assert_close(total, torch.ones(50, dtype=torch.float64))


def test_the_nearest_is_taken_where_none_is_near() -> None:
    current = directions(12)
    found = local_search.neighbours(current, 1, 0.01, "C2")
    assert found.particle.tolist() == list(range(12))
    assert found.weight.tolist() == [1.0] * 12
    grid = geometry.view_direction(healpix.directions(1, asymmetric_unit.pixels(1, "C2")))
    whole = sampling.local_directions(current, grid, 0.01, "C2")
    nearest = asymmetric_unit.pixels(1, "C2")[whole.argmax(1)]
    assert found.pixel.tolist() == nearest.tolist()


def test_no_particles() -> None:
    found = local_search.neighbours(directions(5)[:0], 4, 3.0, "D3")
    assert len(found.particle) == len(found.pixel) == len(found.weight) == 0
