"""Memory of a refinement is shared out before it starts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import EnvironmentMissing
from vitreous.programs.refine.memory import GIB, chunk_on_card, estimate

HALVES = Settings(split_halves=True, padding=2.0)


def test_what_is_free_decides_how_many_images_are_prepared_at_once() -> None:
    plenty = estimate(HALVES, 128, 64 * GIB)
    tight = estimate(HALVES, 128, 5 * GIB // 2)
    assert plenty.chunk_bytes == GIB
    assert tight.chunk_bytes < plenty.chunk_bytes
    assert tight.total_bytes <= 5 * GIB // 2


def test_references_grow_with_the_cube_of_the_box_and_with_the_classes() -> None:
    one = estimate(HALVES, 64, 64 * GIB).references_bytes
    assert 7 < estimate(HALVES, 128, 64 * GIB).references_bytes / one < 8.2
    three = replace(HALVES, n_classes=3)
    assert estimate(three, 64, 64 * GIB).references_bytes == 3 * one
    gradient = replace(HALVES, algorithm=Algorithm.GRADIENT)
    assert estimate(gradient, 64, 64 * GIB).references_bytes > 2 * one


def test_what_cannot_fit_is_refused_with_the_remedy() -> None:
    with pytest.raises(EnvironmentMissing, match=r"--pad 1.*fewer classes"):
        estimate(replace(HALVES, n_classes=10), 512, 16 * GIB)


def test_a_card_holds_what_its_memory_leaves_for_images() -> None:
    plenty, tight = (chunk_on_card(HALVES, 256, free * GIB) for free in (80, 8))
    assert plenty == 8 * GIB
    assert GIB // 16 <= tight < plenty
    assert tight <= (8 - 4) * GIB


def test_a_card_too_small_is_refused_with_the_remedy() -> None:
    with pytest.raises(EnvironmentMissing, match=r"graphics card.*--pad 1.*use_gpu=No"):
        chunk_on_card(HALVES, 512, 6 * GIB)
