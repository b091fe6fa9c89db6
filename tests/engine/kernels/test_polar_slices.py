"""The compiled search over in-plane angles, against plain torch."""

from __future__ import annotations

import math

import pytest
import torch

from vitreous.engine.kernels import polar_slices
from vitreous.engine.kernels.polar_slices import PolarSlices

N, PIXELS = 5, 40


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some_slices(n_psi: int, n_directions: int, n_orders: int) -> PolarSlices:
    """Return slices whose frequencies go beyond what in-plane angles can tell apart."""
    counts = [1 + (3 * m) % 4 for m in range(n_orders)]
    columns = [2 * sum(counts[parity::2]) for parity in (0, 1)]
    coefficients = tuple(
        torch.complex(random(n, n_directions, seed=10 + m), random(n, n_directions, seed=90 + m))
        for m, n in enumerate(counts)
    )
    functions = (random(PIXELS, n, seed=n) / math.sqrt(PIXELS) for n in columns)
    return PolarSlices(tuple(range(n_orders)), *functions, coefficients, n_psi)


@pytest.mark.parametrize("n_psi", [12, 13, 24, 30])
@pytest.mark.parametrize("n_directions", [3, 16, 40])
@pytest.mark.parametrize("n_shifts", [1, 5, 13])
def test_the_kernel_finds_what_plain_torch_finds(
    n_psi: int, n_directions: int, n_shifts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices = some_slices(n_psi, n_directions, 21)
    moved = torch.complex(random(N, n_shifts, PIXELS, seed=1), random(N, n_shifts, PIXELS, seed=2))
    power = random(n_psi, N, n_directions, seed=3).abs()
    rotation_prior = random(n_directions * n_psi, seed=4)
    rotation_prior[: n_psi // 2] = -torch.inf
    shift_prior = random(N, 1, n_shifts, seed=5)
    for fraction, lost, most in ((0.999, 25.0, 0), (0.9, 25.0, 3), (1 - 1e-12, 8.0, 0)):
        how = {"fraction": fraction, "lost": lost, "most": most}
        found = slices.search(moved, power, rotation_prior, shift_prior, **how)
        with monkeypatch.context() as without:
            without.setattr(polar_slices, "compiled", lambda: None)
            wanted = slices.search(moved, power, rotation_prior, shift_prior, **how)
        assert torch.equal(found[0].long(), wanted[0].long())
        assert torch.equal(found[1].long(), wanted[1].long())
        for one, other in zip(found[2:], wanted[2:], strict=True):
            torch.testing.assert_close(one.double(), other.double(), rtol=2e-4, atol=2e-4)


def test_classes_have_shift_priors_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = some_slices(12, 2 * 9, 10)
    moved = torch.complex(random(N, 5, PIXELS, seed=1), random(N, 5, PIXELS, seed=2))
    power, prior = torch.zeros(12, N, 18), torch.zeros(18 * 12)
    shift_prior = 3 * random(N, 2, 5, seed=5)
    args = (moved, power, prior, shift_prior)
    found = slices.search(*args, fraction=0.999)
    monkeypatch.setattr(polar_slices, "compiled", lambda: None)
    wanted = slices.search(*args, fraction=0.999)
    assert torch.equal(found[1].long(), wanted[1].long())
    torch.testing.assert_close(found[2].double(), wanted[2].double(), rtol=2e-4, atol=2e-4)


def test_no_pose_at_all_is_told() -> None:
    slices = some_slices(12, 4, 6)
    moved = torch.zeros(1, 2, PIXELS, dtype=torch.complex64)
    prior = torch.full((4 * 12,), -torch.inf)
    counts, index, _, _ = slices.search(
        moved, torch.zeros(12, 1, 4), prior, torch.zeros(1, 1, 2), fraction=0.999
    )
    assert counts.tolist() == [0]
    assert len(index) == 0
