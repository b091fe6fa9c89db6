"""Particles of RELION as a `.cs` file of cryoSPARC; the way back from `cryosparc.read_cs`."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vitreous.errors import AbsentError, FormatError, VitreousError
from vitreous.io.atomic import write_bytes
from vitreous.io.image_refs import parse_ref, split_format
from vitreous.io.mrc import read_header
from vitreous.io.star import Star

_CS_MM_TO_A = 1e7
#: Field -> label, factor and value where there is no column.
_CTF = {
    "accel_kv": ("rlnVoltage", 1.0, None),
    "cs_mm": ("rlnSphericalAberration", 1.0, None),
    "amp_contrast": ("rlnAmplitudeContrast", 1.0, None),
    "df1_A": ("rlnDefocusU", 1.0, 0.0),
    "df2_A": ("rlnDefocusV", 1.0, 0.0),
    "df_angle_rad": ("rlnDefocusAngle", np.pi / 180, 0.0),
    "phase_shift_rad": ("rlnPhaseShift", np.pi / 180, 0.0),
    "scale": ("rlnCtfScalefactor", 1.0, 1.0),
    "bfactor": ("rlnCtfBfactor", 1.0, 0.0),
    "cross_corr_ctffind4": ("rlnCtfFigureOfMerit", 1.0, 0.0),
    "ctf_fit_to_A": ("rlnCtfMaxResolution", 1.0, 0.0),
}
_EMPTY = {"scale_const": (), "shift_A": (2,), "trefoil_A": (2,), "tetra_A": (4,), "anisomag": (4,)}
_NOT_CARRIED = ("rlnOddZernike", "rlnEvenZernike", "rlnMagMat00")


def write_cs(path: Path | str, star: Star, *, root: Path | str = ".") -> tuple[str, ...]:
    """Write particles with cryoSPARC's fields.

    Parameters
    ----------
    path
        The `.cs` file.
    star
        With ``data_optics`` and ``data_particles``.
    root
        Folder that names of micrographs start from: coordinates are fractions of the sides of
        micrographs, which are read from their headers.

    Returns
    -------
    tuple of str
        What could not be carried over.

    Raises
    ------
    AbsentError, FormatError
        A table or a column that every particle needs is missing, or optics groups do not resolve.
    """
    columns = _Columns(star)
    notes = [f"{label}: not carried over" for label in _NOT_CARRIED if columns.has(label)]
    fields: dict[str, np.ndarray] = {"uid": _uids(columns)}
    fields |= _blob(columns) | _ctf(columns)
    fields |= _location(columns, Path(root), notes)
    fields |= _alignments(columns)
    records = np.empty(len(columns), [(n, v.dtype, v.shape[1:]) for n, v in fields.items()])
    for name, values in fields.items():
        records[name] = values
    stream = io.BytesIO()
    np.save(stream, records, allow_pickle=False)
    write_bytes(Path(path), stream.getvalue())
    return tuple(notes)


class _Columns:
    """Columns of particles, of their own table or of their optics group."""

    def __init__(self, star: Star) -> None:
        if "particles" not in star or "optics" not in star:
            raise AbsentError(
                "wanted the tables data_optics and data_particles, as RELION 3.1 and newer write "
                f"them; found {', '.join(star) or 'none'}"
            )
        self._particles, self._optics = star["particles"], star["optics"]
        numbers = np.asarray(self._optics["rlnOpticsGroup"], np.int64)
        wanted = np.asarray(self._particles["rlnOpticsGroup"], np.int64)
        order = np.argsort(numbers)
        self.group = order[np.searchsorted(numbers, wanted, sorter=order).clip(max=len(order) - 1)]
        lost = np.flatnonzero(numbers[self.group] != wanted)
        if len(lost):
            raise FormatError(
                f"data_particles row {lost[0] + 1}: rlnOpticsGroup is {wanted[lost[0]]}, but "
                f"data_optics has {', '.join(map(str, sorted(numbers.tolist())))}."
            )

    def __len__(self) -> int:
        return len(self._particles)

    def has(self, label: str) -> bool:
        return label in self._particles or label in self._optics

    def numbers(self, label: str, default: float | None = None) -> np.ndarray:
        """Return float64 of each particle."""
        if label in self._particles:
            return np.asarray(self._particles[label], np.float64)
        if label in self._optics:
            values: np.ndarray = np.asarray(self._optics[label], np.float64)[self.group]
            return values
        if default is None:
            raise AbsentError(f"neither data_particles nor data_optics has {label}")
        return np.full(len(self), default)

    def texts(self, label: str) -> list[str]:
        if label not in self._particles:
            raise AbsentError(f"data_particles has no {label}")
        return [str(value) for value in self._particles[label]]


def _uids(columns: _Columns) -> np.ndarray:
    """Return the numbers that the particles had, or new ones that follow from the images' names."""
    if columns.has("cryosparcUid"):
        return np.array([int(value) for value in columns.texts("cryosparcUid")], np.uint64)
    return _numbers_of(columns.texts("rlnImageName"))


def _numbers_of(names: list[str]) -> np.ndarray:
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)


def _blob(columns: _Columns) -> dict[str, np.ndarray]:
    refs = [parse_ref(name) for name in columns.texts("rlnImageName")]
    size = columns.numbers("rlnImageSize").astype(np.uint32)
    return {
        "blob/path": np.array([str(split_format(ref.path)[0]).encode() for ref in refs]),
        "blob/idx": np.array([ref.index0 or 0 for ref in refs], np.uint32),
        "blob/shape": np.stack([size, size], axis=1),
        "blob/psize_A": columns.numbers("rlnImagePixelSize").astype(np.float32),
        "blob/sign": np.ones(len(columns), np.float32),
    }


def _ctf(columns: _Columns) -> dict[str, np.ndarray]:
    n = len(columns)
    fields: dict[str, np.ndarray] = {
        "ctf/type": np.full(n, b"imported"),
        "ctf/exp_group_id": columns.group.astype(np.uint32),
    }
    for name, (label, factor, default) in _CTF.items():
        fields[f"ctf/{name}"] = (columns.numbers(label, default) * factor).astype(np.float32)
    mrad = np.stack([columns.numbers(f"rlnBeamTilt{axis}", 0.0) for axis in "XY"], axis=1)
    cs_A = columns.numbers("rlnSphericalAberration")[:, None] * _CS_MM_TO_A
    fields["ctf/tilt_A"] = (np.sin(mrad / 1e3) * cs_A).astype(np.float32)
    for name, shape in _EMPTY.items():
        fields[f"ctf/{name}"] = np.zeros((n, *shape), np.float32)
    return fields


def _location(columns: _Columns, root: Path, notes: list[str]) -> dict[str, np.ndarray]:
    if not columns.has("rlnMicrographName"):
        return {}
    names = columns.texts("rlnMicrographName")
    fields: dict[str, np.ndarray] = {
        "location/micrograph_path": np.array([name.encode() for name in names]),
        "location/micrograph_uid": _numbers_of(names),
        "location/exp_group_id": columns.group.astype(np.uint32),
    }
    if not columns.has("rlnCoordinateX"):
        return fields
    sizes = _sizes(names, root)
    lost = sorted(set(names) - set(sizes))
    if lost:
        notes.append(
            f"coordinates are not carried over: {len(lost)} of {len(set(names))} micrographs "
            f"cannot be read, so their sides are not known (first: {lost[0]})"
        )
        return fields
    shape = np.array([sizes[name] for name in names], np.uint32).reshape(-1, 2)
    fields["location/micrograph_shape"] = shape
    for axis, side in (("x", shape[:, 1]), ("y", shape[:, 0])):
        fraction = columns.numbers(f"rlnCoordinate{axis.upper()}") / side
        fields[f"location/center_{axis}_frac"] = fraction.astype(np.float32)
    return fields


def _sizes(names: list[str], root: Path) -> Mapping[str, tuple[int, int]]:
    """Return height and width of the micrographs that can be read."""
    found: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(names):
        try:
            shape = read_header(root / name).shape
        except VitreousError:
            continue
        found[name] = (shape[1], shape[2])
    return found


def _alignments(columns: _Columns) -> dict[str, np.ndarray]:
    """Return poses in three dimensions where there are rot and tilt, else in two."""
    n = len(columns)
    if columns.has("rlnAngleRot"):
        from scipy.spatial.transform import Rotation  # takes half a second to load

        kind = "alignments3D"
        angles = np.stack([columns.numbers(f"rlnAngle{a}") for a in ("Rot", "Tilt", "Psi")], 1)
        pose = Rotation.from_euler("ZYZ", angles, degrees=True).as_rotvec()
    elif columns.has("rlnAnglePsi"):
        kind, pose = "alignments2D", np.radians(columns.numbers("rlnAnglePsi"))
    else:
        return {}
    pixel = columns.numbers("rlnImagePixelSize")
    shift = np.stack([columns.numbers(f"rlnOrigin{a}Angst", 0.0) for a in "XY"], 1) / pixel[:, None]
    whole = {
        "split": columns.numbers("rlnRandomSubset", 1.0) - 1,
        "class": columns.numbers("rlnClassNumber", 1.0) - 1,
    }
    fields = {"pose": pose, "shift": shift, "psize_A": pixel, "class_posterior": np.ones(n)}
    return {f"{kind}/{name}": values.astype(np.float32) for name, values in fields.items()} | {
        f"{kind}/{name}": values.astype(np.uint32) for name, values in whole.items()
    }
