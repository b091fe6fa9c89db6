"""Sums by direction: each coefficient once, in its own cell."""

import math

import numpy as np
import pytest
import torch

from vitreous.engine import fourier
from vitreous.engine.kernels import shells
from vitreous.engine.validation import cells, directional


def noise(size, seed):
    return torch.randn((size,) * 3, generator=torch.Generator().manual_seed(seed))


def pair(size, share=0.5):
    common = noise(size, 0)
    return tuple(share**0.5 * common + (1 - share) ** 0.5 * noise(size, n) for n in (1, 2))


@pytest.mark.parametrize("size", [16, 21])
def test_every_coefficient_counts_once(size):
    transforms = [fourier.forward(half, 3) for half in pair(size)]
    sums = cells.cell_sums(*transforms)
    whole = np.fft.fftfreq(size, 1 / size)
    radius = np.sqrt(sum(k**2 for k in np.meshgrid(whole, whole, whole)))
    shells = np.round(radius).astype(int).ravel()
    wanted = np.bincount(shells)[1 : (size + 1) // 2] / 2
    np.testing.assert_allclose(sums.count.sum(0)[1 : (size + 1) // 2].numpy(), wanted)


@pytest.mark.parametrize("size", [16, 21, 40])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_compiled_sums_are_those_of_plain_torch(size, kind):
    if shells.compiled() is None:
        pytest.skip("the package was built without a compiler")
    first, second = (fourier.forward(half.to(kind), 3) for half in pair(size))
    for n_shells in (size // 2 + 1, 6):
        found = cells.cell_sums(first, second, n_shells)
        plain = cells._plain_sums(first, second, n_shells)
        assert torch.equal(found.count, plain[..., 3])
        for column, sums in enumerate((found.common, found.power1, found.power2)):
            torch.testing.assert_close(sums, plain[..., column], rtol=1e-5, atol=1e-9)


def test_the_curve_is_that_of_the_whole_transform():
    size = 20
    halves = pair(size)
    sums = cells.cell_sums(*(fourier.forward(half, 3) for half in halves))
    one, two = (np.fft.fftn(half.double().numpy()) for half in halves)
    k = np.fft.fftfreq(size, 1 / size)
    shell = np.round(np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)).astype(int).ravel()

    def total(values):
        return np.bincount(shell, values.ravel())[1:10]

    wanted = total((one * two.conj()).real)
    wanted /= np.sqrt(total(abs(one) ** 2) * total(abs(two) ** 2))
    np.testing.assert_allclose(sums.curve()[1:10].numpy(), wanted, rtol=1e-5, atol=1e-6)


def test_fewer_shells_are_the_first_ones():
    transforms = [fourier.forward(half, 3) for half in pair(24)]
    every, few = cells.cell_sums(*transforms), cells.cell_sums(*transforms, 7)
    torch.testing.assert_close(few.curve(), every.curve()[:7])


def test_directions_lie_in_their_cells_and_opposite_ones_are_alike():
    unit = cells.directions()
    numbers = torch.arange(cells.N_CELLS)
    assert torch.equal(cells.cell_of(unit), numbers)
    assert torch.equal(cells.cell_of(-unit), numbers)
    assert int(cells.cell_of(torch.zeros(1, 3))) < cells.N_CELLS


def test_cones_hold_what_lies_around_their_axes():
    """Against a plain sum over coefficients; a few at the border of a cone fall on either side."""
    size, shell = 32, 13
    first, second = (fourier.forward(half, 3) for half in pair(size, 0.9))
    near_z = fourier.indices((size,) * 3, 3).double()
    cosine = near_z[..., 2].abs() / near_z.norm(dim=-1).clamp(min=1e-9)
    second = torch.where(cosine > 0.8, second, -second)  # the correlation changes sign at 37 deg
    curves = directional.conical_fsc(cells.cell_sums(first, second))
    axes = directional.axes()
    shells = fourier.shell_index(size, 3)
    weight = torch.ones(shells.shape, dtype=torch.float64)
    weight[..., 0] = 0.5
    for number in (0, 300, 700):
        along = (near_z @ axes[number]).abs() / near_z.norm(dim=-1).clamp(min=1e-9)
        inside = (along >= math.cos(math.radians(20))) & ((shells - shell).abs() <= 1)
        one, two, counts = (x[inside] for x in (first, second, weight))
        common = ((one * two.conj()).real * counts).sum()
        power = (one.abs().square() * counts).sum() * (two.abs().square() * counts).sum()
        assert float(curves[number, shell]) == pytest.approx(float(common / power.sqrt()), abs=0.05)
