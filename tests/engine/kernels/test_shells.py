"""Compiled passes over half transforms against plain torch, and against arrays of radii."""

from __future__ import annotations

import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.kernels import shells

CASES = [(2, 16), (2, 17), (3, 16), (3, 13)]


def transform_of(size: int, ndim: int, dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (size,) * (ndim - 1) + (size // 2 + 1, 2)
    return torch.view_as_complex(torch.randn(shape, generator=generator, dtype=dtype))


def passes(size: int, ndim: int, dtype: torch.dtype) -> list[torch.Tensor]:
    first, second = (transform_of(size, ndim, dtype, seed) for seed in (0, 1))
    curve = torch.rand(shells.squares_of(size, ndim), generator=torch.Generator().manual_seed(2))
    short = curve[: (size // 3) ** 2]
    return [
        shells.correlate(first, second, ndim),
        shells.amplitudes(first),
        shells.multiply_(first.clone(), curve),
        shells.multiply_(first.clone(), short),
        shells.randomise_(first.clone(), 4, torch.Generator().manual_seed(3)),
    ]


@pytest.mark.parametrize(("ndim", "size"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_is_the_reference(
    ndim: int, size: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shells.compiled() is None:
        pytest.skip("the package was built without a compiler")
    found = passes(size, ndim, dtype)
    monkeypatch.setattr(shells, "compiled", lambda: None)
    for one, other in zip(found, passes(size, ndim, dtype), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("ndim", "size"), CASES)
def test_shells_are_rounded_radii(ndim: int, size: int) -> None:
    transform = transform_of(size, ndim, torch.float64)
    index = fourier.shell_index(size, ndim)
    wanted = [transform.abs()[index == shell].sum() for shell in range(size // 2 + 1)]
    found = shells.by_shell(shells.amplitudes(transform), size // 2 + 1)
    torch.testing.assert_close(found, torch.stack(wanted))
    counts = [float((index == shell).sum()) for shell in range(size // 2 + 1)]
    assert shells.counts(size, ndim).tolist() == counts


@pytest.mark.parametrize(("ndim", "size"), CASES)
def test_curves_go_by_the_squared_length_to_the_corners(ndim: int, size: int) -> None:
    squares = torch.arange(shells.squares_of(size, ndim), dtype=torch.float64)
    ones = torch.ones_like(transform_of(size, ndim, torch.float64))
    found = shells.multiply_(ones.clone(), squares)
    torch.testing.assert_close(found.real, fourier.squared_radius(size, ndim).double())
    assert not shells.multiply_(ones, squares[:1]).any()


def test_phases_are_even_and_differ_by_seed() -> None:
    ones = torch.ones(48, 48, 25, dtype=torch.complex64)
    generator = torch.Generator().manual_seed(1)
    first, second = (shells.randomise_(ones.clone(), 3, generator) for _ in range(2))
    beyond = fourier.squared_radius(48, 3) >= 9
    assert torch.equal(first[~beyond], ones[~beyond])
    n = int(beyond.sum())
    for phases in (first, second, first * second.conj(), first[1:] * first[:-1].conj()):
        for power in (1, 2, 3):
            mean = (phases[beyond[: len(phases)]] ** power).mean()
            assert float(mean.abs()) < 4 / n**0.5
    torch.testing.assert_close(first.abs(), ones.real)


def test_batches_are_correlated_one_by_one() -> None:
    first, second = (torch.stack([transform_of(12, 2, torch.float32, s + k) for k in range(3)])
                     for s in (0, 10))  # fmt: skip
    for number, sums in enumerate(shells.correlate(first, second, 2)):
        torch.testing.assert_close(sums, shells.correlate(first[number], second[number], 2))
