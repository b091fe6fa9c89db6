"""Micrographs made ready in one pass are those made ready step by step."""

import pytest
import torch

from vitreous.engine import filtering
from vitreous.engine.picking import preparation
from vitreous.errors import InputError

SHAPES = [(512, 1024), (1300, 700)]  # one block of rows, and several with a shorter last one


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outliers", [False, True])
def test_one_pass_gives_what_the_steps_give(shape, outliers):
    generator = torch.Generator().manual_seed(0)
    micrograph = 2 * torch.randn(shape, generator=generator) + 30
    if outliers:
        micrograph[3, 5], micrograph[400, 600] = 900.0, -200.0
    at = preparation.coarse(shape, 1.0, 12.0)
    wanted = preparation.transform(preparation.normalise(micrograph.double()), at)
    found = preparation.normalised_transform(micrograph, at)
    assert found.shape == (at.work[0], at.work[1] // 2 + 1)
    assert float((found - wanted).abs().max() / wanted.abs().mean()) < 1e-3


@pytest.mark.parametrize(("value", "told"), [(7.0, "equal"), (float("nan"), "not numbers")])
def test_micrographs_without_content_are_refused(value, told):
    micrograph = torch.full((64, 64), 7.0)
    micrograph[0, 0] = micrograph[40, 7] = value
    for prepare in (
        preparation.normalise,
        lambda image: preparation.normalised_transform(
            image, preparation.coarse((64, 64), 1.0, 8.0)
        ),
    ):
        with pytest.raises(InputError, match=told):
            prepare(micrograph)


@pytest.mark.parametrize("shape", [(256, 256), (200, 320), (64, 96)])
def test_high_pass_is_that_of_whole_transforms(shape):
    micrograph = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    micrograph += torch.linspace(0, 5, shape[1])
    keep = filtering.low_pass_curve(max(shape), 40.0, 1.5)
    wanted = filtering.apply(micrograph, lambda k: 1 - keep(k), 2)
    wanted = wanted / wanted.std(correction=0)
    found = preparation.high_passed(micrograph, 1.5, 40.0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)
