"""Every version of gather and insert keeps the contract of kernels."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import requirements
from interpreter import INTERPRETED, outside, run_tests
from vitreous.engine.kernels import reference, slices
from vitreous.testing.kernel_contract import KernelContract

HAS_TRITON = importlib.util.find_spec("triton") is not None


class TestReference(KernelContract):
    kernels = reference
    dtypes = (torch.float32, torch.float64)


@pytest.mark.skipif(slices.compiled() is None, reason="the package was built without a compiler")
class TestChosen(KernelContract):
    """On the CPU: the compiled kernels, and the reference where they cannot be used."""

    kernels = slices
    dtypes = (torch.float32, torch.float64)


class TestChosenOnCuda(KernelContract):
    kernels = slices
    device = "cuda"
    dtypes = (torch.float32, torch.float64)

    @pytest.fixture(autouse=True)
    def cuda(self):
        requirements.need("cuda")


if INTERPRETED and HAS_TRITON:

    class TestTriton(KernelContract):
        from vitreous.engine.kernels import triton_slices as kernels

        differentiable = False
        dimensions = (3,)


@outside
def test_triton_keeps_the_contract_under_its_interpreter():
    run_tests(__file__, "TestTriton and not stretched and not 30-1", may_skip=True)
