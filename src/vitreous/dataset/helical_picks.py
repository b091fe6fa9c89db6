"""Filaments as they are picked (start and end) and as they are extracted (segments)."""

from __future__ import annotations

import numpy as np

from vitreous.errors import InputError
from vitreous.io import Table

TUBE, TRACK = "rlnHelicalTubeID", "rlnHelicalTrackLengthAngst"
TILT_PRIOR, PSI_PRIOR, FLIP = "rlnAngleTiltPrior", "rlnAnglePsiPrior", "rlnAnglePsiFlipRatio"
X, Y = "rlnCoordinateX", "rlnCoordinateY"
_INSIDE = 0.01  # of a step: so far inside the start lies the first segment


def segments(picks: Table, step_A: float | None, pixel_size_A: float) -> Table:
    """Place boxes along filaments.

    Parameters
    ----------
    picks
        Rows in pairs: start and end of each filament, in pixels.
    step_A
        From one box to the next; None places one in the middle of each filament.
    pixel_size_A
        Of the micrograph.

    Returns
    -------
    Table
        Coordinates, number of the filament from 1, priors of tilt (90°) and psi, and the distance
        from the first box along the filament.

    Raises
    ------
    InputError
        The number of rows is odd, or a filament has no length.
    """
    if len(picks) % 2:
        raise InputError(
            f"{len(picks)} points where starts and ends of filaments were wanted, in pairs. Pick "
            "both ends of each, or say that the coordinates are not start and end."
        )
    ends = np.stack([picks[X], picks[Y]], 1).astype(np.float64).reshape(-1, 2, 2)
    along = ends[:, 1] - ends[:, 0]
    lengths = np.hypot(*along.T)
    if len(lengths) and not lengths.all():
        tube = int(np.flatnonzero(lengths == 0)[0]) + 1
        raise InputError(f"filament {tube}: its start and its end are the same point.")
    parts = []
    for number, (start, vector, length) in enumerate(
        zip(ends[:, 0], along, lengths, strict=True), start=1
    ):
        if step_A is None:
            places = np.array([length / 2])
        else:
            step = step_A / pixel_size_A
            places = np.arange(_INSIDE * step, length, step)
        points = start + places[:, None] * (vector / length)
        psi = -np.rad2deg(np.arctan2(vector[1], vector[0]))
        track = (places - places[0]) * pixel_size_A
        parts.append(np.column_stack([points, np.full((len(places), 2), (number, psi)), track]))
    rows = np.concatenate(parts) if parts else np.zeros((0, 5))
    return Table.from_columns(
        picks.name,
        {
            X: rows[:, 0],
            Y: rows[:, 1],
            TUBE: rows[:, 2].astype(np.int64),
            TILT_PRIOR: np.full(len(rows), 90.0),
            PSI_PRIOR: rows[:, 3],
            TRACK: rows[:, 4],
        },
    )


def with_flip_ratio(segments: Table, *, bimodal: bool) -> Table:
    """Say whether both directions of a filament are tried: 0.5, or 0 where polarity is known.

    Raises
    ------
    InputError
        The rows are no segments: they lack a number of the filament or a prior.
    """
    lacking = [label for label in (TUBE, TILT_PRIOR, PSI_PRIOR) if label not in segments]
    if lacking:
        raise InputError(
            f"there is no {' and no '.join(lacking)}, so these coordinates are no segments of "
            "filaments. Where they are starts and ends, say so on the Helix tab."
        )
    return segments.with_columns({FLIP: np.full(len(segments), 0.5 if bimodal else 0.0)})
