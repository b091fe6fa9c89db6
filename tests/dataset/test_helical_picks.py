"""Filaments given by their ends become rows of segments."""

import numpy as np
import pytest

from vitreous.dataset.helical_picks import segments, with_flip_ratio
from vitreous.errors import InputError
from vitreous.io import Table


def ends(*points):
    return Table.from_columns(
        "", {"rlnCoordinateX": [x for x, _ in points], "rlnCoordinateY": [y for _, y in points]}
    )


def test_segments_are_one_step_apart_from_just_inside_the_start():
    table = segments(ends((100, 50), (400, 200)), 20.0, 1.25)  # as relion_preprocess places them
    x, y = table["rlnCoordinateX"], table["rlnCoordinateY"]
    assert len(table) == 21
    assert (x[0], y[0]) == pytest.approx((100.143108, 50.071554), abs=1e-6)
    np.testing.assert_allclose(np.hypot(np.diff(x), np.diff(y)), 16)
    np.testing.assert_allclose(table["rlnHelicalTrackLengthAngst"], 20 * np.arange(21))
    np.testing.assert_allclose(table["rlnAnglePsiPrior"], -26.56505, atol=1e-5)
    assert set(table["rlnAngleTiltPrior"]) == {90.0}


def test_the_last_segment_lies_before_the_end():
    for length in (31.9, 32.1, 48.1, 48.2):
        table = segments(ends((0, 0), (length, 0)), 16.0, 1.0)
        assert table["rlnCoordinateX"].max() < length
        assert table["rlnCoordinateX"].max() + 16 >= length


def test_filaments_are_numbered_from_1_and_each_starts_at_0():
    table = segments(ends((0, 0), (40, 0), (10, 100), (10, 50)), 16.0, 1.0)
    tubes = table["rlnHelicalTubeID"]
    assert tubes.tolist() == [1, 1, 1, 2, 2, 2, 2]
    assert table["rlnHelicalTrackLengthAngst"][tubes == 2][0] == 0
    assert table["rlnAnglePsiPrior"][tubes == 2][0] == 90  # towards -y


def test_without_a_step_each_filament_is_one_box_in_its_middle():
    table = segments(ends((0, 0), (40, 20), (5, 5), (5, 9)), None, 2.0)
    assert table["rlnCoordinateX"].tolist() == pytest.approx([20, 5])
    assert table["rlnCoordinateY"].tolist() == pytest.approx([10, 7])
    assert table["rlnHelicalTrackLengthAngst"].tolist() == [0, 0]


def test_no_picks_are_no_segments():
    assert len(segments(ends(), 10.0, 1.0)) == 0


def test_points_without_partner_and_filaments_without_length_are_refused():
    with pytest.raises(InputError, match="3 points"):
        segments(ends((0, 0), (1, 1), (2, 2)), 10.0, 1.0)
    with pytest.raises(InputError, match="filament 2"):
        segments(ends((0, 0), (1, 1), (2, 2), (2, 2)), 10.0, 1.0)


def test_both_directions_are_tried_where_polarity_is_not_known():
    table = segments(ends((0, 0), (40, 0)), 16.0, 1.0)
    assert set(with_flip_ratio(table, bimodal=True)["rlnAnglePsiFlipRatio"]) == {0.5}
    assert set(with_flip_ratio(table, bimodal=False)["rlnAnglePsiFlipRatio"]) == {0.0}


def test_points_are_no_segments():
    with pytest.raises(InputError, match="no rlnHelicalTubeID"):
        with_flip_ratio(ends((0, 0), (1, 1)), bimodal=True)
