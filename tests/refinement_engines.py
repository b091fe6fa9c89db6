"""The two expectation steps that must agree, and how to ask them for a variant."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from vitreous.engine.refinement import expectation as fast
from vitreous.engine.refinement.state import Assignments
from vitreous.engine.refinement.statistics import Sums
from vitreous.testing import oracle
from vitreous.testing.oracle.cases import Case
from vitreous.testing.oracle.variants import VARIANTS, Variant

ENGINES: dict[str, Callable[..., tuple[Sums, Assignments]]] = {
    "oracle": oracle.expectation,
    "fast": fast.expectation,
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
