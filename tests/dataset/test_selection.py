"""Rows by value, text and class, and subsets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset.tables import particles
from vitreous.dataset.selection import (
    at_most_per_class,
    by_class,
    by_text,
    by_value,
    parse_classes,
    split,
)
from vitreous.errors import AbsentError, InputError

FOUR = ["1@a", "2@a", "1@b", "2@b"]


def test_both_ends_belong_to_the_range_and_nan_to_none():
    rows = particles(FOUR, rlnDefocusU=[1.0, 2.0, 3.0, float("nan")])
    assert by_value(rows, "rlnDefocusU", 1, 2).tolist() == [True, True, False, False]
    assert by_value(rows, "_rlnDefocusU", -np.inf, np.inf).tolist() == [True, True, True, False]
    assert by_value(rows, "rlnOpticsGroup", 1, 1).all()


def test_a_missing_label_is_refused_with_those_there_are():
    with pytest.raises(AbsentError, match=r"Did you mean rlnDefocusU\?.*rlnCoordinateX"):
        by_value(particles(), "rlnDefocusX", 0, 1)
    with pytest.raises(InputError, match="rlnMicrographName does not hold numbers"):
        by_value(particles(), "rlnMicrographName", 0, 1)
    with pytest.raises(InputError, match="no value lies in it"):
        by_value(particles(), "rlnDefocusU", 2, 1)
    with pytest.raises(InputError, match="no value lies in it"):
        by_value(particles(), "rlnDefocusU", float("nan"), 1)


def test_text_is_included_and_excluded():
    rows = particles(FOUR)
    assert by_text(rows, "rlnImageName", include="@b").tolist() == [False, False, True, True]
    assert by_text(rows, "rlnImageName", "@b", "2@").tolist() == [False, False, True, False]
    assert by_text(rows, "rlnImageName", exclude="@b").tolist() == [True, True, False, False]
    with pytest.raises(InputError, match="rlnDefocusU does not hold text"):
        by_text(rows, "rlnDefocusU", "1")


def test_classes_are_written_as_numbers_and_ranges():
    assert np.flatnonzero(parse_classes("1, 3-5", 6)).tolist() == [0, 2, 3, 4]
    for wrong in ("", "1,", "a", "3-", "-3", "1;2"):
        with pytest.raises(InputError, match="neither a number nor a range"):
            parse_classes(wrong, 6)
    for wrong in ("0", "7", "5-3", "2-9"):
        with pytest.raises(InputError, match="1 to 6"):
            parse_classes(wrong, 6)


def test_particles_of_chosen_classes_are_kept():
    classes = np.array([1, 3, 2, 0, 3, 9])
    chosen = by_class(classes, np.array([False, False, True]))
    assert chosen.tolist() == [False, True, False, False, True, False]
    assert at_most_per_class(classes, chosen, 1).tolist() == [False, True] + [False] * 4


@given(n=st.integers(0, 60), n_subsets=st.integers(-1, 9), size=st.integers(-1, 20), seed=st.none())
def test_subsets_cover_the_rows_once(n, n_subsets, size, seed):
    if n_subsets <= 0 and size <= 0:
        with pytest.raises(InputError, match="size of the subsets"):
            split(n, n_subsets, size, seed)
        return
    subsets, n_dropped = split(n, n_subsets, size, seed)
    rows = np.concatenate([np.zeros(0, np.int64), *subsets])
    assert rows.tolist() == list(range(n - n_dropped))
    assert all(len(subset) for subset in subsets)
    if n_subsets > 0 and size > 0:
        assert n_dropped == max(0, n - n_subsets * size)
    else:
        assert n_dropped == 0
    if n_subsets > 0:
        assert len(subsets) <= n_subsets


def test_a_seed_shuffles_in_one_way_only():
    first, _ = split(50, 3, -1, np.random.default_rng(1))
    again, _ = split(50, 3, -1, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert sorted(np.concatenate(first).tolist()) == list(range(50))
    assert np.concatenate(first).tolist() != list(range(50))
