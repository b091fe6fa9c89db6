"""The two expectation steps that must agree, and how to ask them for one step or many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.refinement import changes, schedule, updates
from vitreous.engine.refinement import expectation as fast
from vitreous.engine.refinement.maximisation import Known, Outcome, maximise
from vitreous.engine.refinement.state import Assignments
from vitreous.engine.refinement.statistics import Sums
from vitreous.testing import oracle
from vitreous.testing.oracle.cases import Case, Recipe, make
from vitreous.testing.oracle.variants import VARIANTS, Variant

ENGINES: dict[str, Callable[..., tuple[Sums, Assignments]]] = {
    "oracle": oracle.expectation,
    "fast": partial(fast.expectation, exact=True),
}


def expect(engine: str, case: Case, half: int | None = None, **how) -> tuple[Sums, Assignments]:
    """Run an expectation step on a case."""
    return ENGINES[engine](case.data, case.state, case.settings, half, **how)


@cache
def variant(name: str) -> Variant:
    """Return a variant, made once."""
    return VARIANTS[name]()


@cache
def of_variant(engine: str, name: str) -> tuple[Sums, Assignments]:
    """Return what an engine makes of a variant, run once."""
    one = variant(name)
    return expect(engine, one.case, one.half, seeding=one.seeding)


def posed(recipe: Recipe, *, clean: bool = False) -> Case:
    """Return a case whose poses are known and kept, with no mask around the images."""
    case = make(replace(recipe, offset_error_A=0.0))
    if clean:
        case = with_images(case, case.clean)
    return case.with_settings(
        searching=replace(case.settings.searching, skip_align=True),
        solvent=replace(case.settings.solvent, diameter_A=1e4),
    )


def with_images(case: Case, images: list[Tensor]) -> Case:
    """Return a case with other images."""

    def read(rows: NDArray[np.int64]) -> Tensor:
        return torch.stack([images[row] for row in rows]).to(torch.float32)

    return replace(case, images=images, data=replace(case.data, read=read))


def iterate(engine: str, case: Case, n: int) -> tuple[Case, list[Outcome]]:
    """Run whole iterations: schedule, expectation of each half, maximisation."""
    outcomes = []
    for _ in range(n):
        state = schedule.begin_iteration(case.state, case.settings, len(case.data))
        state = schedule.update_sampling(state, case.settings)
        halves = (0, 1) if len(state.models) > 1 else (None,)
        sums, found = [], state.assignments
        for half in halves:
            one, after = expect(engine, replace(case, state=state), half)
            mine = np.ones(len(case.data), bool) if half is None else found.half == half
            found = merged(found, after, mine)
            sums.append(one)
        moved = changes.between(
            state.assignments, found, ndim=case.model.ndim, point_group=state.sampling.point_group
        )
        counts = updates.pixel_counts(case.data.optics, case.model.box_px, case.model.pixel_size_A)
        models, outcome = maximise(
            state, tuple(sums), case.settings, known=Known(pixel_counts=counts)
        )
        state = replace(state, models=models, assignments=found)
        case = replace(case, state=schedule.end_iteration(state, case.settings, moved))
        outcomes.append(outcome)
    return case, outcomes


def merged(old: Assignments, new: Assignments, rows: NDArray[np.bool_]) -> Assignments:
    """Return assignments with some rows taken from others."""
    columns = {}
    for one in fields(old):
        column = getattr(old, one.name).copy()
        column[rows] = getattr(new, one.name)[rows]
        columns[one.name] = column
    return replace(old, **columns)
