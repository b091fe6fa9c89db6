"""What two half sets share: images, and places in micrographs."""

import numpy as np
import pytest

from vitreous.dataset import half_sets
from vitreous.io import Table


def table(**changes):
    columns = {
        "rlnRandomSubset": [1, 2, 1, 2, 1],
        "rlnImageName": [f"{n}@a.mrcs" for n in range(1, 6)],
        "rlnMicrographName": ["a", "a", "b", "b", "a"],
        "rlnCoordinateX": [10.0, 14.0, 10.0, 90.0, 50.0],
        "rlnCoordinateY": [10.0, 10.0, 10.0, 10.0, 50.0],
        "rlnOpticsGroup": [1, 1, 1, 1, 1],
    } | changes
    return Table.from_columns("particles", {k: v for k, v in columns.items() if v is not None})


def pixels(value=2.0):
    return np.full(5, value)


def test_particles_near_one_of_the_other_half_are_counted():
    assert half_sets.compare(table(), pixels(), 8.0).near == 1  # 4 pixels of 2 A
    assert half_sets.compare(table(), pixels(), 7.9).near == 0


def test_other_micrographs_are_far_away():
    apart = table(rlnMicrographName=["a", "b", "c", "d", "e"])
    assert half_sets.compare(apart, pixels(), 50.0).near == 0


def test_origins_move_particles():
    moved = table(rlnOriginXAngst=[0.0, 30.0, 0.0, 0.0, 0.0], rlnOriginYAngst=[0.0] * 5)
    assert half_sets.compare(moved, pixels(), 8.0).near == 0


def test_images_in_both_halves_are_counted():
    twice = table(rlnImageName=["1@a", "1@a", "2@a", "3@a", "3@a"])
    found = half_sets.compare(twice, None, 8.0)
    assert found.same_image == 2
    assert found.near == -1
    assert found.sizes == (3, 2)


def test_a_table_without_half_sets_says_so():
    assert not half_sets.compare(table(rlnRandomSubset=None), pixels(), 8.0).are_known


def test_pixel_sizes_come_from_the_optics_group():
    optics = Table.from_columns(
        "optics", {"rlnOpticsGroup": [2, 1], "rlnMicrographPixelSize": [3.0, 1.5]}
    )
    rows = table(rlnOpticsGroup=[1, 2, 2, 1, 7])
    found = half_sets.micrograph_pixels_A(rows, optics)
    assert found is not None
    assert found[:4] == pytest.approx([1.5, 3.0, 3.0, 1.5])
    assert np.isnan(found[4])
    assert half_sets.micrograph_pixels_A(rows, optics.without("rlnMicrographPixelSize")) is None
