"""Compiled passes over accumulators against plain torch."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import grids
from vitreous.engine.kernels import half_shells


@pytest.fixture
def grid(request: pytest.FixtureRequest) -> torch.Tensor:
    ndim, dtype = request.param
    shape = [2 * 12 - 1] * (ndim - 1) + [12, 4]
    values = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    values[..., 2] *= torch.rand(shape[:-1], generator=torch.Generator().manual_seed(1)) > 0.3
    return values


def passes(grid: torch.Tensor, padding: float, tables: torch.Tensor) -> list[torch.Tensor]:
    covered = torch.zeros(tables.shape[1], dtype=torch.float64)
    results = [*half_shells.weight_sums(grid, padding), half_shells.nearest_sums(grid, padding)]
    results.append(half_shells.count_reached(grid, padding, tables[3]))
    for rows in (slice(0, 9), slice(9, 23)):
        solved = half_shells.wiener_rows(grid, padding, rows, tables, covered)
        inside = grids.radius_of(grid[..., 2], rows) <= 10
        results.append(torch.view_as_real(solved * inside))
    return [*results, covered]


GRIDS = [(2, torch.float32), (3, torch.float32), (3, torch.float64)]


@pytest.mark.parametrize("grid", GRIDS, indirect=True)
@pytest.mark.parametrize("padding", [1.0, 2.0, 1.6])
def test_compiled_is_the_reference(
    grid: torch.Tensor, padding: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    if half_shells.compiled() is None:
        pytest.skip("the package was built without a compiler")
    n = half_shells.n_half_shells(grid, padding)
    tables = torch.rand(4, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = passes(grid, padding, tables)
    monkeypatch.setattr(half_shells, "compiled", lambda: None)
    expected = passes(grid, padding, tables)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert float(found[1].sum()) == int((grids.radius_of(grid[..., 2]) <= 10).sum())


@pytest.mark.parametrize("grid", [(3, torch.float32)], indirect=True)
def test_shells_are_those_of_the_radius(grid: torch.Tensor) -> None:
    total, count = half_shells.weight_sums(grid, 2.0)
    radius = grids.radius_of(grid[..., 2])
    for shell in range(len(total)):
        chosen = (radius >= shell) & (radius < shell + 1) & (radius <= 10)
        assert float(count[shell]) == int(chosen.sum())
        assert float(total[shell]) == pytest.approx(float(grid[..., 2][chosen].sum()), rel=1e-5)
