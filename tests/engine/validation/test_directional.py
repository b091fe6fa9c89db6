"""Resolution by direction against truth: a missing cone, an ellipsoid, and no anisotropy at all."""

import math

import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.validation import cells, directional

SIZE = 64


def transforms(expected, seed=0):
    """Pairs of white transforms whose coefficients correlate as wanted."""
    first, other = (
        fourier.forward(
            torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(seed + n)), 3
        )
        for n in (0, 1)
    )
    return first, expected * first + (1 - expected**2).sqrt() * other


def frequencies():
    k = fourier.indices((SIZE,) * 3, 3).double()
    radius = k.norm(dim=-1).clamp(min=1e-9)
    return k / radius[..., None], radius


def conical(expected, seed=0):
    return directional.conical_fsc(cells.cell_sums(*transforms(expected, seed)))


def test_a_missing_cone_is_found_where_it_is():
    """Nothing within 50 degrees of z: axes up to 30 from z see nothing, beyond 70 all there is."""
    unit, _ = frequencies()
    missing = unit[..., 2].abs() > math.cos(math.radians(50))
    curves = conical(torch.where(missing, 0.0, 0.6))
    from_z = torch.rad2deg(torch.acos(directional.axes()[:, 2].abs().clamp(max=1)))
    inside, outside = curves[from_z < 28, 16:30], curves[from_z > 72, 16:30]
    # A cone at shell 16 holds about 300 coefficients with its neighbours.
    assert float(inside.mean()) == pytest.approx(0, abs=0.02)
    assert float(outside.mean()) == pytest.approx(0.6, abs=0.02)
    assert float((inside - inside.mean(0)).std()) < 0.06
    reached = directional.shells_reached(curves)
    filled = directional.occupancy(reached, SIZE // 2 + 1)[20]
    between = ((from_z > 28) & (from_z < 72)).double().mean()
    least = float((from_z >= 72).double().mean())
    assert least <= float(filled) <= least + float(between)
    assert directional.anisotropy(reached).worst < 8
    assert float((reached[from_z > 72] == SIZE // 2).double().mean()) > 0.97


def ellipsoid(across, along):
    """Correlations that fall through 0.143 on an ellipsoid around z, steeply."""
    unit, radius = frequencies()
    stretched = ((unit[..., :2] ** 2).sum(-1) / across**2 + unit[..., 2] ** 2 / along**2).rsqrt()
    return torch.sigmoid((stretched - radius) * 2 + math.log(0.143 / 0.857))


def test_the_resolution_of_an_ellipsoid_is_measured_along_each_axis():
    curves = conical(ellipsoid(24, 12))
    reached = directional.shells_reached(curves)
    height = directional.axes()[:, 2].abs()
    assert float(reached[height < 0.1].mean()) == pytest.approx(24, rel=0.04)
    # 20 degrees off the short axis the ellipsoid is 9 % further out; a cone averages over them.
    assert 12 < float(reached[height > 0.98].mean()) < 13.5
    found = directional.anisotropy(reached)
    flat = 2 * math.pi * 24**2 * (1 + (1 - 0.75) / 0.75**0.5 * math.atanh(0.75**0.5))
    wanted = math.pi ** (1 / 3) * (6 * 4 / 3 * math.pi * 24**2 * 12) ** (2 / 3) / flat
    assert found.sphericity == pytest.approx(wanted, abs=0.02)
    assert found.ratio == pytest.approx(24 / 13.3, rel=0.12)


def test_an_isotropic_map_is_as_uneven_as_chance_makes_it():
    """The estimate of chance comes from other noise than what it is compared with."""
    _, radius = frequencies()
    expected = torch.sigmoid((20 - radius) / 3)
    ratios, by_chance = [], []
    for seed in (0, 10, 20):
        sums = cells.cell_sums(*transforms(expected, seed))
        noise = conical(torch.zeros_like(expected), seed + 5)
        found = directional.anisotropy(directional.shells_reached(directional.conical_fsc(sums)))
        chance = directional.by_chance(sums.curve(), noise, 4)
        even = directional.anisotropy(directional.shells_reached(chance))
        ratios.append(found.ratio - 1)
        by_chance.append(even.ratio - 1)
        assert found.sphericity > 0.97
    assert 0.01 < sum(ratios) / 3 < 0.2
    assert sum(by_chance) / sum(ratios) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("half_axis", [0.5, 1.0, 2.0])
def test_sphericity_is_that_of_geometry(half_axis):
    unit = directional.axes()
    radius = ((unit[:, :2] ** 2).sum(1) + unit[:, 2] ** 2 / half_axis**2).rsqrt()
    if half_axis < 1:
        e = math.sqrt(1 - half_axis**2)
        surface = 2 * math.pi * (1 + (1 - e * e) / e * math.atanh(e))
    elif half_axis > 1:
        e = math.sqrt(1 - 1 / half_axis**2)
        surface = 2 * math.pi * (1 + half_axis / e * math.asin(e))
    else:
        surface = 4 * math.pi
    wanted = math.pi ** (1 / 3) * (8 * math.pi * half_axis) ** (2 / 3) / surface
    assert directional.sphericity(unit, radius) == pytest.approx(wanted, abs=3e-3)


def test_a_direction_without_resolution_makes_sphericity_zero():
    radius = torch.ones(len(directional.axes()), dtype=torch.float64)
    radius[5] = 0
    assert directional.sphericity(directional.axes(), radius) == 0


def test_curves_cross_between_shells():
    curve = torch.tensor([1.0, 0.9, 0.243, 0.043, 0.5])
    assert directional.crossing(curve) == pytest.approx(2.5)
    assert directional.crossing(torch.ones(5)) == 4
    assert directional.crossing(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(0.857)


def test_occupancy_counts_directions():
    found = directional.occupancy(torch.tensor([1.0, 2.0, 2.5, 4.0], dtype=torch.float64), 6)
    assert found.tolist() == [1, 1, 0.75, 0.25, 0.25, 0]


def test_the_sphere_is_cut_into_triangles_once():
    """Euler: n points have 2 n - 4 faces; together they are nearly the sphere."""
    unit = directional.axes()
    faces = directional._triangles(unit)
    assert len(faces) == 2 * len(unit) - 4
    a, b, c = unit[faces].unbind(1)
    surface = float(torch.linalg.cross(b - a, c - a).norm(dim=-1).sum()) / 2
    assert surface == pytest.approx(4 * math.pi, rel=0.01)
