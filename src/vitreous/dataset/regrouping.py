"""Merge the groups that share an intensity scale until each has enough particles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import InputError

FEWEST_PER_GROUP = 10


def regroup(
    groups: NDArray[np.int64],
    optics_groups: NDArray[np.int64],
    scales: dict[int, float],
    n_groups: int,
) -> tuple[list[str], int]:
    """Give each particle the name of a new, larger group.

    Within an optics group the old groups are sorted by their scale and filled one after the
    other into a new group until the next one would bring it above the mean size.

    Parameters
    ----------
    groups
        ``n``: old group of each particle (``rlnGroupNumber``).
    optics_groups
        ``n``: never mixed.
    scales
        Scale correction of each old group; 1 where it is not known.
    n_groups
        About how many groups are wanted.

    Returns
    -------
    list of str
        ``n``: new names, ``group_001``.
    int
        How many new groups there are.

    Raises
    ------
    InputError
        The groups would have fewer than 10 particles on average.
    """
    mean_size = len(groups) / max(n_groups, 1)
    if n_groups < 1 or mean_size < FEWEST_PER_GROUP:
        most = max(1, len(groups) // FEWEST_PER_GROUP)
        raise InputError(
            f"{len(groups):,} particles in {n_groups} groups make {mean_size:.1f} per group, too "
            f"few to find a scale from; at least {FEWEST_PER_GROUP} are needed. Ask for at most "
            f"{most} groups."
        )
    pairs, places, sizes = np.unique(
        np.stack([optics_groups, groups], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    order = sorted(
        range(len(pairs)), key=lambda i: (pairs[i, 0], scales.get(int(pairs[i, 1]), 1.0), i)
    )
    new = np.zeros(len(pairs), np.int64)
    number, filled, optics = 0, 0, None
    for i in order:
        if pairs[i, 0] != optics or (filled and filled + sizes[i] > mean_size):
            number, filled, optics = number + 1, 0, pairs[i, 0]
        filled += int(sizes[i])
        new[i] = number
    digits = max(3, len(str(number)))
    return [f"group_{name:0{digits}d}" for name in new[places.ravel()].tolist()], number
