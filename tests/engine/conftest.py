"""Fixtures of the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import requirements
from fake_card import CARD, FakeCard
from interpreter import INTERPRETED


@pytest.fixture
def card() -> Iterator[torch.device]:
    """Return a graphics card: under Triton's interpreter one that only claims to be there."""
    if INTERPRETED:
        with FakeCard():
            yield CARD
    else:
        requirements.need("cuda")
        yield CARD
