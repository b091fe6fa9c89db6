"""Inputs for tests of slice kernels."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def random_planes(n: int, seed: int = 0) -> Float[Tensor, "n 3 2"]:
    """Return the first two columns of `n` random rotations: planes through the origin."""
    generator = torch.Generator().manual_seed(seed)
    matrices = torch.randn(n, 3, 3, generator=generator, dtype=torch.float64)
    orthogonal, _ = torch.linalg.qr(matrices)
    planes: Tensor = orthogonal[:, :, :2].float().contiguous()
    return planes
