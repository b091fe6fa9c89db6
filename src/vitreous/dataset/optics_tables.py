"""Optics groups of several STAR files become one table; rows follow their group.

Groups are the same where their names are the same (postprocessing.md section 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.findings import Finding, name_a_few
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table
from vitreous.io.labels import Kind, kind_of

OPTICS = "optics"
GROUP, GROUP_NAME = "rlnOpticsGroup", "rlnOpticsGroupName"

# Two groups of one name must agree on these: an image has one microscope and one sampling.
MUST_AGREE = {
    "rlnVoltage": "kV",
    "rlnSphericalAberration": "mm",
    "rlnAmplitudeContrast": "",
    "rlnImagePixelSize": "Å",
    "rlnMicrographPixelSize": "Å",
    "rlnMicrographOriginalPixelSize": "Å",
    "rlnImageSize": "pixels",
}
_AGREE_WITHIN = 1e-4

# What a group without the column had all along.
DEFAULTS: Mapping[str, object] = {
    "rlnBeamTiltX": 0.0,
    "rlnBeamTiltY": 0.0,
    "rlnMagMat00": 1.0,
    "rlnMagMat01": 0.0,
    "rlnMagMat10": 0.0,
    "rlnMagMat11": 1.0,
    "rlnOddZernike": [0.0] * 6,
    "rlnEvenZernike": [0.0] * 9,
    "rlnCtfDataAreCtfPremultiplied": False,
    "rlnImageDimensionality": 2,
    "rlnPhaseShift": 0.0,
    "rlnMtfFileName": "",
}
_PIXEL_SIZES = ("rlnImagePixelSize", "rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")


@dataclass(frozen=True)
class Merged:
    """One optics table for several files.

    Parameters
    ----------
    optics
        Groups numbered 1..n.
    numbers
        For each file: old group number -> new one.
    findings
        Groups that were joined, values that were filled in or differ.
    """

    optics: Table
    numbers: tuple[Mapping[int, int], ...]
    findings: tuple[Finding, ...] = field(default=())


def pixel_size_A(row: Mapping[str, object]) -> float | None:
    """Return the sampling of the images of an optics group, None where it is not told."""
    for label in _PIXEL_SIZES:
        value = row.get(label)
        if isinstance(value, float) and value > 0:
            return value
    return None


def main_table(star: Star, label: str, source: str) -> Table:
    """Return the table of the file that lists `label`, a column such as ``rlnImageName``."""
    for table in star.tables:
        if label in table and not table.is_list:
            return table
    if not star.tables:
        raise FormatError(f"{source}: it is empty, wanted a table with a column {label}.")
    blocks = ", ".join(f"data_{table.name}" for table in star.tables)
    raise FormatError(f"{source}: it has {blocks}, but none of them has a column {label}.")


def image_rows(star: Star, source: str) -> Table:
    """Return the table of particles, micrographs or movies."""
    for name in ("particles", "micrographs", "movies"):
        if name in star:
            return star[name]
    for label in ("rlnImageName", "rlnMicrographMovieName", "rlnMicrographName"):
        for table in star.tables:
            if label in table:
                return table
    raise FormatError(f"{source}: it lists neither particles nor micrographs nor movies.")


def optics_of(star: Star, source: str) -> Table:
    """Return the optics table of a file."""
    if OPTICS not in star:
        raise FormatError(
            f"{source}: there is no data_optics, and its rows lack what an Import job makes one "
            "from for files of RELION 3.0 (rlnVoltage, rlnSphericalAberration, "
            "rlnAmplitudeContrast, rlnDetectorPixelSize, rlnMagnification). Add that table, or "
            "those columns."
        )
    return star[OPTICS]


def require_known_groups(table: Table, optics: Table, source: str) -> None:
    """Refuse rows whose optics group is not in the optics table."""
    if GROUP not in table:
        raise FormatError(
            f"{source}, data_{table.name}: there is no column {GROUP}, so nobody knows which "
            f"optics group a row belongs to."
        )
    known = optics[GROUP]
    unknown = np.flatnonzero(~np.isin(table[GROUP], known))
    if unknown.size:
        row = int(unknown[0])
        raise FormatError(
            f"{source}, data_{table.name} row {row + 1}: {GROUP} is {table[GROUP][row]}, but "
            f"data_optics has {name_a_few(list(known), 8)} ({unknown.size:,} such rows). Add the "
            "group to data_optics, or join the right files with a Join job, which renumbers groups."
        )


def merge_optics(tables: Sequence[Table], sources: Sequence[str], *, force: bool = False) -> Merged:
    """Make one optics table of several; groups of one name become one group.

    Parameters
    ----------
    tables
        The ``data_optics`` of each file.
    sources
        Names of the files, for messages.
    force
        Where groups of one name differ in what must agree, keep the first instead of refusing.

    Raises
    ------
    InputError
        Groups of one name differ in voltage, aberration, contrast, pixel size or box.
    """
    kept: dict[str, dict[str, object]] = {}
    origin: dict[str, str] = {}
    numbers: list[dict[int, int]] = []
    findings: list[Finding] = []
    conflicts: list[str] = []
    for table, source in zip(tables, sources, strict=True):
        mapping: dict[int, int] = {}
        for row in table.rows():
            name = str(row.get(GROUP_NAME, f"opticsGroup{row[GROUP]}"))
            if name not in kept:
                kept[name] = {**row, GROUP_NAME: name, GROUP: len(kept) + 1}
                origin[name] = source
            else:
                where = f"{name} ({origin[name]} and {source})"
                hard, soft = differences(kept[name], row)
                conflicts += [f"{where}: {difference}" for difference in hard]
                findings += [
                    Finding(
                        f"Optics groups of one name differ in {', '.join(soft)}; the values of the "
                        "first file are kept. Refined aberrations of the others are lost: rename "
                        "their optics groups to keep them apart.",
                        where,
                    )
                ] * bool(soft)
                findings.append(
                    Finding(
                        "Optics groups with the same name become one; where they are different "
                        "data sets, rename them first.",
                        where,
                    )
                )
            mapping[int(row[GROUP])] = int(str(kept[name][GROUP]))
        numbers.append(mapping)
    if conflicts and not force:
        raise InputError(
            "Optics groups with the same name have different values, so their images cannot be "
            "treated alike:\n  "
            + "\n  ".join(conflicts)
            + "\nRename one of the groups in its STAR file, or give --force as an additional "
            "argument to keep the values of the first file."
        )
    findings += [
        Finding("Different optics under one name: the first is kept (--force).", conflict)
        for conflict in conflicts
    ]
    optics, filled = optics_from_rows(list(kept.values()))
    return Merged(optics, tuple(numbers), (*findings, *filled))


def renumber(groups: NDArray[np.int64], numbers: Mapping[int, int]) -> NDArray[np.int64]:
    """Return each row's new group number."""
    old, places = np.unique(groups, return_inverse=True)
    new = np.array([numbers[int(number)] for number in old], np.int64)
    return new[places] if len(groups) else groups


def without_unused(optics: Table, table: Table) -> tuple[Table, Table]:
    """Drop optics groups that no row uses and number the others 1..n."""
    used = np.isin(optics[GROUP], table[GROUP])
    kept = optics.select(used)
    numbers = {int(old): new for new, old in enumerate(kept[GROUP], start=1)}
    return (
        kept.with_columns({GROUP: np.arange(1, len(kept) + 1)}),
        table.with_columns({GROUP: renumber(table[GROUP], numbers)}),
    )


def differences(
    first: Mapping[str, object], other: Mapping[str, object]
) -> tuple[list[str], list[str]]:
    """Compare two optics groups.

    Returns
    -------
    list of str
        What differs and must not: ``rlnVoltage is 300 and 200 kV``.
    list of str
        Labels of what else differs.
    """
    hard: list[str] = []
    soft: list[str] = []
    for label in first.keys() & other.keys() - {GROUP, GROUP_NAME}:
        a, b = first[label], other[label]
        if label in MUST_AGREE and isinstance(a, int | float) and isinstance(b, int | float):
            if not abs(a - b) <= _AGREE_WITHIN * max(abs(a), abs(b)):
                hard.append(f"{label} is {a:g} and {b:g} {MUST_AGREE[label]}".rstrip())
        elif not np.array_equal(np.asarray(a), np.asarray(b)):
            soft.append(label)
    return sorted(hard), sorted(soft)


def optics_from_rows(
    rows: Sequence[Mapping[str, object]],
) -> tuple[Table, tuple[Finding, ...]]:
    """Make an optics table; columns that some groups lack get what they meant by leaving it out.

    Returns
    -------
    Table
        ``data_optics``.
    tuple of Finding
        What was filled in.
    """
    labels = dict.fromkeys(label for row in rows for label in row)
    findings: list[Finding] = []
    columns: dict[str, list[object]] = {}
    for label in labels:
        lacking = [str(row[GROUP_NAME]) for row in rows if label not in row]
        columns[label] = [row[label] if label in row else _default(label, row) for row in rows]
        if lacking:
            shown = columns[label][[label in row for row in rows].index(False)]
            findings.append(
                Finding(
                    f"Optics groups that had no {label} got {shown if shown != '' else 'none'}.",
                    name_a_few(lacking),
                )
            )
    return Table.from_columns(OPTICS, columns), tuple(findings)


def _default(label: str, row: Mapping[str, object]) -> object:
    if label in DEFAULTS:
        return DEFAULTS[label]
    if label in _PIXEL_SIZES:
        # The nearest thing known: a pixel size of 0 would end in a division by zero later.
        return pixel_size_A(row) or 0.0
    return blank(label)


def blank(label: str) -> object:
    """Return what stands for "not known" in a column: 0, an empty vector, or ``None``."""
    if label == "rlnComment":
        return ""
    kind = kind_of(label)
    if kind in (Kind.FLOAT_VECTOR, Kind.INT_VECTOR):
        return np.zeros(0)
    return "None" if kind is Kind.TEXT else 0
