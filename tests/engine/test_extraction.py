"""Boxes out of micrographs whose pixels tell where they come from."""

import math

import numpy as np
import pytest
import torch

from vitreous.engine import ctf, fourier
from vitreous.engine.background import Dust
from vitreous.engine.extraction import Correction, Recipe, cut, extract, touches

HEIGHT, WIDTH = 50, 70


@pytest.fixture
def where():
    """A micrograph whose values are 1000 y + x."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return (1000 * y + x).float()


def raw(box, scaled=None, window=None, **values):
    scaled = scaled or box
    return Recipe(box, scaled, window or scaled, normalise=False, **values)


@pytest.mark.parametrize("box", [8, 9, 16])
def test_the_coordinate_lands_on_the_centre_of_the_box(where, box):
    centres = torch.tensor([[30, 20], [40, 33]])
    boxes = cut(where, centres, box)
    assert boxes[:, box // 2, box // 2].tolist() == [20030, 33040]
    reach = torch.arange(box) - box // 2
    expected = 1000 * (20 + reach)[:, None] + 30 + reach
    assert torch.equal(boxes[0], expected.float())


@pytest.mark.parametrize("centre", [(0, 0), (69, 49), (-3, 20), (35, 55), (72, -6)])
def test_outside_the_nearest_edge_pixel_is_repeated(where, centre):
    (box,) = cut(where, torch.tensor([centre]), 16)
    for row, column in ((0, 0), (0, 15), (15, 0), (15, 15), (8, 8)):
        y = min(max(centre[1] - 8 + row, 0), HEIGHT - 1)
        x = min(max(centre[0] - 8 + column, 0), WIDTH - 1)
        assert box[row, column] == 1000 * y + x


def test_one_box_at_the_edge_changes_none_of_the_others(where):
    inside = torch.tensor([[30, 20], [40, 30]])
    mixed = torch.cat([inside, torch.tensor([[1, 1]])])
    assert torch.equal(cut(where, mixed, 16)[:2], cut(where, inside, 16))


def test_boxes_that_touch_the_micrograph_have_at_least_one_pixel_of_it():
    xs = [-9, -8, -7, 0, 77, 78, 79]
    centres = torch.tensor([[x, 20] for x in xs])
    # A box of 16 around x covers x - 8 ... x + 7.
    expected = [any(0 <= x + r < WIDTH for r in range(-8, 8)) for x in xs]
    assert touches(centres, 16, (HEIGHT, WIDTH)).tolist() == expected
    assert touches(centres[:, [1, 0]], 16, (WIDTH, HEIGHT)).tolist() == expected


def test_nothing_is_cut_from_nowhere(where):
    images, is_flat = extract(where, torch.zeros(0, 2, dtype=torch.long), raw(16))
    assert images.shape == (0, 16, 16)
    assert is_flat.shape == (0,)


@pytest.mark.parametrize("scaled", [8, 12, 24])
def test_scaling_keeps_the_mean_and_waves_below_nyquist(scaled):
    y, x = torch.meshgrid(*(torch.arange(48.0),) * 2, indexing="ij")
    waves = 5 + torch.cos(2 * math.pi * (2 * x + y) / 24)
    images, _ = extract(waves, torch.tensor([[24, 24]]), raw(24, scaled))
    y, x = torch.meshgrid(
        *(torch.arange(scaled, dtype=torch.float64) * 24 / scaled,) * 2, indexing="ij"
    )
    expected = 5 + torch.cos(2 * math.pi * (2 * (x + 12) + y + 12) / 24)
    torch.testing.assert_close(images[0].double(), expected, atol=1e-5, rtol=0)


def test_a_window_keeps_the_centre(where):
    images, _ = extract(where, torch.tensor([[30, 20]]), raw(16, window=8))
    assert torch.equal(images, cut(where, torch.tensor([[30, 20]]), 8))


def test_inverted_contrast_is_the_negative():
    centres = torch.tensor([[30, 20], [35, 25]])
    noise = torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    for recipe in (raw(16), Recipe(16, 16, 16, radius_px=5)):
        plain, _ = extract(noise, centres, recipe)
        negative, _ = extract(noise, centres, Recipe(**{**vars(recipe), "invert": True}))
        assert torch.equal(plain, -negative)


def test_a_large_offset_costs_no_digits():
    """Normalised images of float32 micrographs are the same with and without an offset."""
    noise = torch.randint(-500, 500, (64, 64), generator=torch.Generator().manual_seed(1)).float()
    recipe = Recipe(32, 32, 32, radius_px=10)
    centres = torch.tensor([[32, 32]])
    plain, _ = extract(noise, centres, recipe)
    lifted, _ = extract(noise + 30000, centres, recipe)
    torch.testing.assert_close(plain, lifted, atol=1e-6, rtol=0)


def test_a_batch_is_its_images_one_by_one():
    noise = torch.randn(80, 90, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    centres = torch.stack(
        [
            torch.randint(0, 90, (40,), generator=generator),
            torch.randint(0, 80, (40,), generator=generator),
        ],
        1,
    )
    recipe = Recipe(32, 24, 24, radius_px=9)
    together, _ = extract(noise, centres, recipe)
    alone = torch.cat([extract(noise, one[None], recipe)[0] for one in centres])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def correction(n, box, **treatment):
    optics = ctf.Optics.of(pixel_size_A=2.0, box_px=box)
    defocus = ctf.Defocus.of(torch.linspace(9000, 12000, n))
    return Correction(optics, defocus, torch.zeros(n, dtype=torch.long), ctf.Treatment(**treatment))


def test_premultiplied_boxes_are_boxes_times_their_ctf():
    noise = torch.randn(96, 96, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    centres = torch.tensor([[48, 48], [40, 50], [50, 44]])
    wanted = correction(3, 32)
    images, _ = extract(noise, centres, raw(32), correction=wanted)
    values = ctf.ctf(wanted.optics, wanted.defocus, 32, dtype=torch.float64)
    boxes = fourier.forward(cut(noise, centres, 32), 2) * values
    torch.testing.assert_close(images.double(), fourier.inverse(boxes, 2), atol=1e-6, rtol=0)


def test_a_larger_box_gives_what_the_whole_micrograph_would():
    """Far from the edges, a CTF applied in a large box is that of the micrograph."""
    noise = torch.randn(256, 256, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    whole = correction(1, 256)
    values = ctf.ctf(whole.optics, whole.defocus, 256, dtype=torch.float64)
    expected = cut(
        fourier.inverse(fourier.forward(noise, 2) * values[0], 2), torch.tensor([[128, 128]]), 32
    )

    def error(box):
        images, _ = extract(
            noise, torch.tensor([[128, 128]]), raw(32), correction=correction(1, box)
        )
        return float((images - expected).abs().max())

    assert error(256) < 1e-5
    assert error(160) < error(64) < error(32)


def test_dust_needs_a_generator_and_repeats():
    image = torch.randn(64, 64, generator=torch.Generator().manual_seed(6))
    image[30, 30] = 50
    recipe = Recipe(32, 32, 32, radius_px=10, dust=Dust(5, 5))
    centre = torch.tensor([[32, 32]])

    def clean(seed):
        return extract(image, centre, recipe, generator=torch.Generator().manual_seed(seed))[0]

    assert extract(image, centre, recipe)[0].max() > 30
    assert clean(1).max() < 6
    assert torch.equal(clean(1), clean(1))
    assert not torch.equal(clean(1), clean(2))


def test_the_result_is_single_precision_whatever_comes_in():
    for dtype in (torch.float32, torch.float64):
        noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(7)).to(dtype)
        images, _ = extract(noise, torch.tensor([[32, 32]]), Recipe(32, 32, 32, radius_px=10))
        assert images.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same():
    noise = torch.randn(200, 200, generator=torch.Generator().manual_seed(8))
    centres = torch.tensor(np.random.default_rng(0).integers(0, 200, (50, 2)))
    recipe = Recipe(64, 48, 48, radius_px=20)
    here, _ = extract(noise, centres, recipe)
    there, _ = extract(noise.cuda(), centres.cuda(), recipe)
    torch.testing.assert_close(here, there.cpu(), atol=2e-6, rtol=0)
