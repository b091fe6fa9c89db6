"""Which rank works on which particles (refinement.md section 15.11).

With two half-sets even ranks work for the first and odd ones for the second, so that a rank needs
the references of one half only. Where their number is odd the last works for both, at half the
pace for each; a single process is that last rank, and does everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def workers(n_ranks: int, n_halves: int) -> list[dict[int, float]]:
    """Return for each half the ranks that work for it, with their weights.

    Parameters
    ----------
    n_ranks
        Processes.
    n_halves
        1, where particles are not split, or 2.
    """
    if n_halves == 1:
        return [dict.fromkeys(range(n_ranks), 1.0)]
    whole = n_ranks - n_ranks % 2
    found = [dict.fromkeys(range(half, whole, 2), 1.0) for half in (0, 1)]
    if whole < n_ranks:
        for one in found:
            one[whole] = 0.5
    return found


def deal(rows: Sequence[Rows], n_ranks: int) -> list[dict[int, Rows]]:
    """Return for each half the rows of every rank that works for it.

    Parameters
    ----------
    rows
        Of each half, in the order in which they are worked on.
    n_ranks
        Processes.

    Returns
    -------
    list of dict
        Runs of neighbours, so that a rank reads few stacks and sees few optics groups. Shares are
        empty where there are fewer particles than ranks.
    """
    dealt = []
    for part, weights in zip(rows, workers(n_ranks, len(rows)), strict=True):
        ends = np.cumsum(list(weights.values()))
        cuts = np.rint(ends[:-1] * (len(part) / ends[-1])).astype(np.int64)
        dealt.append(dict(zip(weights, np.split(part, cuts), strict=True)))
    return dealt
