"""The STAR file of a movie's motion, in RELION's form (formats.md section 3).

Shifts are what moves a frame back, in pixels of the movie as recorded, zero in the first frame
that is used. RELION keeps the coefficients of the local model in pixels of the *binned* micrograph
while all else is unbinned; here they are unbinned too, a comment in the block says so, and RELION's
files are put right when they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.errors import FormatError
from vitreous.io import Star, Table, read_star, write_star

Array = npt.NDArray[np.float64]

UNBINNED = "coefficients in pixels of the movie as recorded, unbinned"
NOT_OBSERVED = -9999.0
_N_COEFFICIENTS = 36


@dataclass(frozen=True)
class MovieMotion:
    """What is known of a movie after its motion was corrected.

    Parameters
    ----------
    movie
        The file.
    shape
        ``(y, x)`` of its frames.
    shift_px
        ``(f, 2)``, x y, for every frame of the file; NaN where a frame was not used.
    pixel_size_A
        Of the movie as recorded.
    binning
        Of the micrograph against the movie.
    dose_per_frame_e_per_A2, pre_exposure_e_per_A2, voltage_kV
        As they were given.
    first_frame
        First frame that was used, from 1.
    coefficients_px
        ``(2, 18)``, the local model; None without one.
    hot_px
        ``(n, 2)``, x y of hot pixels.
    local_frame, local_place_px, local_shift_px
        ``(m,)`` from 1, ``(m, 2)``, ``(m, 2)``: what was measured in patches.
    gain, defects
        Files that were used; may be empty.
    eer_upsampling, eer_grouping
        How EER frames were made; 0 for other movies.
    """

    movie: str
    shape: tuple[int, int]
    shift_px: Array
    pixel_size_A: float
    binning: float
    dose_per_frame_e_per_A2: float
    pre_exposure_e_per_A2: float
    voltage_kV: float
    first_frame: int
    coefficients_px: Array | None
    hot_px: Array
    local_frame: npt.NDArray[np.int64]
    local_place_px: Array
    local_shift_px: Array
    gain: str = ""
    defects: str = ""
    eer_upsampling: int = 0
    eer_grouping: int = 0

    def travelled_px(self, early_frames: float) -> tuple[float, float]:
        """Return how far the frames as a whole went up to a frame, and after it.

        Parameters
        ----------
        early_frames
            Steps between frames up to this number (from 1) are early.
        """
        used = np.flatnonzero(np.isfinite(self.shift_px).all(1))
        steps = np.hypot(*np.diff(self.shift_px[used], axis=0).T)
        early = used[1:] + 1 <= early_frames
        return float(steps[early].sum()), float(steps[~early].sum())


def write_motion(path: Path | str, motion: MovieMotion) -> None:
    """Write the file, whole or not at all."""
    frames = np.arange(1, len(motion.shift_px) + 1)
    shifts = np.where(np.isfinite(motion.shift_px), motion.shift_px, NOT_OBSERVED)
    found = motion.coefficients_px
    coefficients = np.zeros(0) if found is None else found.reshape(-1)
    tables = [
        _table("general", _general(motion), is_list=True),
        _table(
            "global_shift",
            {
                "rlnMicrographFrameNumber": frames,
                "rlnMicrographShiftX": shifts[:, 0],
                "rlnMicrographShiftY": shifts[:, 1],
            },
        ),
        Table.from_columns(
            "local_motion_model",
            {
                "rlnMotionModelCoeffsIdx": np.arange(len(coefficients)),
                "rlnMotionModelCoeff": coefficients,
            },
            comment=UNBINNED,
        ),
        _table(
            "hot_pixels",
            {"rlnCoordinateX": motion.hot_px[:, 0], "rlnCoordinateY": motion.hot_px[:, 1]},
        ),
        _table(
            "local_shift",
            {
                "rlnMicrographFrameNumber": motion.local_frame,
                "rlnCoordinateX": motion.local_place_px[:, 0],
                "rlnCoordinateY": motion.local_place_px[:, 1],
                "rlnMicrographShiftX": motion.local_shift_px[:, 0],
                "rlnMicrographShiftY": motion.local_shift_px[:, 1],
            },
        ),
    ]
    write_star(path, Star(tables), keep_empty=True)


def read_motion(path: Path | str) -> MovieMotion:
    """Read the file that we or RELION wrote.

    Raises
    ------
    FormatError
        A block or column is missing.
    """
    star = read_star(path)
    if "general" not in star or "global_shift" not in star:
        raise FormatError(f"{path}: no data_general and data_global_shift; wanted the STAR file "
                          "that motion correction leaves beside a micrograph.")  # fmt: skip
    general = next(star["general"].rows())
    shifts = _columns(star["global_shift"], "rlnMicrographShiftX", "rlnMicrographShiftY")
    shifts = np.where(shifts == NOT_OBSERVED, np.nan, shifts)
    binning = float(general.get("rlnMicrographBinning", 1.0))
    local = star.get("local_shift", Table("local_shift"))
    hot = star.get("hot_pixels", Table("hot_pixels"))
    return MovieMotion(
        movie=str(general["rlnMicrographMovieName"]),
        shape=(int(general["rlnImageSizeY"]), int(general["rlnImageSizeX"])),
        shift_px=shifts,
        pixel_size_A=float(general["rlnMicrographOriginalPixelSize"]),
        binning=binning,
        dose_per_frame_e_per_A2=float(general.get("rlnMicrographDoseRate", 0.0)),
        pre_exposure_e_per_A2=float(general.get("rlnMicrographPreExposure", 0.0)),
        voltage_kV=float(general.get("rlnVoltage", 0.0)),
        first_frame=int(general.get("rlnMicrographStartFrame", 1)),
        coefficients_px=_coefficients(star, binning, path),
        hot_px=_columns(hot, "rlnCoordinateX", "rlnCoordinateY"),
        local_frame=_one(local, "rlnMicrographFrameNumber").astype(np.int64),
        local_place_px=_columns(local, "rlnCoordinateX", "rlnCoordinateY"),
        local_shift_px=_columns(local, "rlnMicrographShiftX", "rlnMicrographShiftY"),
        gain=str(general.get("rlnMicrographGainName", "")),
        defects=str(general.get("rlnMicrographDefectFile", "")),
        eer_upsampling=int(general.get("rlnEERUpsampling", 0)),
        eer_grouping=int(general.get("rlnEERGrouping", 0)),
    )


def _general(motion: MovieMotion) -> dict[str, object]:
    values: dict[str, object] = {
        "rlnImageSizeX": motion.shape[1],
        "rlnImageSizeY": motion.shape[0],
        "rlnImageSizeZ": len(motion.shift_px),
        "rlnMicrographMovieName": motion.movie,
    }
    if motion.gain:
        values["rlnMicrographGainName"] = motion.gain
    if motion.defects:
        values["rlnMicrographDefectFile"] = motion.defects
    values |= {
        "rlnMicrographBinning": motion.binning,
        "rlnMicrographOriginalPixelSize": motion.pixel_size_A,
        "rlnMicrographDoseRate": motion.dose_per_frame_e_per_A2,
        "rlnMicrographPreExposure": motion.pre_exposure_e_per_A2,
        "rlnVoltage": motion.voltage_kV,
        "rlnMicrographStartFrame": motion.first_frame,
    }
    if motion.eer_grouping:
        values["rlnEERUpsampling"] = motion.eer_upsampling
        values["rlnEERGrouping"] = motion.eer_grouping
    values["rlnMotionModelVersion"] = 0 if motion.coefficients_px is None else 1
    return values


def _coefficients(star: Star, binning: float, path: Path | str) -> Array | None:
    table = star.get("local_motion_model")
    if table is None or not len(table):
        return None
    values = _one(table, "rlnMotionModelCoeff")
    if len(values) != _N_COEFFICIENTS:
        raise FormatError(
            f"{path}, data_local_motion_model: {len(values)} coefficients; wanted "
            f"{_N_COEFFICIENTS}, 18 for each axis."
        )
    ours = UNBINNED in table.comment
    return values.reshape(2, -1) * (1.0 if ours else binning)


def _table(name: str, columns: dict[str, object], *, is_list: bool = False) -> Table:
    return Table.from_columns(name, columns, is_list=is_list)


def _columns(table: Table, *labels: str) -> Array:
    return np.stack([_one(table, label) for label in labels], 1)


def _one(table: Table, label: str) -> Array:
    if label not in table:
        return np.zeros(0)
    return np.asarray(table[label], np.float64)
