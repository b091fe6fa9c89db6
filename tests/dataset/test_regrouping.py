"""Groups of an intensity scale merged to larger ones."""

from collections import Counter

import numpy as np
import pytest

from vitreous.dataset.regrouping import regroup
from vitreous.errors import InputError


def test_groups_of_like_scale_are_filled_to_the_mean_size():
    groups = np.repeat([1, 2, 3, 4], 10)
    names, n = regroup(groups, np.ones(40, np.int64), {1: 1.3, 2: 0.9, 3: 1.2, 4: 1.0}, 2)
    assert n == 2
    by_group = {int(group): name for group, name in zip(groups, names, strict=True)}
    assert by_group == {2: "group_001", 4: "group_001", 3: "group_002", 1: "group_002"}


def test_the_group_that_overflows_starts_a_new_one():
    groups = np.repeat([1, 2, 3], [15, 10, 5])
    names, n = regroup(groups, np.ones(30, np.int64), {1: 1.0, 2: 2.0, 3: 3.0}, 2)
    assert Counter(names) == {"group_001": 15, "group_002": 15}
    assert n == 2


def test_optics_groups_are_never_mixed():
    groups = np.ones(40, np.int64)
    names, n = regroup(groups, np.repeat([1, 2], 20), {1: 1.0}, 1)
    assert n == 2
    assert names[:20] == ["group_001"] * 20
    assert names[20:] == ["group_002"] * 20


def test_too_many_groups_are_refused_with_how_many_there_can_be():
    with pytest.raises(InputError, match=r"9\.0 per group.*at most 1 groups"):
        regroup(np.ones(18, np.int64), np.ones(18, np.int64), {}, 2)
    with pytest.raises(InputError, match="Ask for at most"):
        regroup(np.ones(18, np.int64), np.ones(18, np.int64), {}, 0)


def test_more_than_999_groups_get_longer_names():
    n = 12000
    names, count = regroup(np.repeat(np.arange(1200), 10), np.ones(n, np.int64), {}, 1200)
    assert count == 1200
    assert names[0] == "group_0001"
