"""The expectation step on a graphics card gives what it gives on the processor.

Without a card Triton's interpreter computes, and tensors only claim to be on a card (`fake_card`);
with one the same tests run on it.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from fake_card import CARD, FakeCard, MixedError
from interpreter import outside, run_tests
from refinement_engines import variant
from vitreous.engine.refinement.expectation import expectation
from vitreous.testing.oracle.variants import VARIANTS

QUICK = (
    "2D", "2D, cross-correlation", "2D, no rotation", "2D, classes with weights and offsets",
    "no alignment", "local in auto-refine",
)  # fmt: skip
CLOSE = 1e-3  # of the largest value, as sums may differ from those of the oracle


@pytest.mark.parametrize(
    "name", [one if one in QUICK else pytest.param(one, marks=pytest.mark.slow) for one in VARIANTS]
)
def test_on_card_the_step_is_the_same(card: torch.device, name: str) -> None:
    one = variant(name)
    args = one.case.data, one.case.state, one.case.settings, one.half
    found, ours = expectation(*args, seeding=one.seeding, device=card)
    wanted, theirs = expectation(*args, seeding=one.seeding, exact=True)
    for field in fields(theirs):
        left, right = getattr(ours, field.name), getattr(theirs, field.name)
        np.testing.assert_allclose(left, right, rtol=CLOSE, atol=CLOSE, err_msg=field.name)
    for field in fields(wanted.statistics):
        left, right = getattr(found.statistics, field.name), getattr(wanted.statistics, field.name)
        scale = float(right.abs().max())
        torch.testing.assert_close(left, right, rtol=CLOSE, atol=CLOSE * scale + 1e-12)
    for left, right in zip(sum(found.references, ()), sum(wanted.references, ()), strict=True):
        assert left.grid.device.type == "cpu"
        scale = float(right.grid.abs().max())
        # Rounding decides to which of two mates points with x = 0 go: weights of both count.
        assert float((left.weight - right.weight).sum().abs()) <= CLOSE * float(right.weight.sum())
        away = slice(1, None)
        torch.testing.assert_close(
            left.grid[..., away, :3], right.grid[..., away, :3], rtol=CLOSE, atol=CLOSE * scale
        )


def test_a_claimed_card_refuses_what_a_card_refuses() -> None:
    with FakeCard():
        here, there = torch.ones(3), torch.ones(3).to(CARD)
        assert there.device == CARD
        assert (there + 1).device == CARD
        assert (there * 2).cpu().device.type == "cpu"
        assert torch.zeros(2, device=CARD).device == CARD
        assert here[torch.tensor([0])].device.type == "cpu"
        assert there[torch.tensor([0])].device == CARD
        with pytest.raises(MixedError):
            here + there
        with pytest.raises(MixedError):
            torch.cat([here, there])
        with pytest.raises(MixedError):
            here[there > 0]
        with pytest.raises(TypeError, match="copy it first"):
            there.numpy()


@pytest.mark.parametrize("marker", ["not slow", pytest.param("slow", marks=pytest.mark.slow)])
@outside
def test_the_step_for_cards_agrees_under_the_interpreter(marker: str) -> None:
    run_tests(__file__, "on_card_the", marker)
