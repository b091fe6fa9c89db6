"""Sampling of Fourier space by views: values that are known in closed form."""

import math

import pytest
import torch

from vitreous.engine import geometry, symmetry
from vitreous.engine.validation import views

THIN = 0.005


def around_z(tilt_deg, n=8_000):
    rot = torch.linspace(0, 2 * math.pi, n + 1, dtype=torch.float64)[:-1]
    tilt = math.radians(tilt_deg)
    flat = math.sin(tilt) * torch.stack([rot.cos(), rot.sin()], 1)
    return torch.cat([flat, torch.full((n, 1), math.cos(tilt), dtype=torch.float64)], 1)


def uniform(n, seed=0):
    matrices = geometry.random_rotations(n, torch.Generator().manual_seed(seed), torch.float64)
    return matrices[:, 2]


def test_even_views_have_1():
    found = views.sampling(uniform(20_000), 0.04)
    assert found.factor == pytest.approx(1, abs=0.01)
    assert found.unsampled == 0
    assert found.by_chance == pytest.approx(1 - 1 / 400, abs=1e-4)
    assert float(found.density.mean()) == pytest.approx(1, abs=0.01)


def test_few_even_views_have_what_chance_gives():
    found = [views.sampling(uniform(2000, seed), 0.02) for seed in range(3)]
    for one in found:
        assert one.factor == pytest.approx(one.by_chance, abs=0.02)
    assert found[0].by_chance == pytest.approx(0.945, abs=0.01)


def test_side_views_have_8_over_pi_squared():
    found = views.sampling(around_z(90), THIN)
    assert found.factor == pytest.approx(8 / math.pi**2, abs=0.01)
    assert found.unsampled == 0


@pytest.mark.parametrize("tilt_deg", [28.63, 60])  # between rows of pixels
def test_views_at_one_tilt_leave_a_cone_empty(tilt_deg):
    """Sampling is 1 / sqrt(sin^2 tilt - u^2) up to the height u = sin tilt of k, and 0 beyond."""
    found = views.sampling(around_z(tilt_deg), THIN)
    seen = math.sin(math.radians(tilt_deg))
    assert found.unsampled == pytest.approx(1 - seen, abs=0.025)
    assert found.factor == pytest.approx(seen * 8 / math.pi**2, abs=0.025)


def test_one_view_sees_one_plane():
    found = views.sampling(torch.tensor([[0.0, 0.0, 1.0]]).double(), 0.2)
    assert found.unsampled == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("group", ["C4", "D2", "O", "CI"])
def test_symmetry_counts_every_mate_as_a_view(group):
    some = uniform(300, 4)
    rotations = symmetry.view_rotations(symmetry.operators(group))
    mates = torch.einsum("gij,nj->gni", rotations, some).reshape(-1, 3)
    ours, wanted = views.sampling(some, 0.1, group), views.sampling(mates, 0.1)
    assert ours.factor == pytest.approx(wanted.factor, abs=2e-3)
    assert ours.unsampled == wanted.unsampled
    assert ours.by_chance == pytest.approx(wanted.by_chance)


def test_many_views_are_thinned():
    side = around_z(90, 44_000)
    assert views.sampling(side, THIN).factor == pytest.approx(8 / math.pi**2, abs=0.01)
