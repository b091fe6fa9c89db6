"""Particles picked twice."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset.tables import particles
from vitreous.dataset.duplicates import duplicates, positions_A

ONE = np.array(["m"] * 4, object)


def test_of_a_chain_only_the_end_is_left():
    positions = np.array([[0.0, 0], [2, 0], [4, 0], [50, 0]])
    assert duplicates(positions, ONE, 2.0).tolist() == [True, True, False, False]


def test_the_threshold_itself_is_a_duplicate():
    positions = np.array([[0.0, 0], [3, 4], [20, 0], [25.01, 0]])
    assert duplicates(positions, ONE, 5.0).tolist() == [True, False, False, False]


def test_micrographs_are_kept_apart():
    positions = np.zeros((4, 2))
    names = np.array(["a", "b", "a", "c"], object)
    assert duplicates(positions, names, 1.0).tolist() == [True, False, False, False]


def test_rows_without_coordinates_have_no_neighbours():
    positions = np.array([[0.0, 0], [np.nan, 0], [0, 0], [np.inf, 0]])
    assert duplicates(positions, ONE, 1.0).tolist() == [True, False, False, False]


def test_the_best_of_neighbours_can_be_kept():
    positions = np.array([[0.0, 0], [2, 0], [4, 0], [50, 0]])
    merit = np.array([0.1, 0.9, 0.5, np.nan])
    assert duplicates(positions, ONE, 2.0, merit).tolist() == [True, False, True, False]


def test_origins_move_particles_in_their_micrograph():
    rows = particles(
        rlnCoordinateX=[50.0, 53.0], rlnOriginXAngst=[0.0, 4.5], rlnOriginYAngst=[0.0, 0.0]
    )
    assert positions_A(rows, 1.5)[:, 0].tolist() == [75.0, 75.0]
    assert positions_A(rows, np.array([1.5, 1.0]))[:, 0].tolist() == [75.0, 48.5]
    plain = rows.without("rlnOriginXAngst", "rlnOriginYAngst")
    assert positions_A(plain, 2.0)[:, 0].tolist() == [100.0, 106.0]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), st.sampled_from("ab")), max_size=25),
    st.integers(0, 6),
)
def test_it_is_what_comparing_all_pairs_gives(rows, threshold):
    positions = np.array([row[:2] for row in rows], float).reshape(-1, 2)
    names = np.array([row[2] for row in rows], object)
    expected = [
        any(
            names[i] == names[j] and np.hypot(*(positions[i] - positions[j])) <= threshold
            for j in range(i + 1, len(rows))
        )
        for i in range(len(rows))
    ]
    assert duplicates(positions, names, float(threshold)).tolist() == expected
