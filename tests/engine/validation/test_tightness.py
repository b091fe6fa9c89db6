"""Curves inside a mask and wider ones: solvent is foreseen, a mask's own correlation is not."""

import pytest
import torch

from vitreous.engine import filtering, fourier, masking, resolution
from vitreous.engine.validation import tightness
from vitreous.engine.validation.directional import crossing
from vitreous.engine.validation.tightness import Mask

SIZE = 64
FROM = 6


def noise(seed):
    return torch.randn((SIZE,) * 3, generator=torch.Generator().manual_seed(seed))


def maps(signal, level=1.0):
    halves = tuple(signal + level * noise(seed) for seed in (1, 2))
    generator = torch.Generator().manual_seed(3)
    randomised = tuple(
        fourier.inverse(
            resolution.randomise_phases(fourier.forward(half, 3), FROM, generator, 3), 3, SIZE
        )
        for half in halves
    )
    return halves, randomised


def particle():
    """Signal in a ball of 14 voxels that fades with resolution."""
    signal = noise(0) * masking.sphere(SIZE, 3, 12, 4)
    return 8 * filtering.apply_b_factor(signal, 40, 1.0, 3)


def widened(mask, *arrays):
    (wide,) = tightness.wider(mask, [8.0], 6.0)
    given, wider = tightness.in_masks(*arrays, [Mask(mask), wide], FROM)
    expected = tightness.with_solvent(given.corrected, wide.power() / Mask(mask).power())
    return crossing(wider.corrected), crossing(expected), given


def test_what_solvent_does_is_foreseen():
    does, should, given = widened(masking.sphere(SIZE, 3, 16, 6), *maps(particle()))
    assert does == pytest.approx(should, rel=0.04)
    assert does < given.shell - 1
    assert abs(given.by_mask(given.shell)) < 0.1


def test_a_mask_that_cuts_the_particle_gets_better_when_it_is_widened():
    does, should, _ = widened(masking.sphere(SIZE, 3, 6, 3), *maps(particle()))
    assert does > 1.05 * should


def test_correlation_that_the_mask_makes_is_measured():
    """Strong signal at low resolution only: what a hard mask spreads is all there is beyond."""
    coarse = 60 * filtering.low_pass(noise(5), 16, 1.0, 3)
    (found,) = tightness.in_masks(*maps(coarse), [Mask(masking.sphere(SIZE, 3, 8, 0))], FROM)
    assert float(found.masked[8:16].mean()) > 0.3
    assert float(found.randomised[8:16].mean()) > 0.3
    assert abs(float(found.corrected[9:20].mean())) < 0.15


def test_more_noise_lowers_a_curve_as_arithmetic_says():
    curve = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    more = 7.0
    found = tightness.with_solvent(curve, more)
    torch.testing.assert_close(found, torch.tensor([1.0, 1 / (1 + more), 0.0]).double())


@pytest.mark.parametrize("edge", [0, 4, 10])
def test_the_width_of_an_edge_is_found(edge):
    mask = masking.soften(masking.sphere(SIZE, 3, 14, 0) > 0.5, 0, edge)
    assert tightness.edge_width_px(mask) == pytest.approx(edge, abs=0.2 * edge + 0.1)
    assert tightness.wanted_edge_px(mask) >= 6


def test_wider_masks_are_wider_by_what_was_asked():
    mask = masking.sphere(SIZE, 3, 10, 4)
    one, two = tightness.wider(mask, [3, 9], 6.0)
    radius = masking.radius(SIZE, 3)
    inside = radius[mask > 0.5].max()
    for found, step in ((one.values, 3), (two.values, 9)):
        assert float(radius[found == 1].max()) == pytest.approx(float(inside) + step, abs=1)
        assert float(radius[found > 0].max()) == pytest.approx(float(inside) + step + 6, abs=1)


@pytest.mark.parametrize("size", [100, 200])
def test_wider_masks_of_large_boxes_are_those_of_all_voxels(size):
    """Blocks of 2 and 4 voxels against exact distances, a plane through the middle and one off."""
    mask = masking.sphere(size, 3, 0.3 * size, 8)
    (found,) = tightness.wider(mask, [6.0], 10.0)
    assert found.pool == {100: 2, 200: 4}[size]
    exact = masking.raised_cosine(masking.distance_to(mask > 0.5), 6.0, 10.0).float()
    for z in (size // 2, size // 2 + size // 5):
        assert float((found.plane(z) - exact[z]).abs().mean()) < 0.01
        assert float((found.plane(z) - exact[z]).abs().max()) < 0.25
    assert found.power() == pytest.approx(float(exact.double().square().sum()), rel=0.03)


@pytest.mark.parametrize("fold", [2, 4])
def test_a_folded_map_has_every_nth_coefficient(fold):
    halves, randomised = maps(particle())
    mask = Mask(masking.sphere(SIZE, 3, 26, 4))
    (whole,), (folded,) = (
        tightness.in_masks(halves, randomised, [mask], FROM, n) for n in (1, fold)
    )
    first, second = (
        torch.fft.rfftn(half * mask.values)[::fold, ::fold, ::fold].contiguous() for half in halves
    )
    wanted = resolution.fsc_of_transforms(first, second, 3)
    torch.testing.assert_close(folded.masked, wanted, rtol=0, atol=1e-4)
    assert folded.shell * fold == pytest.approx(whole.shell, rel=0.1)


def test_maps_are_folded_only_where_many_shells_remain():
    assert [tightness.fold_for(320, shell) for shell in (40, 60, 100, 150)] == [1, 2, 4, 4]
    assert tightness.fold_for(322, 150) == 2
    assert tightness.fold_for(101, 50) == 1
