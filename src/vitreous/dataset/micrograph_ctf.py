"""Micrographs whose CTF is estimated: the list that comes in, and the list with their CTF."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vitreous.dataset.optics_tables import GROUP, OPTICS, main_table, optics_of, pixel_size_A
from vitreous.dataset.reading import read_with_optics
from vitreous.engine.ctf import Optics
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table, read_star, write_star

NAME: Final = "rlnMicrographName"
UNWEIGHTED: Final = "rlnMicrographNameNoDW"
SPECTRUM: Final = "rlnCtfPowerSpectrum"
COARSEST_TOLD_A: Final = 25.0
_NONE: Final = ("", "None")


@dataclass(frozen=True)
class Microscope:
    """What the optics group of a micrograph says of it."""

    pixel_size_A: float
    voltage_kV: float
    cs_mm: float
    amplitude_contrast: float

    @property
    def optics(self) -> Optics:
        """The record that the engine takes."""
        return Optics.of(
            pixel_size_A=self.pixel_size_A,
            box_px=1,
            voltage_kV=self.voltage_kV,
            cs_mm=self.cs_mm,
            amplitude_contrast=self.amplitude_contrast,
        )


@dataclass(frozen=True)
class Micrograph:
    """One micrograph of the list.

    Parameters
    ----------
    name
        Its file, from the project folder.
    group
        Number of its optics group.
    unweighted, spectrum
        Its sum without dose weighting and its power spectrum; empty where there is none.
    microscope
        None where its optics group is missing or cannot be.
    problem
        Why there is no microscope.
    """

    name: str
    group: int
    unweighted: str = ""
    spectrum: str = ""
    microscope: Microscope | None = None
    problem: str = ""


@dataclass(frozen=True)
class Listed:
    """A list of micrographs with its optics groups."""

    optics: Table
    micrographs: tuple[Micrograph, ...]

    def has(self, label: str) -> bool:
        """Tell whether any micrograph names a file under `UNWEIGHTED` or `SPECTRUM`."""
        field = {UNWEIGHTED: "unweighted", SPECTRUM: "spectrum"}[label]
        return any(getattr(one, field) for one in self.micrographs)


@dataclass(frozen=True)
class Estimate:
    """The CTF of one micrograph.

    Parameters
    ----------
    picture
        The diagnostic image, from the project folder.
    defocus_u_A, defocus_v_A, angle_deg
        U is not smaller than V.
    figure_of_merit
        Agreement with the rings; 0 where there are none.
    resolution_A
        How far the fit goes; may be infinite.
    phase_shift_deg
        None where it was not fitted.
    ice_ring_density
        0 for unknown.
    """

    picture: str
    defocus_u_A: float
    defocus_v_A: float
    angle_deg: float
    figure_of_merit: float
    resolution_A: float
    phase_shift_deg: float | None = None
    ice_ring_density: float = 0.0

    @property
    def has_rings(self) -> bool:
        """Whether there is anything that was fitted."""
        return self.figure_of_merit > 0

    def row(self) -> dict[str, object]:
        """Return its columns, those of preprocessing.md section 4."""
        merit = self.figure_of_merit
        columns: dict[str, object] = {
            "rlnCtfImage": f"{self.picture}:mrc",
            "rlnDefocusU": round(self.defocus_u_A, 3),
            "rlnDefocusV": round(self.defocus_v_A, 3),
            "rlnCtfAstigmatism": round(abs(self.defocus_u_A - self.defocus_v_A), 3),
            "rlnDefocusAngle": round(self.angle_deg, 4),
            "rlnCtfFigureOfMerit": round(merit, 6) if math.isfinite(merit) else 0.0,
            "rlnCtfMaxResolution": round(min(self.resolution_A, COARSEST_TOLD_A), 4),
        }
        if self.phase_shift_deg is not None:
            columns["rlnPhaseShift"] = round(self.phase_shift_deg, 4)
        if self.ice_ring_density > 0:
            columns["rlnCtfIceRingDensity"] = round(self.ice_ring_density, 6)
        return columns


def read_list(path: Path | str) -> Listed:
    """Read a list of micrographs in any version of the STAR files.

    Raises
    ------
    FormatError
        It lists no micrographs, or there are no optics groups at all.
    InputError
        The list is empty.
    """
    star = read_with_optics(path)
    table = main_table(star, NAME, str(path))
    if not len(table):
        raise InputError(f"{path}: it lists no micrographs. Take a list that has some.")
    optics = optics_of(star, str(path))
    groups = {int(row[GROUP]): row for row in optics.rows()}
    numbers = table.get(GROUP)
    found = []
    for index, row in enumerate(table.rows()):
        group = 1 if numbers is None and len(groups) == 1 else int(row.get(GROUP, 0))
        microscope, problem = _microscope(groups, group, f"{path}, row {index + 1}")
        found.append(
            Micrograph(
                str(row[NAME]),
                group,
                _file(row, UNWEIGHTED),
                _file(row, SPECTRUM),
                microscope,
                problem,
            )
        )
    return Listed(optics, tuple(found))


def write_list(path: Path, listed: Listed, results: Sequence[tuple[Micrograph, Estimate]]) -> None:
    """Write ``micrographs_ctf.star``.

    Columns that only some micrographs have, such as the density of the ice ring, are 0 for others.
    """
    with_unweighted = listed.has(UNWEIGHTED)
    rows: list[dict[str, object]] = []
    for micrograph, estimate in results:
        row: dict[str, object] = {NAME: micrograph.name}
        if with_unweighted:
            row[UNWEIGHTED] = micrograph.unweighted or micrograph.name
        rows.append({**row, GROUP: micrograph.group, **estimate.row()})
    labels = list(dict.fromkeys(label for row in rows for label in row))
    columns = {label: [row.get(label, 0.0) for row in rows] for label in labels}
    write_star(path, Star([listed.optics, Table.from_columns("micrographs", columns)]))


def write_estimate(path: Path, estimate: Estimate) -> None:
    """Write the result of one micrograph to a file of its own."""
    columns = {**estimate.row(), "rlnCtfMaxResolution": round(min(estimate.resolution_A, 999.0), 4)}
    write_star(path, [Table.from_columns("ctf", columns, is_list=True)])


def read_estimate(path: Path) -> Estimate | None:
    """Read what `write_estimate` wrote; None where there is no file."""
    if not path.is_file():
        return None
    row = next(iter(read_star(path).first.rows()))
    phase = row.get("rlnPhaseShift")
    return Estimate(
        str(row["rlnCtfImage"]).removesuffix(":mrc"),
        float(row["rlnDefocusU"]),
        float(row["rlnDefocusV"]),
        float(row["rlnDefocusAngle"]),
        float(row["rlnCtfFigureOfMerit"]),
        float(row["rlnCtfMaxResolution"]),
        None if phase is None else float(phase),
        float(row.get("rlnCtfIceRingDensity", 0.0)),
    )


def _file(row: Mapping[str, Any], label: str) -> str:
    name = str(row.get(label, ""))
    return "" if name in _NONE else name


def _microscope(
    groups: Mapping[int, Mapping[str, Any]], group: int, where: str
) -> tuple[Microscope | None, str]:
    """Return the microscope of an optics group, or what is wrong with it."""
    if group not in groups:
        known = ", ".join(map(str, groups))
        return None, f"{where}: {GROUP} is {group or 'missing'}, but data_{OPTICS} has {known}"
    row = groups[group]
    pixel = pixel_size_A(row)
    if pixel is None:
        return None, (
            f"optics group {group} has no pixel size above 0 (rlnMicrographPixelSize); give it in "
            "the Import job"
        )
    labels = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
    missing = [label for label in labels if label not in row]
    if missing:
        return None, f"optics group {group} has no {', '.join(missing)}"
    voltage, cs, contrast = (float(row[label]) for label in labels)
    if not (voltage > 0 and cs >= 0 and 0 <= contrast < 1):
        return None, (
            f"optics group {group} has a voltage of {voltage:g} kV, a spherical aberration of "
            f"{cs:g} mm and an amplitude contrast of {contrast:g}; wanted above 0, at least 0, and "
            "0 to 1"
        )
    return Microscope(pixel, voltage, cs, contrast), ""


def require_microscope(micrograph: Micrograph) -> Microscope:
    """Return the microscope of a micrograph that has one.

    Raises
    ------
    FormatError
        It has none; the message says why.
    """
    if micrograph.microscope is None:
        raise FormatError(f"{micrograph.name}: {micrograph.problem}.")
    return micrograph.microscope
