"""Which particles an iteration looks at, and in which order (refinement.md sections 10 and 11).

The order belongs to the seed and to the identities of the particles: it is the same however the
table is sorted and however particles are split over ranks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.randomness import Stream, of_run
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Schedule


def particles(
    data: Data,
    assignments: Assignments,
    schedule: Schedule,
    settings: Settings,
    half: int | None = None,
) -> NDArray[np.int64]:
    """Return the rows of this iteration in their order: shuffled, then by optics group.

    Parameters
    ----------
    half
        Only particles of this half set; a mini-batch is shared equally by the halves.
    """
    rows = shuffled(data, assignments, schedule, settings, half)
    if schedule.subset_size > 0:
        size = schedule.subset_size if half is None else -(-schedule.subset_size // 2)
        rows = rows[:size]
    return rows[np.argsort(data.optics_group[rows], kind="stable")]


def shuffled(
    data: Data,
    assignments: Assignments,
    schedule: Schedule,
    settings: Settings,
    half: int | None = None,
) -> NDArray[np.int64]:
    """Return all rows of a half (or of both) in random order; anew for each mini-batch.

    Accuracies are measured with the first of these (`accuracy.N_PARTICLES`).
    """
    rows = np.arange(len(data)) if half is None else np.flatnonzero(assignments.half == half)
    rows = rows[np.argsort(data.identity[rows], kind="stable")]
    iteration = schedule.iteration if schedule.subset_size > 0 else 0
    stream = Stream.SUBSET if schedule.subset_size > 0 else Stream.ORDER
    return rows[of_run(settings.seed, stream, iteration).permutation(len(rows))]
