"""Every version of gather and insert keeps the contract of kernels."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

import requirements
from vitreous.engine.kernels import reference, slices
from vitreous.testing.kernel_contract import KernelContract

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not HAS_TRITON, reason="needs Triton (pip install triton)")


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


@needs_triton
def test_triton_keeps_the_contract_under_its_interpreter():
    if INTERPRETED:
        pytest.skip("this is the interpreter")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-k", "TestTriton and not stretched and not 30-1", __file__],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
