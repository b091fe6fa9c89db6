"""The compiled normalisation of boxes does what the plain one does."""

import pytest
import torch

from vitreous.engine import background
from vitreous.engine.extraction import cut
from vitreous.engine.kernels import boxes
from vitreous.engine.kernels.boxes import Plane

pytestmark = pytest.mark.skipif(boxes.compiled() is None, reason="built without a compiler")


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def backgrounds(size, n):
    return {
        "circle": background.outside_circle(size, size / 3),
        "whole": background.outside_circle(size, -1),
        "tubes": background.outside_tubes(size, size / 6, torch.linspace(-3, 3, n)),
    }


@pytest.mark.parametrize("size", [8, 15, 32])
@pytest.mark.parametrize("kind", ["circle", "whole", "tubes"])
@pytest.mark.parametrize("ramp", [True, False])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_images_equal_the_reference(size, kind, ramp, sign):
    images = 1000 + 50 * noise(5, size, size)
    images[2] = 7.0
    outside = backgrounds(size, 5)[kind]
    wanted, wanted_flat = background.normalise(images, outside, ramp=ramp, sign=sign)
    found, found_flat = boxes.normalise(images, Plane.of(outside, ramp=ramp, sign=sign))
    assert found.dtype == torch.float32
    assert found_flat.tolist() == wanted_flat.tolist() == [False, False, True, False, False]
    torch.testing.assert_close(found.double(), wanted, rtol=2e-7, atol=2e-7)


def test_an_empty_batch_stays_empty():
    images, is_flat = boxes.normalise(noise(0, 16, 16), Plane.of(background.outside_circle(16, 5)))
    assert images.shape == (0, 16, 16)
    assert is_flat.shape == (0,)


@pytest.mark.parametrize("threads", [1, 2])
def test_boxes_of_a_micrograph_equal_cut_boxes_everywhere(threads):
    micrograph = (100 + 10 * noise(60, 80)).float()
    generator = torch.Generator().manual_seed(1)
    centres = torch.randint(-30, 110, (200, 2), generator=generator)
    outside = background.outside_circle(24, 9)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        plane = Plane.of(outside, sign=-1.0)
        found = boxes.cut_and_normalise(micrograph, centres - 12, plane)
    finally:
        torch.set_num_threads(before)
    assert found is not None
    wanted, is_flat = background.normalise(cut(micrograph, centres, 24).double(), outside, sign=-1)
    assert found[1].tolist() == is_flat.tolist()
    torch.testing.assert_close(found[0].double(), wanted, rtol=3e-7, atol=3e-7)


def test_other_tensors_go_to_the_reference():
    plane = Plane.of(background.outside_circle(16, 5))
    micrograph = noise(40, 40)
    assert boxes.cut_and_normalise(micrograph, torch.tensor([[1, 1]]), plane) is None
    pieces = torch.zeros(1, 16, 16, dtype=torch.bool)
    pieces[:, :, ::2] = True
    assert boxes.runs(pieces) is None
    images = noise(3, 16, 16)
    wanted, _ = background.normalise(images, pieces)
    found, _ = boxes.normalise(images, Plane.of(pieces))
    torch.testing.assert_close(found, wanted.float())


def test_runs_say_where_each_row_is_set():
    mask = torch.tensor([[[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]]]).bool()
    found = boxes.runs(mask)
    assert found is not None
    assert found[0].tolist() == [
        [[0, 2], [3, 4]],
        [[1, 3], [0, 0]],
        [[0, 0], [0, 0]],
        [[0, 4], [0, 0]],
    ]
