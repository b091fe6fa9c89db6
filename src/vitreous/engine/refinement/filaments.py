"""Priors of segments of filaments, from the last iteration (He & Scheres 2017, JSB 198:163).

A segment lies in its tube as its neighbours do. Before every iteration but the first the priors of
tilt and psi move to the last angles; with local averaging, to the mean of the last angles of the
segments nearby in the same tube.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitreous.engine.refinement.settings import Helix
from vitreous.engine.refinement.state import Assignments

_REACH = 3.0  # deviations to which neighbours count
_TILT, _PSI = 1, 2


@dataclass(frozen=True)
class Tubes:
    """Where segments lie.

    Parameters
    ----------
    tube
        ``n``, number of the filament of each segment.
    track_A
        ``n``, how far along it.
    """

    tube: NDArray[np.int64]
    track_A: NDArray[np.float64]


def renewed(assignments: Assignments, tubes: Tubes, helix: Helix, box_A: float) -> Assignments:
    """Return assignments with priors of tilt and psi from the present angles.

    Parameters
    ----------
    assignments
        After an iteration.
    tubes
        Of all particles.
    helix
        Whether the tilt keeps the prior it came with, and how far neighbours count, in boxes.
    box_A
        Side of the images.
    """
    prior = assignments.prior_deg.copy()
    tilt, psi = assignments.angles_deg[:, _TILT], assignments.angles_deg[:, _PSI]
    if helix.sigma_distance > 0:
        tilt, psi = averaged(tilt, psi, tubes, helix.sigma_distance * box_A)
    prior[:, _PSI] = psi
    if not helix.keep_tilt_prior:
        prior[:, _TILT] = tilt
    return replace(assignments, prior_deg=prior)


def averaged(
    tilt_deg: NDArray[np.float64], psi_deg: NDArray[np.float64], tubes: Tubes, sigma_A: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average angles over neighbours in the same tube, with Gaussian weights of their distance.

    A neighbour that was found upside down counts turned round: psi + 180 and 180 - tilt.

    Parameters
    ----------
    tilt_deg, psi_deg, tubes
        Of all segments.
    sigma_A
        Deviation of the weights; farther than three of it nobody counts.
    """
    tilt, psi = tilt_deg.copy(), psi_deg.copy()
    order = np.lexsort((tubes.track_A, tubes.tube))
    borders = np.flatnonzero(np.diff(tubes.tube[order])) + 1
    for members in np.split(order, borders):
        track = tubes.track_A[members]
        first = np.searchsorted(track, track - _REACH * sigma_A)
        last = np.searchsorted(track, track + _REACH * sigma_A, side="right")
        for place, own in enumerate(members):
            near = members[first[place] : last[place]]
            distance = tubes.track_A[near] - tubes.track_A[own]
            weight = np.exp(-0.5 * (distance / sigma_A) ** 2)
            turn = (psi_deg[near] - psi_deg[own] + 180) % 360 - 180
            is_turned = np.abs(turn) > 90
            turn = np.where(is_turned, (turn + 360) % 360 - 180, turn)
            seen_tilt = np.where(is_turned, 180 - tilt_deg[near], tilt_deg[near])
            psi[own] = psi_deg[own] + np.average(turn, weights=weight)
            tilt[own] = np.average(seen_tilt, weights=weight)
    return tilt, (psi + 180) % 360 - 180
