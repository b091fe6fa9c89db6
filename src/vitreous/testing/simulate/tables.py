"""The truth as STAR tables, in the words of RELION."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vitreous.io import Star, Table, write_star
from vitreous.io.atomic import write_text
from vitreous.testing.simulate.contrast import Microscope
from vitreous.testing.simulate.images import Imaging, Poses
from vitreous.testing.simulate.motion import Motion

Array = npt.NDArray[np.float64]


def optics_table(imaging: Imaging, pixel_size_A: float, box_px: int = 0, mtf: str = "") -> Table:
    """Return the optics groups: of particles where there is a box, else of micrographs."""
    groups = imaging.optics_groups
    columns: dict[str, object] = {
        "rlnOpticsGroupName": [f"opticsGroup{number}" for number in range(1, len(groups) + 1)],
        "rlnOpticsGroup": list(range(1, len(groups) + 1)),
    }
    if mtf:
        columns["rlnMtfFileName"] = [mtf] * len(groups)
    columns["rlnMicrographOriginalPixelSize"] = [pixel_size_A] * len(groups)
    if not box_px:
        columns["rlnMicrographPixelSize"] = [pixel_size_A] * len(groups)
    columns["rlnVoltage"] = [group.voltage_kV for group in groups]
    columns["rlnSphericalAberration"] = [group.cs_mm for group in groups]
    columns["rlnAmplitudeContrast"] = [group.amplitude_contrast for group in groups]
    if box_px:
        columns["rlnImagePixelSize"] = [pixel_size_A] * len(groups)
        columns["rlnImageSize"] = [box_px] * len(groups)
        columns["rlnImageDimensionality"] = [2] * len(groups)
    columns |= _aberrations(groups)
    return Table.from_columns("optics", columns)


def pose_columns(poses: Poses, imaging: Imaging, group: npt.NDArray[np.int64]) -> dict[str, object]:
    """Return the columns that tell poses, defocus and class; `group` counts from 0."""
    columns: dict[str, object] = {
        "rlnOpticsGroup": group + 1,
        "rlnAngleRot": poses.angles_deg[:, 0],
        "rlnAngleTilt": poses.angles_deg[:, 1],
        "rlnAnglePsi": poses.angles_deg[:, 2],
        "rlnOriginXAngst": poses.origin_A[:, 0],
        "rlnOriginYAngst": poses.origin_A[:, 1],
        "rlnDefocusU": poses.defocus_A[:, 0],
        "rlnDefocusV": poses.defocus_A[:, 1],
        "rlnDefocusAngle": poses.defocus_A[:, 2],
        "rlnClassNumber": poses.state + 1,
    }
    if imaging.bfactor_A2:
        columns["rlnCtfBfactor"] = np.full(len(poses), imaging.bfactor_A2)
    if any(optics.phase_shift_deg for optics in imaging.optics_groups):
        shifts = np.array([optics.phase_shift_deg for optics in imaging.optics_groups])
        columns["rlnPhaseShift"] = shifts[group]
    return columns


def motion_star(
    motion: Motion,
    movie: str,
    gain: str,
    pixel_size_A: float,
    dose_per_frame: float,
    voltage: float,
) -> Star:
    """Return the motion as the metadata of motion correction: what undoes the displacement."""
    general: dict[str, object] = {
        "rlnImageSizeX": motion.shape[1],
        "rlnImageSizeY": motion.shape[0],
        "rlnImageSizeZ": len(motion.drift_px),
        "rlnMicrographMovieName": movie,
        "rlnMicrographGainName": gain,
        "rlnMicrographBinning": 1.0,
        "rlnMicrographOriginalPixelSize": pixel_size_A,
        "rlnMicrographDoseRate": dose_per_frame,
        "rlnMicrographPreExposure": 0.0,
        "rlnVoltage": voltage,
        "rlnMicrographStartFrame": 1,
        "rlnMotionModelVersion": 1,
    }
    if not gain:
        del general["rlnMicrographGainName"]
    shifts = {
        "rlnMicrographFrameNumber": np.arange(1, len(motion.drift_px) + 1),
        "rlnMicrographShiftX": -motion.drift_px[:, 0],
        "rlnMicrographShiftY": -motion.drift_px[:, 1],
    }
    model = {
        "rlnMotionModelCoeffsIdx": np.arange(36),
        "rlnMotionModelCoeff": -motion.coefficients_px.reshape(-1),
    }
    return Star(
        [
            Table.from_columns("general", {k: [v] for k, v in general.items()}, is_list=True),
            Table.from_columns("global_shift", shifts),
            Table.from_columns("local_motion_model", model),
        ]
    )


def tracks_star(tracks_A: Array) -> Star:
    """Return where each particle was in each frame, in the form of polishing.

    Parameters
    ----------
    tracks_A
        ``(n, f, 2)``, displacement from where it was in the first frame, x y.
    """
    general = {"rlnParticleNumber": [len(tracks_A)]}
    tables = [Table.from_columns("general", general, is_list=True)]
    for number, track in enumerate(tracks_A):
        columns = {"rlnOriginXAngst": track[:, 0], "rlnOriginYAngst": track[:, 1]}
        tables.append(Table.from_columns(str(number), columns))
    return Star(tables)


def write_tables(path: Path, tables: Sequence[Table]) -> None:
    """Write a STAR file and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_star(path, Star(list(tables)))


def write_record(path: Path, record: Mapping[str, object]) -> None:
    """Write what was asked for and what was measured as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(record, indent=1, default=str) + "\n")


def _aberrations(groups: Sequence[Microscope]) -> dict[str, object]:
    columns: dict[str, object] = {}
    if any(any(group.beam_tilt_mrad) for group in groups):
        columns["rlnBeamTiltX"] = [group.beam_tilt_mrad[0] for group in groups]
        columns["rlnBeamTiltY"] = [group.beam_tilt_mrad[1] for group in groups]
    for label, name, least in (
        ("rlnOddZernike", "odd_zernike", 6),
        ("rlnEvenZernike", "even_zernike", 9),
    ):
        lists = [getattr(group, name) for group in groups]
        if any(any(one) for one in lists):
            length = max(least, *(len(one) for one in lists))
            columns[label] = [np.pad(np.array(one, float), (0, length - len(one))) for one in lists]
    return columns
