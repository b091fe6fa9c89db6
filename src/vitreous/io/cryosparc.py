"""cryoSPARC particle files (`.cs`) as tables with RELION's labels.

A `.cs` file is a NumPy structured array with one record per particle; fields have names such as
``ctf/df1_A``. Particles of one job may be spread over several files with the same ``uid``. The
rotation vector ``pose`` turns the particle onto the reference, so RELION's matrix is the
transpose of its rotation matrix; shifts are pixels of ``psize_A`` in RELION's direction; indices
count from 0 there and from 1 in RELION. Stacks there may end in ``.mrc``, which RELION only takes
for maps: such names get the ending ``:mrcs``, by which both programs read them as stacks.
`cryosparc_write` is the way back.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from vitreous.errors import AbsentError, FormatError, MissingFileError
from vitreous.io.star import Star
from vitreous.io.star_table import Table

#: Field -> label and factor, for values that stay numbers of a particle.
_ROWS = {
    "ctf/df1_A": ("rlnDefocusU", 1.0),
    "ctf/df2_A": ("rlnDefocusV", 1.0),
    "ctf/df_angle_rad": ("rlnDefocusAngle", 180 / np.pi),
    "ctf/phase_shift_rad": ("rlnPhaseShift", 180 / np.pi),
    "ctf/bfactor": ("rlnCtfBfactor", 1.0),
    "ctf/scale": ("rlnCtfScalefactor", 1.0),
    "ctf/cross_corr_ctffind4": ("rlnCtfFigureOfMerit", 1.0),
    "ctf/ctf_fit_to_A": ("rlnCtfMaxResolution", 1.0),
}
_OPTICS = {
    "ctf/accel_kv": "rlnVoltage",
    "ctf/cs_mm": "rlnSphericalAberration",
    "ctf/amp_contrast": "rlnAmplitudeContrast",
    "blob/psize_A": "rlnImagePixelSize",
}
#: Fitted values that have no label with a documented conversion.
_NOT_CARRIED = ("ctf/trefoil_A", "ctf/tetra_A", "ctf/anisomag", "ctf/shift_A")
_CS_MM_TO_A = 1e7


def read_cs(path: Path | str, passthrough: Iterable[Path | str] = ()) -> Star:
    """Read particles of cryoSPARC.

    Parameters
    ----------
    path
        The `.cs` file.
    passthrough
        More files of the same particles, joined by ``uid``; the first that has a field counts.

    Returns
    -------
    Star
        ``data_optics``, one group for each exposure group, pixel size and box; and
        ``data_particles`` with image names (``000001@stack.mrc:mrcs``), CTF, coordinates, poses
        (3D, or psi of 2D), origins in Angstrom, classes and half sets, as far as they are there,
        and ``cryosparcUid``. `Star.notes` tells what could not be carried over.

    Raises
    ------
    MissingFileError, FormatError
        A file is not there, is not a `.cs` file, or lacks particles of the first one.
    """
    fields = _joined(Path(path), [Path(other) for other in passthrough])
    notes = [
        f"{name}: fitted values are not carried over; refine them again"
        for name in _NOT_CARRIED
        if name in fields and np.any(fields[name])
    ]
    n_dark = int(np.count_nonzero(fields.get("blob/sign", np.zeros(0)) < 0))
    if n_dark:
        notes.append(
            f"blob/sign is -1 for {n_dark} particles: their images are dark on light, and "
            "refinements want them light; invert the stacks (`vitreous image --multiply_constant "
            "-1`) unless that was done"
        )
    optics, group = _optics(fields, path)
    columns = _images(fields) | _ctf(fields) | _poses(fields, notes)
    columns |= {"rlnOpticsGroup": group, "cryosparcUid": [str(uid) for uid in fields["uid"]]}
    return Star([optics, Table.from_columns("particles", columns)], notes=notes)


def _load(path: Path) -> np.ndarray:
    try:
        records = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise MissingFileError(f"{path}: no such file") from None
    except (ValueError, EOFError, OSError) as error:
        raise FormatError(
            f"{path} is not a .cs file that can be read ({error}); a NumPy array of records is "
            "wanted, as cryoSPARC saves them"
        ) from None
    names = getattr(records, "dtype", np.dtype(float)).names
    if not names or "uid" not in names or records.ndim != 1:
        raise FormatError(
            f"{path}: records with a uid are wanted, found {names or 'plain numbers'}"
        )
    return np.asarray(records)


def _joined(path: Path, others: list[Path]) -> dict[str, np.ndarray]:
    """Return all fields by name, each in the order of the first file."""
    records = _load(path)
    fields = {name: records[name] for name in records.dtype.names or ()}
    for other in others:
        more = _load(other)
        order = np.argsort(more["uid"], kind="stable")
        places = np.searchsorted(more["uid"], records["uid"], sorter=order)
        rows = order[np.minimum(places, len(order) - 1)] if len(order) else places
        found = more["uid"][rows] == records["uid"] if len(order) else np.zeros(len(records), bool)
        if not np.all(found):
            raise FormatError(
                f"{other} lacks {np.count_nonzero(~found)} of the {len(records)} particles of "
                f"{path} (first: uid {records['uid'][~found][0]}); are they of one job?"
            )
        for name in more.dtype.names or ():
            fields.setdefault(name, more[name][rows])
    return fields


def _exact(values: np.ndarray) -> np.ndarray:
    """Return float64 with the decimal digits that a person sees in a float32."""
    if values.dtype != np.float32:
        return values.astype(np.float64)
    distinct, inverse = np.unique(values, return_inverse=True)
    return distinct.astype(str).astype(np.float64)[inverse.reshape(values.shape)]


def _text(values: np.ndarray) -> list[str]:
    """Return paths; a leading ``>`` marks those of another project."""
    return [
        (value.decode() if isinstance(value, bytes) else str(value)).removeprefix(">")
        for value in values.tolist()
    ]


def _as_stack(path: str) -> str:
    return f"{path}:mrcs" if path.lower().endswith(".mrc") else path


def _optics(fields: dict[str, np.ndarray], path: Path | str) -> tuple[Table, np.ndarray]:
    """Return the optics table and the 1-based group of each particle."""
    missing = [name for name in ("blob/path", "blob/idx", *_OPTICS) if name not in fields]
    if missing:
        raise AbsentError(
            f"{path} has no {', '.join(missing)}; add the passthrough file of the same job"
        )
    n_rows = len(fields["uid"])
    columns = {label: _exact(fields[name]) for name, label in _OPTICS.items()}
    if "blob/shape" in fields:
        columns["rlnImageSize"] = fields["blob/shape"][:, 0].astype(np.float64)
    if np.any(fields.get("ctf/tilt_A", 0)):
        tilt = _exact(fields["ctf/tilt_A"])
        cs_A = columns["rlnSphericalAberration"][:, None] * _CS_MM_TO_A
        mrad = 1e3 * np.arcsin(np.divide(tilt, cs_A, out=np.zeros_like(tilt), where=cs_A > 0))
        columns |= {"rlnBeamTiltX": mrad[:, 0], "rlnBeamTiltY": mrad[:, 1]}
    exposure = fields.get("ctf/exp_group_id", np.zeros(n_rows)).astype(np.float64)
    values = np.stack([exposure, *columns.values()], axis=1)
    _, first, group = np.unique(values, axis=0, return_index=True, return_inverse=True)
    numbers = range(1, len(first) + 1)
    table = {
        "rlnOpticsGroup": list(numbers),
        "rlnOpticsGroupName": [f"opticsGroup{number}" for number in numbers],
        **{label: column[first] for label, column in columns.items()},
        "rlnImageDimensionality": [2] * len(first),
    }
    return Table.from_columns("optics", table), group.reshape(-1) + 1


def _images(fields: dict[str, np.ndarray]) -> dict[str, object]:
    columns: dict[str, object] = {
        "rlnImageName": [
            f"{index + 1:06d}@{_as_stack(path)}"
            for index, path in zip(
                fields["blob/idx"].tolist(), _text(fields["blob/path"]), strict=True
            )
        ]
    }
    if "location/micrograph_path" in fields:
        columns["rlnMicrographName"] = _text(fields["location/micrograph_path"])
    if "location/center_x_frac" in fields and "location/micrograph_shape" in fields:
        shape = fields["location/micrograph_shape"]
        columns["rlnCoordinateX"] = _exact(fields["location/center_x_frac"]) * shape[:, 1]
        columns["rlnCoordinateY"] = _exact(fields["location/center_y_frac"]) * shape[:, 0]
    return columns


def _ctf(fields: dict[str, np.ndarray]) -> dict[str, object]:
    return {
        label: _exact(fields[name]) * factor
        for name, (label, factor) in _ROWS.items()
        if name in fields
    }


def _poses(fields: dict[str, np.ndarray], notes: list[str]) -> dict[str, object]:
    """Return angles, origins, classes and half sets of the last alignment."""
    if "alignments3D/pose" in fields:
        found = {
            name.split("/")[1]: fields[name] for name in fields if name[:13] == "alignments3D/"
        }
        rotation = np.swapaxes(rotation_from_vector(_exact(found["pose"])), 1, 2)
        angles = euler_from_matrix(rotation)
        columns = {
            "rlnAngleRot": angles[:, 0],
            "rlnAngleTilt": angles[:, 1],
            "rlnAnglePsi": angles[:, 2],
        }
    elif "alignments2D/pose" in fields:
        found = {
            name.split("/")[1]: fields[name] for name in fields if name[:13] == "alignments2D/"
        }
        columns = {"rlnAnglePsi": np.degrees(_exact(found["pose"]))}
    else:
        if any(name.startswith("alignments") for name in fields):
            notes.append("alignments of several classes at once are not carried over")
        return {}
    if "shift" in found:
        pixel = _exact(found.get("psize_A", fields["blob/psize_A"]))
        origin = _exact(found["shift"]) * pixel[:, None]
        columns |= {"rlnOriginXAngst": origin[:, 0], "rlnOriginYAngst": origin[:, 1]}
    if "class" in found:
        columns["rlnClassNumber"] = found["class"].astype(np.int64) + 1
    if "split" in found and len(np.unique(found["split"])) == 2:
        columns["rlnRandomSubset"] = found["split"].astype(np.int64) + 1
    return dict(columns)


def rotation_from_vector(vectors: np.ndarray) -> np.ndarray:
    """Return rotation matrices from axis times angle (Rodrigues).

    Parameters
    ----------
    vectors
        Shape (n, 3), radians, components x y z.

    Returns
    -------
    np.ndarray
        Shape (n, 3, 3), acting on column vectors.
    """
    angle = np.linalg.norm(vectors, axis=1)
    x, y, z = (vectors / np.where(angle > 0, angle, 1)[:, None]).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    sine, versine = np.sin(angle)[:, None, None], (1 - np.cos(angle))[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + versine * (cross @ cross))


def euler_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return rot, tilt, psi of RELION's matrix A (formats.md section 6).

    Parameters
    ----------
    matrix
        Shape (n, 3, 3).

    Returns
    -------
    np.ndarray
        Shape (n, 3), degrees; tilt from 0 to 180, rot 0 where the axis does not determine it.
    """
    sin_tilt = np.hypot(matrix[:, 2, 0], matrix[:, 2, 1])
    polar = sin_tilt < 1e-9
    up = matrix[:, 2, 2] > 0
    rot = np.where(polar, 0.0, np.arctan2(matrix[:, 2, 1], matrix[:, 2, 0]))
    tilt = np.where(polar, np.where(up, 0.0, np.pi), np.arctan2(sin_tilt, matrix[:, 2, 2]))
    at_pole = np.where(
        up,
        np.arctan2(-matrix[:, 1, 0], matrix[:, 0, 0]),
        np.arctan2(matrix[:, 1, 0], -matrix[:, 0, 0]),
    )
    psi = np.where(polar, at_pole, np.arctan2(matrix[:, 1, 2], -matrix[:, 0, 2]))
    angles: np.ndarray = np.degrees(np.stack([rot, tilt, psi], axis=1))
    return angles
