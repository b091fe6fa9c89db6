"""Images prepared in compiled passes are those prepared step by step."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from vitreous.engine.kernels import particle_images
from vitreous.engine.refinement import images, preparation
from vitreous.testing.oracle.cases import Case
from vitreous.testing.oracle.variants import VARIANTS

needs_compiler = pytest.mark.skipif(
    particle_images.compiled() is None, reason="built without a compiler"
)


def prepared(case: Case, *, first: bool = False) -> list[images.Prepared]:
    """Prepare the images of each optics group."""
    model, groups = case.state.models[0], case.data.optics_group
    found = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        seen = images.view(case.data, case.state, case.settings, model, int(group))
        args = (case.data, rows, seen, model, case.state.assignments, case.settings)
        found.append(preparation.prepare(*args, first=first))
    return found


def both(case: Case, monkeypatch: pytest.MonkeyPatch, **kwargs: bool):
    """Return what compiled passes make, and what separate steps make."""
    fast = prepared(case, **kwargs)
    monkeypatch.setattr(particle_images, "compiled", lambda: None)
    return fast, prepared(case, **kwargs)


def check(fast: list[images.Prepared], slow: list[images.Prepared]) -> None:
    for one, other in zip(fast, slow, strict=True):
        for field in fields(images.Prepared):
            found, wanted = getattr(one, field.name), getattr(other, field.name)
            if isinstance(wanted, torch.Tensor):
                size = float(wanted.double().abs().max()) if wanted.numel() else 0.0
                torch.testing.assert_close(
                    found.double(), wanted.double(), rtol=1e-5, atol=2e-6 * size, msg=field.name
                )


@needs_compiler
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_variants(name: str, first: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    check(*both(VARIANTS[name]().case, monkeypatch, first=first))


@needs_compiler
def test_images_moved_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    case = VARIANTS["3D"]().case
    old, pixel_A = case.state.assignments, case.data.optics.pixel_size_A[0].item()
    origin_A = old.origin_A.copy()
    origin_A[:4] = np.array([[3.0, -2.0], [-15.0, 15.0], [16.0, 0.0], [-40.0, 900.0]]) * pixel_A
    case = case.with_state(assignments=replace(old, origin_A=origin_A))
    fast, slow = both(case, monkeypatch)
    check(fast, slow)
    assert not fast[0].u_re[2:4].any()


@needs_compiler
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e9, 1e5])
def test_images_that_cannot_be_used_become_zero(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = VARIANTS["3D"]().case
    read = case.data.read

    def spoiled(rows):
        found = read(rows).clone()
        found[rows == 1, 5, 7] = value
        return found

    case = replace(case, data=replace(case.data, read=spoiled))
    fast, slow = both(case, monkeypatch)
    check(fast, slow)
    assert fast[0].bad.tolist() == [False, True, False, False]
    assert not fast[0].u_re[1].any()


@needs_compiler
def test_arrays_that_do_not_fit_are_refused() -> None:
    transforms = torch.zeros(2, 3, 8, 5, dtype=torch.complex64)
    shells = preparation._narrow_shells(8)
    arrays = (torch.ones(3, 6, 4), torch.ones(3), torch.ones(6, 4), shells)
    with pytest.raises(ValueError, match="do not fit"):
        particle_images.weigh(
            transforms, *arrays, (torch.empty(5, 3, 7), 0), plain=False, premultiplied=False
        )
    module, images_ = particle_images.compiled(), torch.ones(3, 8, 8)
    with pytest.raises(ValueError, match="do not fit"):
        module.enter(
            images_, torch.ones(2), torch.zeros(3, 2, dtype=torch.int32), torch.ones(8, 8), 1.0,
            1.0, 1.0, torch.empty(3, 8, 8), torch.empty(3, 8, 8), torch.zeros(3, dtype=torch.bool),
            1,
        )  # fmt: skip
