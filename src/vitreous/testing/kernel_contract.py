"""What every version of the slice kernels must keep to, as a class of tests.

```python
class TestMyKernels(KernelContract):
    kernels = my_module  # has `gather` and `insert_` with the signatures of the reference
```
"""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from vitreous.engine.kernels import reference
from vitreous.testing.kernels import random_planes

# Side of the image, padding of the grid.
CASES = [(16, 2), (17, 2), (30, 1), (2, 1)]


class KernelContract:
    """Subclass it, name the kernels, and collect it with pytest."""

    kernels: ModuleType
    device = "cpu"
    differentiable = True
    dtypes: tuple[torch.dtype, ...] = (torch.float32,)
    dimensions: tuple[int, ...] = (2, 3)

    @pytest.fixture(params=[2, 3])
    def ndim(self, request: pytest.FixtureRequest) -> int:
        """Return the dimensions of the grid."""
        if request.param not in self.dimensions:
            pytest.skip(f"these kernels are not for {request.param} dimensions")
        return int(request.param)

    @pytest.fixture(params=[torch.float32, torch.float64], ids=["single", "double"])
    def dtype(self, request: pytest.FixtureRequest) -> torch.dtype:
        """Return the precision of planes and weights."""
        if request.param not in self.dtypes:
            pytest.skip(f"these kernels are not for {request.param}")
        dtype: torch.dtype = request.param
        return dtype

    @pytest.mark.parametrize(("size", "padding"), CASES)
    @pytest.mark.parametrize("shape", ["plane", "stretched", "curved"])
    def test_gather_equals_the_reference(
        self, size: int, padding: int, shape: str, ndim: int, dtype: torch.dtype
    ) -> None:
        """The same slices, whatever the box, and zero outside."""
        grid, planes = self._inputs(size, padding, shape, ndim, dtype)
        radius = size // 2
        wanted = reference.gather(grid, planes, size, radius, padding * radius)
        found = self.kernels.gather(grid, planes, size, radius, padding * radius)
        assert found.dtype == grid.dtype
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)

    @pytest.mark.parametrize(("size", "padding"), CASES)
    @pytest.mark.parametrize("shape", ["plane", "stretched", "curved"])
    def test_insert_equals_the_reference(
        self, size: int, padding: int, shape: str, ndim: int, dtype: torch.dtype
    ) -> None:
        """The same sums, with pixels of no weight and redundant ones left out."""
        grid, planes = self._inputs(size, padding, shape, ndim, dtype)
        values, weights = self._slices(len(planes), size, dtype)
        wanted = torch.zeros(*grid.shape, 4, dtype=dtype, device=self.device)
        found = wanted.clone()
        radius = size // 2
        reference.insert_(wanted, planes, values, weights, radius, padding * radius)
        self.kernels.insert_(found, planes, values, weights, radius, padding * radius)
        assert wanted.abs().max() > 0
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("size", [16, 17])
    @pytest.mark.parametrize("shape", ["plane", "curved"])
    def test_insert_is_the_adjoint_of_gather(
        self, size: int, shape: str, ndim: int, dtype: torch.dtype
    ) -> None:
        """<gather(grid), values> = <grid, insert(values)>, to 1e-5."""
        grid, planes = self._inputs(size, 2, shape, ndim, dtype)
        values, _ = self._slices(len(planes), size, dtype)
        values[:, size // 2 + 1 :, 0] = 0  # stored twice; inserted once
        radius = size // 2
        gathered = self.kernels.gather(grid, planes, size, radius, 2 * radius)
        inserted = torch.zeros(*grid.shape, 4, dtype=dtype, device=self.device)
        ones = torch.ones(values.shape, dtype=dtype, device=self.device)
        self.kernels.insert_(inserted, planes, values, ones, radius, 2 * radius)
        one = (gathered.conj() * values).real.sum()
        other = (torch.view_as_real(grid) * inserted[..., :2]).sum()
        scale = gathered.norm() * values.norm()
        assert abs(one - other) < 1e-5 * scale

    def test_the_gradient_of_gather_is_that_of_the_reference(
        self, ndim: int, dtype: torch.dtype
    ) -> None:
        """The gradient of the slices with respect to the grid."""
        if not self.differentiable:
            pytest.skip("these kernels leave gradients to those who choose between versions")
        gradients = []
        for kernels in (reference, self.kernels):
            grid, planes = self._inputs(16, 2, "plane", ndim, dtype)
            _, weights = self._slices(len(planes), 16, dtype)
            grid.requires_grad_()
            (kernels.gather(grid, planes, 16, 8, 16) * weights).real.sum().backward()
            gradients.append(grid.grad)
        torch.testing.assert_close(*gradients, rtol=0, atol=1e-4)

    def test_no_slices_give_no_slices_and_change_nothing(
        self, ndim: int, dtype: torch.dtype
    ) -> None:
        """An empty batch is a batch."""
        grid, planes = self._inputs(16, 2, "plane", ndim, dtype)
        values, weights = self._slices(0, 16, dtype)
        assert self.kernels.gather(grid, planes[:0], 16, 8, 16).shape == (0, 16, 9)
        sums = torch.ones(*grid.shape, 4, dtype=dtype, device=self.device)
        self.kernels.insert_(sums, planes[:0], values, weights, 8, 16)
        assert bool((sums == 1).all())

    def _inputs(
        self, size: int, padding: int, shape: str, ndim: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Return a grid of noise and eight poses."""
        width = padding * (size // 2) + 2
        generator = torch.Generator().manual_seed(1)
        sides = [2 * width - 1] * (ndim - 1) + [width]
        grid = torch.randn(sides, dtype=torch.complex128, generator=generator).to(
            dtype.to_complex()
        )
        planes = padding * random_planes(8)
        if ndim == 2:
            angles = torch.rand(8, generator=generator) * 6
            cos, sin = angles.cos(), angles.sin()
            planes = padding * torch.stack([cos, -sin, sin, cos], -1).view(8, 2, 2)
        if shape == "stretched":
            planes = planes * 1.07
        if shape == "curved" and ndim == 3:
            height = torch.linalg.cross(planes[..., 0], planes[..., 1])
            planes = torch.cat([planes, 0.02 * height[..., None]], -1)
        return grid.to(self.device), planes.to(self.device, dtype)

    def _slices(self, n: int, size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(2)
        shape = (n, size, size // 2 + 1)
        values = torch.randn(shape, dtype=torch.complex128, generator=generator)
        weights = torch.rand(shape, dtype=torch.float64, generator=generator) - 0.1
        return values.to(self.device, dtype.to_complex()), weights.to(self.device, dtype)
