"""Windows hold what they are made for."""

import pytest
import torch

from vitreous.engine import masking
from vitreous.engine.validation import window


def box(size, z, y, x):
    inside = torch.zeros((size,) * 3, dtype=torch.bool)
    inside[z, y, x] = True
    return inside


@pytest.mark.parametrize("margin", [0, 5])
def test_a_window_holds_the_region_and_its_margin(margin):
    inside = box(96, slice(40, 60), slice(30, 62), slice(50, 55))
    found = window.around(inside.float(), margin)
    assert found.side_px >= 32 + 2 * margin
    assert found.side_px % 2 == 0
    assert int(inside[found.slices].sum()) == int(inside.sum())
    grown = masking.distance_to(inside) <= margin
    assert int(grown[found.slices].sum()) == int(grown.sum())


def test_at_the_border_of_the_box_the_window_stays_inside():
    inside = box(64, slice(0, 20), slice(44, 64), slice(0, 64))
    assert window.around(inside.float(), 4) == window.Window((0, 0, 0), 64)
    inside = box(64, slice(0, 10), slice(54, 64), slice(20, 30))
    found = window.around(inside.float(), 8)
    assert found.start_px[0] == 0
    assert found.start_px[1] + found.side_px == 64


def test_sizes_are_quick_to_transform():
    assert [window.quick_size(n) for n in (24, 25, 31, 129, 211)] == [24, 28, 32, 140, 216]
