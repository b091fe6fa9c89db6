"""Which rank works on which particles."""

import numpy as np
import pytest

from vitreous.distributed.shares import deal, workers


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("sizes", [(100,), (0,), (57, 43), (1, 0), (3, 2)])
def test_every_particle_is_dealt_once_and_in_order(n_ranks, sizes):
    rows = [1000 * half + np.arange(size) for half, size in enumerate(sizes)]
    for part, dealt in zip(rows, deal(rows, n_ranks), strict=True):
        assert np.concatenate(list(dealt.values())).tolist() == part.tolist()


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4, 5, 8])
def test_all_ranks_have_as_much_to_do(n_ranks):
    halves = [np.arange(600), np.arange(600)]
    work = np.zeros(n_ranks)
    for dealt in deal(halves, n_ranks):
        for rank, rows in dealt.items():
            work[rank] += len(rows)
    assert np.ptp(work) <= 2


def test_a_rank_needs_the_references_of_one_half_only_but_for_one_left_over():
    assert [list(one) for one in workers(4, 2)] == [[0, 2], [1, 3]]
    assert [list(one) for one in workers(5, 2)] == [[0, 2, 4], [1, 3, 4]]
    assert [list(one) for one in workers(1, 2)] == [[0], [0]]
    assert [list(one) for one in workers(3, 1)] == [[0, 1, 2]]
