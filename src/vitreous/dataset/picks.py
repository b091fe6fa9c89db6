"""Picks of one micrograph as a STAR table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.io import Star, Table, write_star

X, Y = "rlnCoordinateX", "rlnCoordinateY"
FOM, CLASS, PSI = "rlnAutopickFigureOfMerit", "rlnClassNumber", "rlnAnglePsi"


def picks_table(
    places_px: NDArray[np.float64],
    merit: NDArray[np.float64],
    class_number: NDArray[np.int64] | None = None,
    psi_deg: NDArray[np.float64] | None = None,
) -> Table:
    """Make the table of automatic picks.

    Parameters
    ----------
    places_px
        ``n 2``, x y in pixels of the micrograph.
    merit
        ``n``; figure of merit.
    class_number
        ``n``; number of the reference from 1, 0 (the default) for none.
    psi_deg
        ``n``; in-plane angle, 0 by default.
    """
    n = len(merit)
    return Table.from_columns(
        "",
        {
            X: places_px[:, 0],
            Y: places_px[:, 1],
            FOM: merit,
            CLASS: np.zeros(n, np.int64) if class_number is None else class_number,
            PSI: np.zeros(n) if psi_deg is None else psi_deg,
        },
    )


def filament_table(
    places_px: NDArray[np.float64],
    merit: NDArray[np.floating],
    class_number: NDArray[np.int64],
    psi_deg: NDArray[np.float64],
    tube: NDArray[np.int64],
    along_A: NDArray[np.float64],
) -> Table:
    """Make the table of segments of filaments.

    Parameters
    ----------
    places_px, merit, class_number
        As in `picks_table`.
    psi_deg
        ``n``: minus the angle of the axis from x to y.
    tube
        ``n``: number of the filament, from 1.
    along_A
        ``n``: distance from the start of the filament.
    """
    n = len(merit)
    table = picks_table(places_px, merit.astype(np.float64), class_number, psi_deg)
    return table.with_columns(
        {
            "rlnHelicalTubeID": tube,
            "rlnAngleTiltPrior": np.full(n, 90.0),
            "rlnAnglePsiPrior": psi_deg,
            "rlnHelicalTrackLengthAngst": along_A,
            "rlnAnglePsiFlipRatio": np.full(n, 0.5),
            "rlnAngleRotFlipRatio": np.full(n, 0.5),
        }
    )


def write_picks(path: Path, table: Table) -> None:
    """Write picks; without any the file is empty, which tells that the micrograph is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_star(path, Star([table]))
