"""Every version of gather and insert does what the plain-torch reference does."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine.kernels import reference, slices
from vitreous.testing.kernels import random_planes


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def grid_for(size: int, padding: int, dtype=torch.complex64, seed=1):
    width = round(padding * (size // 2)) + 2
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2 * width - 1, 2 * width - 1, width, dtype=dtype, generator=generator)


def slices_for(n: int, size: int, seed=2):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(n, size, size // 2 + 1, dtype=torch.complex64, generator=generator)
    weights = torch.rand(n, size, size // 2 + 1, generator=generator) - 0.1
    return values, weights


needs_compiled = pytest.mark.skipif(
    slices.compiled() is None, reason="the package was built without a compiler"
)
SIZES = [(16, 1), (16, 2), (17, 2), (30, 2), (2, 1), (66, 2)]


@needs_compiled
@pytest.mark.parametrize(("size", "padding"), SIZES)
@pytest.mark.parametrize("magnification", [1.0, 1.07])
def test_compiled_gather_equals_the_reference(size, padding, magnification):
    grid = grid_for(size, padding)
    planes = padding * magnification * random_planes(20)
    radius = size // 2
    wanted = reference.gather(grid, planes, size, radius, padding * radius)
    found = slices.gather(grid, planes, size, radius, padding * radius)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@needs_compiled
@pytest.mark.parametrize(("size", "padding"), SIZES)
@pytest.mark.parametrize("magnification", [1.0, 1.07])
def test_compiled_insert_equals_the_reference(size, padding, magnification):
    planes = padding * magnification * random_planes(20)
    values, weights = slices_for(20, size)
    wanted = torch.zeros(*grid_for(size, padding).shape, 4)
    found = wanted.clone()
    radius = size // 2
    reference.insert_(wanted, planes, values, weights, radius, padding * radius)
    slices.insert_(found, planes, values, weights, radius, padding * radius)
    assert wanted.abs().max() > 0
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@needs_compiled
@pytest.mark.parametrize("spread", [1.0, 0.01])  # views from everywhere, and nearly one
def test_the_sums_of_an_insertion_do_not_depend_on_the_number_of_threads(spread):
    planes = 2 * random_planes(60)
    planes = planes[:1].lerp(planes, spread)
    values, weights = slices_for(60, 40)
    grids = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        grid = torch.zeros(*grid_for(40, 2).shape, 4)
        slices.insert_(grid, planes, values, weights, 20, 40)
        grids.append(grid)
    assert torch.equal(grids[0], grids[1])
    assert torch.equal(grids[0], grids[2])


@needs_compiled
def test_many_slices_of_a_grid_beyond_the_caches_are_what_few_are():
    size, n = 112, 190  # so many are worked through in tiles, and ten are not
    grid = grid_for(size, 2)
    planes = 2 * random_planes(n)
    planes[0], planes[1] = 2 * torch.eye(3)[:, :2], 2 * torch.eye(3)[:, 1:]  # along tiles
    planes[n // 2 :] *= 1.07  # beyond the sphere
    values, weights = slices_for(n, size)
    values[3, 5, 7], weights[3, 5, 7] = torch.nan, 0  # carries nothing
    wanted, sums = torch.zeros(*grid.shape, 4), []
    slices_wanted = []
    for part in torch.arange(n).split(10):
        slices_wanted.append(slices.gather(grid, planes[part], size, size // 2, size))
        slices.insert_(wanted, planes[part], values[part], weights[part], size // 2, size)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found = slices.gather(grid, planes, size, size // 2, size)
        torch.testing.assert_close(found, torch.cat(slices_wanted), rtol=0, atol=1e-4)
        sums.append(torch.zeros_like(wanted))
        slices.insert_(sums[-1], planes, values, weights, size // 2, size)
    assert torch.equal(*sums)
    torch.testing.assert_close(sums[0], wanted, rtol=0, atol=3e-4)
    assert not torch.equal(sums[0], wanted)  # another order of the sums, so this was in tiles


@needs_compiled
def test_the_loops_that_benchmarks_compare_with_do_the_same_work():
    size, n, module = 30, 12, slices.compiled()
    grid, planes = grid_for(size, 2), 2 * random_planes(n)
    values, weights = slices_for(n, size)
    found, sums = torch.zeros_like(values), torch.zeros(*grid.shape, 4)
    limits = (size // 2, float(size * size))
    module.plain_gather(torch.view_as_real(grid), planes, torch.view_as_real(found), *limits)
    module.plain_insert(sums, planes, torch.view_as_real(values), weights, *limits)
    wanted = reference.gather(grid, planes, size, size // 2, size)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    expected = torch.zeros_like(sums)
    reference.insert_(expected, planes, values, weights, size // 2, size)
    torch.testing.assert_close(sums, expected, rtol=0, atol=1e-4)


@needs_compiled
def test_slices_taken_together_or_one_by_one_are_the_same():
    grid = grid_for(100, 2)
    planes = 2 * random_planes(24)
    wanted = torch.cat([slices.gather(grid, planes[i : i + 1], 100, 50, 100) for i in range(24)])
    torch.set_num_threads(2)
    assert torch.equal(slices.gather(grid, planes, 100, 50, 100), wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [16, 17])
def test_insert_is_the_adjoint_of_gather(size, dtype):
    grid = grid_for(size, 2, torch.complex64 if dtype == torch.float32 else torch.complex128)
    planes = (2 * random_planes(8)).to(dtype)
    values, _ = slices_for(8, size)
    values = values.to(grid.dtype)
    values[:, size // 2 + 1 :, 0] = 0  # stored twice; inserted once
    gathered = slices.gather(grid, planes, size, size // 2, 2 * (size // 2))
    inserted = torch.zeros(*grid.shape, 4, dtype=dtype)
    ones = torch.ones(values.shape, dtype=dtype)
    slices.insert_(inserted, planes, values, ones, size // 2, 2 * (size // 2))
    one = (gathered.conj() * values).real.sum()
    other = (torch.view_as_real(grid) * inserted[..., :2]).sum()
    torch.testing.assert_close(one, other, rtol=1e-5, atol=0)


@needs_compiled
def test_gradient_of_the_compiled_gather_is_that_of_the_reference():
    planes = 2 * random_planes(5)
    weights, _ = slices_for(5, 16)
    gradients = []
    for gather in (reference.gather, slices.gather):
        grid = grid_for(16, 2).requires_grad_()
        (gather(grid, planes, 16, 8, 16) * weights).real.sum().backward()
        gradients.append(grid.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-4)


def test_no_slices_give_no_slices():
    assert slices.gather(grid_for(16, 2), random_planes(0), 16, 8, 16).shape == (0, 16, 9)


def test_two_dimensional_grids_rotate_in_the_plane():
    grid = grid_for(16, 2)[0]
    angle = torch.tensor(0.3)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(1, 2, 2)
    gathered = slices.gather(grid, 2 * turn, 16, 8, 16)
    as_volume = torch.zeros(grid_for(16, 2).shape, dtype=grid.dtype)
    as_volume[grid.shape[-1] - 1] = grid
    planes = torch.cat([2 * turn, torch.zeros(1, 1, 2)], 1)
    torch.testing.assert_close(gathered, slices.gather(as_volume, planes, 16, 8, 16))
