"""What is kept, and what is not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.engine import keeping


def test_small_arrays_are_made_once_and_large_ones_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "MOST_VALUES", 100)

    @keeping.keep_small(2)
    def filled(shape: tuple[int, ...], value: float, *, dtype: torch.dtype) -> Tensor:
        return torch.full(shape, value, dtype=dtype)

    small = filled((10, 10), 1.0, dtype=torch.float32)
    assert filled((10, 10), 1.0, dtype=torch.float32) is small
    assert filled((10, 10), 2.0, dtype=torch.float32).mean() == 2
    assert filled((10, 10), 1.0, dtype=torch.float64).dtype == torch.float64
    large = filled((10, 11), 1.0, dtype=torch.float32)
    again = filled((10, 11), 1.0, dtype=torch.float32)
    assert again is not large
    assert torch.equal(again, large)
