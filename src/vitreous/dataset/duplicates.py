"""Particles picked twice: positions closer together than a threshold, per micrograph.

RELION's rule (postprocessing.md section 1): of two such particles the later row stays, and
each pair counts for itself, so of a chain only the end is left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.columns import codes
from vitreous.io import Table

_MARGIN = 1e-6


def positions_A(particles: Table, pixel_size_A: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return where the particles really lie, ``n c`` in ångström from the first pixel (x, y).

    A particle lies at its coordinate minus its origin (formats.md section 6).

    Parameters
    ----------
    particles
        With coordinates in pixels of the micrograph, and perhaps origins in ångström.
    pixel_size_A
        Of the micrographs that the coordinates count: one, or ``n``.
    """
    columns = []
    for axis in "XY":
        position = particles[f"rlnCoordinate{axis}"] * pixel_size_A
        columns.append(position - particles.get(f"rlnOrigin{axis}Angst", 0.0))
    return np.stack(columns, axis=1)


def duplicates(
    positions: NDArray[np.float64],
    micrographs: NDArray[np.generic],
    threshold: float,
    merit: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Return a mask of the particles to remove.

    Parameters
    ----------
    positions
        ``n c``: where each particle lies. Rows that are not finite have no neighbours.
    micrographs
        ``n``: the micrograph of each particle.
    threshold
        Particles at this distance or nearer, in the unit of `positions`, are duplicates.
    merit
        ``n``: keep the best of neighbours, best first, instead of the last.
    """
    removed = np.zeros(len(positions), bool)
    finite = np.flatnonzero(np.isfinite(positions).all(axis=1))
    groups = codes(micrographs[finite])
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    for members in np.split(finite[order], starts):
        if len(members) > 1:
            pairs = _near_pairs(positions[members], threshold)
            chosen = pairs[:, 0] if merit is None else _worse(pairs, merit[members])
            removed[members[chosen]] = True
    return removed


def _near_pairs(positions: NDArray[np.float64], threshold: float) -> NDArray[np.int64]:
    """Return pairs ``(earlier, later)`` at most the threshold apart, the bound included."""
    from scipy.spatial import KDTree  # slow to import, and few programs need it

    pairs = KDTree(positions).query_pairs(threshold * (1 + _MARGIN), output_type="ndarray")
    distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return np.asarray(pairs[distances <= threshold], dtype=np.int64)


def _worse(pairs: NDArray[np.int64], merit: NDArray[np.float64]) -> NDArray[np.int64]:
    """Go from the best particle down and remove the neighbours of each that is kept."""
    order = np.argsort(-np.nan_to_num(merit, nan=-np.inf), kind="stable")
    neighbours: dict[int, list[int]] = {}
    for a, b in pairs.tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    removed: set[int] = set()
    for particle in order.tolist():
        if particle not in removed:
            removed.update(neighbours.get(particle, []))
    return np.array(sorted(removed), np.int64)
