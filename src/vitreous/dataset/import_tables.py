"""The list of imported movies or micrographs: one optics group per import, files added to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.dataset.findings import name_a_few
from vitreous.dataset.optics_tables import (
    GROUP,
    GROUP_NAME,
    OPTICS,
    differences,
    optics_from_rows,
)
from vitreous.errors import InputError
from vitreous.io import Star, Table

SMALLEST_BEAM_TILT_MRAD = 0.001


@dataclass(frozen=True)
class Exposures:
    """What kind of images a list holds: name of its table and of its column."""

    table: str
    label: str


MOVIES = Exposures("movies", "rlnMicrographMovieName")
MICROGRAPHS = Exposures("micrographs", "rlnMicrographName")


@dataclass(frozen=True)
class Microscope:
    """The values that all images of one import share.

    Parameters
    ----------
    group
        Name of the optics group.
    pixel_size_A
        Of the files as they are.
    beam_tilt_mrad
        x and y; written only where their sum is above 0.001.
    mtf
        STAR file with the MTF of the detector; may be empty.
    """

    group: str
    pixel_size_A: float
    voltage_kV: float
    cs_mm: float
    amplitude_contrast: float
    beam_tilt_mrad: tuple[float, float] = (0.0, 0.0)
    mtf: str = ""

    def row(self, exposures: Exposures) -> dict[str, object]:
        """Return the row of the optics table, in RELION's order of columns."""
        row: dict[str, object] = {GROUP_NAME: self.group, GROUP: 1}
        if self.mtf:
            row["rlnMtfFileName"] = self.mtf
        if exposures is MICROGRAPHS:
            row["rlnMicrographPixelSize"] = self.pixel_size_A
        row["rlnMicrographOriginalPixelSize"] = self.pixel_size_A
        row["rlnVoltage"] = self.voltage_kV
        row["rlnSphericalAberration"] = self.cs_mm
        row["rlnAmplitudeContrast"] = self.amplitude_contrast
        if sum(abs(tilt) for tilt in self.beam_tilt_mrad) > SMALLEST_BEAM_TILT_MRAD:
            row["rlnBeamTiltX"], row["rlnBeamTiltY"] = self.beam_tilt_mrad
        return row


def add_exposures(
    files: Sequence[str],
    microscope: Microscope,
    exposures: Exposures,
    existing: Star | None = None,
) -> tuple[Star, list[str]]:
    """List files under their optics group, below those that are listed already.

    Parameters
    ----------
    files
        In the order wanted.
    microscope
        Their optics group; a group of the same name in `existing` is the same group.
    exposures
        `MOVIES` or `MICROGRAPHS`.
    existing
        What an earlier import listed.

    Returns
    -------
    Star
        All files.
    list of str
        Those that are new.

    Raises
    ------
    InputError
        The group is there with other values, or a file is there in another group.
    """
    row = microscope.row(exposures)
    rows = [] if existing is None else [dict(old) for old in existing[OPTICS].rows()]
    number = _number_of(row, rows)
    if number > len(rows):
        rows.append({**row, GROUP: number})
    optics, _ = optics_from_rows(rows)
    listed: dict[str, int] = {}
    table = None if existing is None else existing.get(exposures.table)
    if table is not None:
        listed = dict(zip(table[exposures.label].tolist(), table[GROUP].tolist(), strict=True))
    _refuse_other_group(files, listed, number, microscope.group, rows)
    new = [name for name in dict.fromkeys(files) if name not in listed]
    added = Table.from_columns(
        exposures.table, {exposures.label: new, GROUP: np.full(len(new), number)}
    )
    if table is None:
        return Star([optics, added]), new
    extra = {
        label: [_blank(table[label])] * len(new) for label in table.labels if label not in added
    }
    added = added.with_columns(extra) if extra else added
    return existing_with(existing, optics, Table.concat([table, added])), new


def existing_with(existing: Star | None, optics: Table, table: Table) -> Star:
    """Return the earlier file with both tables replaced; whatever else it holds is kept."""
    star = Star() if existing is None else existing
    return star.with_table(optics).with_table(table)


def repeated_base_names(files: Sequence[str]) -> list[list[str]]:
    """Return groups of files whose names differ only in the folder or the extension."""
    by_name: dict[str, list[str]] = {}
    for name in files:
        stem = name.rpartition("/")[2].partition(".")[0]
        by_name.setdefault(stem, []).append(name)
    return [same for same in by_name.values() if len(same) > 1]


def _number_of(row: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> int:
    """Return the number of the group, or the next free one."""
    for old in rows:
        if old[GROUP_NAME] == row[GROUP_NAME]:
            hard, soft = differences(old, row)
            if hard or soft:
                told = "; ".join([*hard, *(f"{x} is {old[x]} and {row[x]}" for x in soft)])
                raise InputError(
                    f"Optics group {row[GROUP_NAME]} was imported before with other values "
                    f"(before and now): {told}. Give the new files a group name of their own, or "
                    "the same values."
                )
            return int(str(old[GROUP]))
    return len(rows) + 1


def _refuse_other_group(
    files: Sequence[str],
    listed: Mapping[str, int],
    number: int,
    group: str,
    rows: Sequence[Mapping[str, object]],
) -> None:
    clashing = [name for name in files if listed.get(name, number) != number]
    if clashing:
        names = {int(str(row[GROUP])): row[GROUP_NAME] for row in rows}
        raise InputError(
            f"{clashing[0]} was imported before in optics group {names[listed[clashing[0]]]}, and "
            f"now as {group} ({len(clashing):,} such: {name_a_few(clashing)}). A file has one "
            "optics group: narrow the pattern to the new files."
        )


def _blank(column: np.ndarray) -> object:
    return "None" if column.dtype == object else column.dtype.type(0)
