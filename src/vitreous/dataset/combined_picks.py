"""Picks of several jobs brought together, each place once (postprocessing.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from vitreous.dataset.joining import union
from vitreous.dataset.picks import X, Y
from vitreous.io import Table

SAME_PX = 0.1
_FILAMENT = "rlnHelicalTubeID"


def combine(tables: Sequence[Table]) -> tuple[Table, int]:
    """Put the picks of one micrograph below one another and leave out what was picked before.

    Two picks are the same where both x and y differ by less than 0.1 px; the first one stays.
    Filaments of later tables get numbers that are not taken yet.

    Parameters
    ----------
    tables
        Picks of one micrograph, from each job.

    Returns
    -------
    Table
        All picks, with all columns that any table has.
    int
        How many were left out.
    """
    rows, _ = union(_filaments_apart(tables), [f"file {n}" for n in range(1, len(tables) + 1)])
    first = first_of_each(np.stack([rows[X], rows[Y]], axis=1).astype(np.float64))
    return rows.select(first), int((~first).sum())


def first_of_each(places_px: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the rows that no row kept before them is the same as.

    Parameters
    ----------
    places_px
        ``n 2``, x y.
    """
    kept = np.ones(len(places_px), bool)
    if len(places_px) < 2:
        return kept
    pairs = KDTree(places_px).query_pairs(SAME_PX, p=np.inf, output_type="ndarray")
    apart = np.abs(places_px[pairs[:, 0]] - places_px[pairs[:, 1]]).max(axis=1, initial=0)
    for earlier, later in sorted(np.sort(pairs[apart < SAME_PX], axis=1).tolist()):
        kept[later] &= not kept[earlier]
    return kept


def _filaments_apart(tables: Sequence[Table]) -> list[Table]:
    taken, result = 0, []
    for table in tables:
        if _FILAMENT not in table or not len(table):
            result.append(table)
            continue
        numbers = np.asarray(table[_FILAMENT]) + taken
        taken = int(numbers.max())
        result.append(table.with_columns({_FILAMENT: numbers}))
    return result
