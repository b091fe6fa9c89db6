"""RELION 3.0 tables, which have no optics groups, in the form of 3.1 and later.

The rules are those of `relion_convert_star` (formats.md section 2); a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vitreous.errors import FormatError, InputError
from vitreous.io.image_refs import is_stack_name, parse_ref
from vitreous.io.mrc import read_header
from vitreous.io.star import NEWEST_VERSION, Star, read_star
from vitreous.io.star_table import Table

#: What moves from the rows to the optics table, in its order.
_OPTICS = (
    "rlnAmplitudeContrast",
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnSphericalAberration",
    "rlnVoltage",
)
_MAGNIFICATION = ("rlnDetectorPixelSize", "rlnMagnification")
#: Lengths that were pixels and become Angstrom, in the order in which RELION appends them.
_LENGTHS = (
    "rlnOriginX",
    "rlnOriginY",
    "rlnOriginZ",
    "rlnOriginXPrior",
    "rlnOriginYPrior",
    "rlnOriginZPrior",
    "rlnHelicalTrackLength",
)
_FIRST_WITH_GROUPS = 30001


class ImageShape(NamedTuple):
    """Edge in pixels and number of dimensions (2 or 3) of an image."""

    size_px: int
    n_dimensions: int


def needs_optics_groups(star: Star) -> bool:
    """Tell whether a file is one of images or micrographs in the form of RELION 3.0."""
    old = star.version is None or star.version < _FIRST_WITH_GROUPS
    return old and "optics" not in star and _main_table(star) is not None


def with_optics_groups(
    star: Star,
    *,
    shape_of: Callable[[str], ImageShape] | None = None,
    pixel_size_A: float | None = None,
    cs_mm: float | None = None,
    amplitude_contrast: float | None = None,
) -> Star:
    """Move what describes the microscope from the rows to an optics table.

    Rows with equal optics make one group; lengths in pixels become Angstrom. A file that has
    an optics table is returned as it is.

    Parameters
    ----------
    star
        Particles, micrographs, or a list of motion-corrected movies of RELION 3.0.
    shape_of
        Gives the shape of an image by its name (``000001@a.mrcs``), or raises `InputError`;
        by default from its header, with names relative to the working directory.
    pixel_size_A
        Used where the rows have no magnification.
    cs_mm, amplitude_contrast
        For motion-corrected movies, whose tables do not have them.

    Returns
    -------
    Star
        ``data_optics``, then ``data_particles`` or ``data_micrographs``, then all other tables.
        `Star.notes` tells where images could not be looked at: then the optics table lacks
        rlnImageSize and rlnImageDimensionality.

    Raises
    ------
    FormatError
        There is no table of images or micrographs, or its pixel size is not known.
    """
    if "optics" in star:
        return star
    table = _main_table(star)
    if table is None:
        raise FormatError(
            "no table with rlnImageName or rlnMicrographName and the optics in its rows; "
            "only particles and micrographs of RELION 3.0 can be converted"
        )
    notes = list(star.notes)
    if _is_motion_corrected(table):
        optics, group = _optics_of_movies(table, cs_mm, amplitude_contrast)
    else:
        optics, group = _optics_of_rows(table, pixel_size_A)
    if "rlnImageName" in table:
        optics = _with_shapes(optics, table, group, shape_of or shape_from_header, notes)
    rows = _in_angstrom(table, optics, group)
    others = [other for other in star.tables if other is not table]
    return Star(
        [optics, rows, *others], version=NEWEST_VERSION, comments=star.comments, notes=notes
    )


def _main_table(star: Star) -> Table | None:
    for table in star.tables:
        named = "rlnImageName" in table or "rlnMicrographName" in table
        has_optics = any(label in table for label in (*_OPTICS, *_MAGNIFICATION))
        if named and (has_optics or _is_motion_corrected(table)) and not table.is_list:
            return table if len(table) else None
    return None


def _is_motion_corrected(table: Table) -> bool:
    return "rlnMicrographMetadata" in table and "rlnImageName" not in table


def _optics_of_rows(table: Table, pixel_size_A: float | None) -> tuple[Table, np.ndarray]:
    """Return the optics table and, for each row, the index of its group, shape (n,)."""
    has_pixel = all(label in table for label in _MAGNIFICATION)
    if not has_pixel and pixel_size_A is None:
        raise FormatError(
            f"data_{table.name} has no rlnDetectorPixelSize and rlnMagnification, so the pixel "
            "size is not known; add both columns, or give the pixel size"
        )
    kept = [label for label in _OPTICS if label in table]
    differing = [*kept, *(_MAGNIFICATION if has_pixel else ())]
    values = np.stack([np.ones(len(table)), *(table[label] for label in differing)], axis=1)
    _, first, inverse = np.unique(values, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    group = np.argsort(order)[inverse.reshape(-1)]
    chosen = table.select(first[order])
    pixel = (
        10000 * chosen["rlnDetectorPixelSize"] / chosen["rlnMagnification"]
        if has_pixel
        else np.full(len(chosen), pixel_size_A)
    )
    return _optics({label: chosen[label] for label in kept} | _pixels(table, pixel)), group


def _optics_of_movies(
    table: Table, cs_mm: float | None, amplitude_contrast: float | None
) -> tuple[Table, np.ndarray]:
    """Return one optics group for all, from what motion correction wrote for the first movie."""
    if cs_mm is None or amplitude_contrast is None:
        raise InputError(
            f"data_{table.name} is a list of motion-corrected movies, which does not tell the "
            "spherical aberration and the amplitude contrast; give both"
        )
    path = table.value("rlnMicrographMetadata")
    general = read_star(path)["general"]
    pixel = general.value("rlnMicrographOriginalPixelSize") * general.value(
        "rlnMicrographBinning", 1
    )
    columns = {
        "rlnVoltage": [general.value("rlnVoltage")],
        "rlnMicrographPixelSize": [pixel],
        "rlnSphericalAberration": [cs_mm],
        "rlnAmplitudeContrast": [amplitude_contrast],
    }
    return _optics(columns), np.zeros(len(table), dtype=np.int64)


def _optics(columns: Mapping[str, object]) -> Table:
    (n_groups,) = {len(values) for values in columns.values()}  # type: ignore[arg-type] # columns
    numbers = range(1, n_groups + 1)
    names = {
        "rlnOpticsGroup": list(numbers),
        "rlnOpticsGroupName": [f"opticsGroup{number}" for number in numbers],
    }
    return Table.from_columns("optics", {**names, **columns})


def _pixels(table: Table, pixel_size_A: np.ndarray) -> dict[str, object]:
    if "rlnImageName" in table:
        return {"rlnImagePixelSize": pixel_size_A}
    return {
        "rlnMicrographPixelSize": pixel_size_A,
        "rlnMicrographOriginalPixelSize": pixel_size_A,
    }


def _with_shapes(
    optics: Table,
    table: Table,
    group: np.ndarray,
    shape_of: Callable[[str], ImageShape],
    notes: list[str],
) -> Table:
    """Add size and dimensions from one image of each group."""
    shapes = []
    for number in range(len(optics)):
        name = str(table["rlnImageName"][int(np.argmax(group == number))])
        try:
            shapes.append(shape_of(name))
        except (InputError, OSError) as error:
            notes.append(
                f"{name}: the size of the images of optics group {number + 1} is not known, so "
                f"rlnImageSize is left out of the optics table ({error})"
            )
            return optics
    return optics.with_columns(
        {
            "rlnImageSize": [shape.size_px for shape in shapes],
            "rlnImageDimensionality": [shape.n_dimensions for shape in shapes],
        }
    )


def shape_from_header(name: str) -> ImageShape:
    """Return the shape of an image of an MRC file; it must be square, or a cube, and even."""
    ref = parse_ref(name)
    sections, n_rows, n_columns = read_header(Path(ref.path)).shape
    single = ref.index0 is not None or sections == 1 or is_stack_name(ref.path)
    edges = {n_rows, n_columns} if single else {sections, n_rows, n_columns}
    if len(edges) > 1 or n_columns % 2:
        raise FormatError(
            f"{name} has {n_columns} x {n_rows}{'' if single else f' x {sections}'} pixels; images "
            "must be square and of even size"
        )
    return ImageShape(n_columns, 2 if single else 3)


def _in_angstrom(table: Table, optics: Table, group: np.ndarray) -> Table:
    gone = (*_OPTICS, *_MAGNIFICATION, *_LENGTHS)
    pixel = optics.get("rlnImagePixelSize", optics.get("rlnMicrographPixelSize"))[group]
    rows = table.without(*gone).with_columns({"rlnOpticsGroup": group + 1})
    lengths = {f"{label}Angst": table[label] * pixel for label in _LENGTHS if label in table}
    name = "particles" if "rlnImageName" in table else "micrographs"
    return Table(name, rows.with_columns(lengths).columns, comment=table.comment)
