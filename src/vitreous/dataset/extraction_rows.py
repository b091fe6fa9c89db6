"""Rows of picks become rows of particles: what is kept, where it lies, what it gets to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.conventions import box_corner, recentre
from vitreous.dataset.optics_tables import GROUP, blank
from vitreous.engine.geometry import matrix_from_euler
from vitreous.errors import InputError
from vitreous.io import Table, format_ref
from vitreous.io.image_refs import ImageRef

X, Y = "rlnCoordinateX", "rlnCoordinateY"
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
FOM, SELECTION = "rlnAutopickFigureOfMerit", "rlnParticleSelectionType"
DEFOCUS = "rlnDefocusU"
# What a particle gets from its micrograph, and what it gets where that has none.
_QUALITY = ("rlnCtfMaxResolution", "rlnCtfFigureOfMerit")
_CTF: dict[str, float] = {
    DEFOCUS: 0.0,
    "rlnDefocusV": 0.0,
    "rlnDefocusAngle": 0.0,
    "rlnCtfBfactor": 0.0,
    "rlnCtfScalefactor": 1.0,
    "rlnPhaseShift": 0.0,
}


def coordinates(rows: Table) -> NDArray[np.float64]:
    """Return where the rows lie in their micrograph, ``n 2``, x y in pixels."""
    return np.stack([rows[X], rows[Y]], 1).astype(np.float64).reshape(-1, 2)


def centre_pixels(rows: Table) -> NDArray[np.int64]:
    """Return the pixel in the middle of each box, ``n 2``, x y."""
    return box_corner(coordinates(rows), 0)


def moved(rows: Table, bias_px: tuple[int, int]) -> Table:
    """Add a bias x y to all coordinates."""
    places = coordinates(rows) + bias_px
    return rows.with_columns({X: places[:, 0], Y: places[:, 1]})


def whole_boxes(rows: Table, box_px: int, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which boxes do not reach over the edge of a micrograph of shape ``y x``.

    RELION takes no other segments of filaments. Fractions of the coordinates count.
    """
    near = coordinates(rows) - box_px // 2
    far = near + box_px
    return (near >= 0).all(1) & (far[:, 0] <= shape[1]) & (far[:, 1] <= shape[0])


def placed(rows: Table) -> NDArray[np.bool_]:
    """Tell which rows have coordinates that are numbers, and not too large for a pixel."""
    places = coordinates(rows)
    near = np.isfinite(places) & (np.abs(places) < 2**31)
    return near[:, 0] & near[:, 1]


def chosen(rows: Table, min_fom: float | None, selection_type: int | None) -> NDArray[np.bool_]:
    """Tell which picks are good enough.

    Parameters
    ----------
    rows
        The picks.
    min_fom
        Only those with a figure of merit above it.
    selection_type
        Only those with this ``rlnParticleSelectionType``.

    Raises
    ------
    InputError
        The column that decides is not there.
    """
    keep = np.ones(len(rows), bool)
    for label, limit in ((FOM, min_fom), (SELECTION, selection_type)):
        if limit is None or not len(rows):
            continue
        if label not in rows:
            raise InputError(f"there is no {label}, so picks cannot be chosen by it")
        keep &= rows[label] > limit if label == FOM else rows[label] == limit
    return keep


def recentred(
    rows: Table,
    centre_px: Sequence[float],
    *,
    reference_pixel_A: float | NDArray[np.float64],
    micrograph_pixel_A: float,
) -> Table:
    """Move coordinates so that a point of the reference lies in the middle of each box.

    Parameters
    ----------
    rows
        Refined particles: coordinates, origins, and angles where `centre_px` is not 0.
    centre_px
        The point, x y z from the middle of the reference, in pixels of the reference.
    reference_pixel_A
        Pixel size of the reference, of all rows or of each.
    micrograph_pixel_A
        Pixel size that the coordinates count.

    Returns
    -------
    Table
        Coordinates changed by whole pixels; the rest stays in the origins.
    """
    n = len(rows)
    offset_A = np.stack([rows.get(label, np.zeros(n)) for label in ORIGINS], 1).astype(np.float64)
    if any(centre_px):
        lacking = [label for label in ANGLES if label not in rows]
        if lacking:
            raise InputError(
                f"there is no {' and no '.join(lacking)}, and a new centre of the reference can "
                "only be found through the poses"
            )
        poses = matrix_from_euler(
            torch.from_numpy(np.stack([rows[label] for label in ANGLES], 1).astype(np.float64))
        ).numpy()
        moved_px = poses @ np.asarray(centre_px, np.float64)
        offset_A = offset_A - moved_px[:, :2] * np.reshape(reference_pixel_A, (-1, 1))
    new, rest_px = recentre(coordinates(rows), offset_A / micrograph_pixel_A)
    rest_A = rest_px * micrograph_pixel_A
    columns = {X: new[:, 0], Y: new[:, 1], ORIGINS[0]: rest_A[:, 0], ORIGINS[1]: rest_A[:, 1]}
    return rows.with_columns(columns)


def without_origins(rows: Table) -> Table:
    """Forget the refined shifts."""
    return rows.with_columns({label: np.zeros(len(rows)) for label in ORIGINS})


def particle_rows(
    picks: Table, stack: str, micrograph: Mapping[str, Any], *, keep_ctf: bool, keep_group: bool
) -> Table:
    """Return the rows of the particles of one micrograph.

    Parameters
    ----------
    picks
        What was extracted, in the order of the stack.
    stack
        Name of the stack.
    micrograph
        Row of the micrograph.
    keep_ctf
        Whether defoci that the picks have are kept; otherwise the micrograph's are taken.
    keep_group
        Whether the optics group of the picks is kept.
    """
    n = len(picks)
    names = [format_ref(ImageRef(stack, i)) for i in range(n)]
    columns: dict[str, object] = {"rlnImageName": np.array(names, object)}
    columns["rlnMicrographName"] = np.full(n, micrograph["rlnMicrographName"], object)
    if not (keep_group and GROUP in picks):
        columns[GROUP] = np.full(n, micrograph[GROUP])
    if not (keep_ctf and DEFOCUS in picks) and DEFOCUS in micrograph:
        for label in _QUALITY:
            if label in micrograph:
                columns[label] = np.full(n, micrograph[label])
        for label, default in _CTF.items():
            columns[label] = np.full(n, micrograph.get(label, default))
    return Table("images", picks.columns).with_columns(columns)


def joined(tables: Sequence[Table]) -> Table:
    """Put the rows of all micrographs below one another; what some lack is filled in."""
    labels = list(dict.fromkeys(label for table in tables for label in table.labels))
    whole = []
    for table in tables:
        new = {label: table.get(label, blank(label)) for label in labels}
        same = table.labels == tuple(labels)
        whole.append(table if same else Table(table.name).with_columns(_filled(new, len(table))))
    return Table("particles", Table.concat(whole).columns)


def _filled(columns: Mapping[str, Any], n: int) -> dict[str, object]:
    return {
        label: values if isinstance(values, np.ndarray) and len(values) == n else [values] * n
        for label, values in columns.items()
    }
