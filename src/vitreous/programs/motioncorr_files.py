"""The files that motion correction leaves of each movie, and how a finished one is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitreous.dataset.motion_star import MovieMotion, read_motion
from vitreous.dataset.motion_table import Corrected, MovieRow

_CUTOFF_E_PER_A2 = 4.0


@dataclass(frozen=True)
class Files:
    """Where everything goes.

    Parameters
    ----------
    stems
        Of each movie: path from the project folder, without an ending.
    endings
        Of the images that every movie gets, such as ``""``, ``_noDW``, ``_PS``.
    early_dose_e_per_A2
        Motion up to this dose counts as early.
    """

    stems: tuple[str, ...]
    endings: tuple[str, ...]
    early_dose_e_per_A2: float = _CUTOFF_E_PER_A2

    def stem(self, movie: MovieRow) -> str:
        """Return where the files of a movie go, without an ending."""
        return self.stems[movie.number]

    def restore(self, movie: MovieRow) -> Corrected | None:
        """Return what an earlier run left of a movie; None where anything is missing."""
        stem = self.stem(movie)
        images = [Path(f"{stem}{ending}.mrc") for ending in self.endings]
        if not all(path.is_file() for path in (*images, Path(f"{stem}.star"))):
            return None
        return corrected(movie, read_motion(f"{stem}.star"), self)


def corrected(movie: MovieRow, motion: MovieMotion, files: Files) -> Corrected:
    """Return the row of the list of micrographs that a movie gives."""
    stem = files.stem(movie)

    def name(ending: str) -> str:
        return f"{stem}{ending}.mrc" if ending in files.endings else ""

    dose = motion.dose_per_frame_e_per_A2
    early = (files.early_dose_e_per_A2 - motion.pre_exposure_e_per_A2) / dose if dose > 0 else 0.0
    early_px, late_px = motion.travelled_px(early)
    return Corrected(
        number=movie.number,
        micrograph=f"{stem}.mrc",
        metadata=f"{stem}.star",
        early_px=early_px,
        late_px=late_px,
        pixel_size_A=motion.pixel_size_A,
        n_frames=len(motion.shift_px),
        unweighted=name("_noDW"),
        spectrum=name("_PS"),
        even=name("_EVN"),
        odd=name("_ODD"),
    )
