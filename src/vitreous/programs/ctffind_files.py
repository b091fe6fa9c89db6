"""The files that a CtfFind job leaves for every micrograph.

``X.ctf`` is a picture of the spectrum beside the fit, ``X_avrot.txt`` has the curves, and
``X_ctf.star``, written last, the result: where it is, the micrograph is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.micrograph_ctf import Estimate, read_estimate, write_estimate
from vitreous.io import write_mrc
from vitreous.io.atomic import write_text

CURVES = (
    "spatial frequency (1/A)",
    "rotational average of the spectrum without background",
    "average along lines of equal phase",
    "fitted CTF",
    "correlation of the two over about one ring",
    "two standard deviations of that correlation in noise",
)


@dataclass(frozen=True)
class Files:
    """Where the files of one micrograph are: its stem below the project folder, no ending."""

    project: Path
    stem: str

    @property
    def picture(self) -> str:
        """The diagnostic image, from the project folder."""
        return f"{self.stem}.ctf"

    @property
    def curves(self) -> Path:
        """The table of curves."""
        return self.project / f"{self.stem}_avrot.txt"

    @property
    def result(self) -> Path:
        """The result, written last."""
        return self.project / f"{self.stem}_ctf.star"

    def make_folder(self) -> None:
        """Make the folder that they lie in."""
        self.result.parent.mkdir(parents=True, exist_ok=True)

    def restore(self) -> Estimate | None:
        """Return the result of a micrograph that is done; None for one that is not."""
        if not (self.project / self.picture).is_file():
            return None
        return read_estimate(self.result)

    def finish(self, estimate: Estimate) -> None:
        """Write the result, which makes the micrograph one that is done."""
        write_estimate(self.result, estimate)


def write_picture(path: Path, picture: NDArray[np.float32], pixel_size_A: float) -> None:
    """Write the diagnostic image."""
    write_mrc(path, picture, pixel_size_A)


def write_curves(
    path: Path, curves: Sequence[NDArray[np.float64]], name: str, extent_A: float, side: int
) -> None:
    """Write the table of curves: six rows of numbers below lines that begin with ``#``.

    Parameters
    ----------
    path
        The file.
    curves
        In the order of `CURVES`.
    name
        The micrograph.
    extent_A, side
        Of the spectrum.
    """
    head = [
        f"# Curves of the spectrum of {name}",
        f"# Pixel size: {extent_A / side:.6f} A; box: {side} pixels",
        *(f"# Row {number}: {what}" for number, what in enumerate(CURVES, start=1)),
    ]
    rows = [" ".join(f"{value:.6f}" for value in curve) for curve in curves]
    write_text(path, "\n".join([*head, *rows]) + "\n")


def read_curves(path: Path) -> list[NDArray[np.float64]] | None:
    """Read the rows of a table of curves, ours or that of CTFFIND; None where there is none."""
    try:
        lines = path.read_text().splitlines()
        rows = [np.array(line.split(), np.float64) for line in lines if line[:1] != "#" and line]
    except (OSError, ValueError):
        return None
    return rows if len(rows) >= 4 and len({len(row) for row in rows}) == 1 else None


def ice_ring_density(curves: Sequence[NDArray[np.float64]]) -> float:
    """Add up the second row between 0.25 and 0.28 per A (preprocessing.md section 4)."""
    frequency = curves[0]
    chosen = (frequency >= 0.25) & (frequency <= 0.28)
    return float(np.abs(curves[1][chosen]).sum())
