"""Standard errors of a curve against theory and against repetition."""

import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.validation import cells, spread
from vitreous.engine.validation.directional import crossing


def sums(size, expected, seed):
    first, other = (
        fourier.forward(
            torch.randn((size,) * 3, generator=torch.Generator().manual_seed(seed + n)), 3
        )
        for n in (0, 1)
    )
    return cells.cell_sums(first, expected * first + (1 - expected**2) ** 0.5 * other)


@pytest.mark.parametrize("expected", [0.0, 0.5, 0.9])
def test_independent_coefficients_have_the_error_of_theory(expected):
    found = sums(48, expected, 3)
    error = spread.jackknife(found).error[8:24]
    n = found.count.sum(0)[8:24]
    wanted = (1 - expected**2) / (2 * n).sqrt()
    assert float((error / wanted).mean()) == pytest.approx(1, abs=0.12)


def test_the_error_of_the_resolution_is_what_repetition_shows():
    size = 40
    radius = fourier.shell_index(size, 3).double()
    expected = torch.sigmoid((11 - radius) / 2.5)
    every = [spread.jackknife(sums(size, expected, 100 * seed)) for seed in range(12)]
    shells = torch.tensor([one.shell for one in every])
    told = torch.tensor([one.shell_error for one in every]).mean()
    assert 0.5 < float(told / shells.std()) < 2
    wanted = crossing(torch.sigmoid((11 - torch.arange(21.0)) / 2.5))
    assert float(shells.mean()) == pytest.approx(wanted, abs=0.4)


def test_what_is_done_to_the_curve_is_done_to_its_error():
    found = sums(32, 0.5, 0)
    plain, halved = spread.jackknife(found), spread.jackknife(found, lambda curve: curve / 2)
    torch.testing.assert_close(halved.error, plain.error / 2)
    torch.testing.assert_close(plain.curve, found.curve())


def test_sectors_are_of_one_size():
    of_cell = spread.sectors()
    unit = cells.directions()
    # Cells grow smaller towards the corners of the cube: the area of one goes with the cube of
    # the distance at which its face has it.
    area = unit.abs().amax(1) ** 3
    total = torch.zeros(24, dtype=torch.float64).index_add(0, of_cell, area)
    assert of_cell.unique().numel() == 24
    assert float(total.max() / total.min()) < 1.35
