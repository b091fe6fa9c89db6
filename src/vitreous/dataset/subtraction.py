"""Rows of subtracted particles: how they see the references, what is written, and back again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement.data_star import (
    GROUP_NUMBER,
    HALF,
    ScaleGroups,
    assignments_of,
    has_halves,
    named_groups,
    scale_groups,
)
from vitreous.dataset.refinement.reading import Iteration
from vitreous.engine.refinement.preparation import group_scale
from vitreous.engine.subtraction import Views
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import Table, parse_ref, read_header

IMAGE, ORIGINAL = "rlnImageName", "rlnImageOriginalName"
CLASS, NORM, OPTICS = "rlnClassNumber", "rlnNormCorrection", "rlnOpticsGroup"
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
# What images were moved by (Å): RELION has no name for it, and going back needs it.
MOVED = ("vitreousMovedXAngst", "vitreousMovedYAngst")
_GROUPS = ("rlnGroupName", "rlnMicrographName")


@dataclass(frozen=True)
class Subtracted:
    """Particles that were subtracted.

    Parameters
    ----------
    rows
        ``n``, of the particle table.
    names
        Their new images.
    shift_A
        ``n 2``, what is left of their origins.
    moved_A
        ``n 2``, what their images were moved by.
    fit
        What `engine.subtraction.strength` takes, summed over them.
    """

    rows: NDArray[np.int64]
    names: tuple[str, ...]
    shift_A: NDArray[np.float64]
    moved_A: NDArray[np.float64]
    fit: tuple[float, ...]


def views_of(
    particles: Particles, found: Iteration, *, source: str, ignore_class: bool = False
) -> tuple[Views, int]:
    """Return how particles see the references of a refinement.

    Parameters
    ----------
    particles
        Of the refinement, or others with poses in its map.
    found
        The refinement.
    source
        Their file, for messages.
    ignore_class
        All see the first class.

    Returns
    -------
    Views
        One row a particle.
    int
        How many particles are of a micrograph that the refinement has no scale of; it is 1.

    Raises
    ------
    FormatError
        Rows do not say what their poses, halves or classes are.
    """
    models = found.state.models
    _require_poses(particles, source)
    n_halves = len(models)
    if n_halves > 1 and not has_halves(particles.table):
        raise FormatError(
            f"{source}: {HALF} must be 1 or 2 in every row, for the two halves were refined apart "
            "and each particle is subtracted with the map of its own half. Take the particles of "
            "the refinement, or a selection of them."
        )
    if not ignore_class:
        _require_classes(particles.table, models[0].n_classes, source)
    groups, known = _groups(particles, models[0].group_names, own=particles is found.particles)
    assigned = assignments_of(
        particles, groups=groups, n_classes=models[0].n_classes, split_halves=n_halves > 1
    )
    rows = np.arange(len(particles))
    scale = torch.ones(len(particles))
    mean = np.ones(len(particles))
    for half, model in enumerate(models):
        of_half = np.flatnonzero(assigned.half == half)
        scale[torch.from_numpy(of_half)] = group_scale(model, assigned, of_half)
        mean[of_half] = model.mean_norm
    scale[torch.from_numpy(~known)] = 1.0
    grey = mean / np.maximum(assigned.norm, 1e-10)
    if not found.settings.image.correct_norm:
        grey = np.ones(len(particles))
    views = Views(
        rotations=particles.rotations(rows),
        shift_px=particles.shift_px(rows),
        half=assigned.half,
        class_=np.zeros_like(assigned.class_) if ignore_class else assigned.class_,
        scale=scale,
        grey=torch.from_numpy(grey),
    )
    return views, int((~known).sum())


def subtracted_tables(
    particles: Particles,
    parts: Sequence[Subtracted],
    *,
    box_px: int,
    grey_corrected: bool,
    moved: bool,
) -> tuple[Table, Table]:
    """Return ``data_optics`` and ``data_particles`` of what was subtracted, in the order of rows.

    Parameters
    ----------
    particles
        As they were.
    parts
        What was done.
    box_px
        Of the new images; 0 for that of the old ones.
    grey_corrected
        Whether the new images are multiplied by the norm corrections: theirs are 1 then.
    moved
        Whether images were moved.
    """
    rows = np.concatenate([part.rows for part in parts])
    order = np.argsort(rows, kind="stable")
    table = particles.table.select(rows[order])
    names = np.array([name for part in parts for name in part.names], object)[order]
    columns: dict[str, object] = {ORIGINAL: table[IMAGE].tolist(), IMAGE: names.tolist()}
    if moved:
        shifts = np.concatenate([part.shift_A for part in parts])[order]
        columns |= dict(zip(ORIGINS, shifts.T, strict=True))
        by = np.concatenate([part.moved_A for part in parts])[order]
        columns |= dict(zip(MOVED, by.T, strict=True))
    elif all(label in table for label in MOVED):  # of an earlier subtraction
        table = table.without(*MOVED)
    if grey_corrected and NORM in table:
        columns[NORM] = np.ones(len(table))
    optics = particles.optics_table
    if box_px:
        optics = optics.with_columns({"rlnImageSize": np.full(len(optics), box_px, np.int64)})
    return optics, replace(table.with_columns(columns), name="particles")


def reverted(particles: Particles, source: str) -> tuple[Table, Table]:
    """Return the tables of subtracted particles with their original images.

    Names are swapped, so that the subtracted ones are not lost; boxes are those of the images;
    what images were moved by goes back into the origins, so that poses found since hold.

    Parameters
    ----------
    particles
        Subtracted ones, or a refinement of them.
    source
        Their file, for messages.
    """
    table = particles.table
    if ORIGINAL not in table:
        raise FormatError(
            f"{source}: there is no {ORIGINAL}, so these particles were not made by a Subtract job "
            "and there is nothing to go back to."
        )
    originals = table[ORIGINAL].tolist()
    lost = [row for row, name in enumerate(originals) if name in ("", "None")]
    if lost:
        raise FormatError(
            f"{source}, data_particles row {lost[0] + 1} ({len(lost)} rows in all): {ORIGINAL} is "
            f"{originals[lost[0]]!r}; the name of an image was wanted. Revert the subtracted "
            "particles before they are joined with others."
        )
    columns: dict[str, object] = {IMAGE: originals, ORIGINAL: table[IMAGE].tolist()}
    if all(label in table for label in MOVED):
        for origin, moved in zip(ORIGINS, MOVED, strict=True):
            columns[origin] = table[origin] + np.asarray(table[moved], np.float64)
        table = table.without(*MOVED)
    boxes = [_box_px(particles, originals, group) for group in range(len(particles.optics_table))]
    optics = particles.optics_table.with_columns({"rlnImageSize": np.array(boxes, np.int64)})
    return optics, replace(table.with_columns(columns), name="particles")


def _box_px(particles: Particles, names: Sequence[str], group: int) -> int:
    """Return the side of the images of an optics group; of one without particles as it was."""
    rows = np.flatnonzero(particles.group == group)
    if not len(rows):
        return particles.box_px(group)
    path = Path(particles.folder, parse_ref(names[int(rows[0])]).path)
    if not path.is_file():
        raise MissingFileError(
            f"{path}: the stack of original images is not there, so the size of their box is not "
            "known. Bring it back, or extract the particles again."
        )
    return int(read_header(path).shape[-1])


def _require_poses(particles: Particles, source: str) -> None:
    labels = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", *ORIGINS)
    lost = [label for label in labels if label not in particles.table]
    if lost:
        raise FormatError(
            f"{source}: there is no {' and no '.join(lost)}; what is subtracted must be projected "
            "at the pose of each particle. Take particles that were refined against this map."
        )


def _require_classes(table: Table, n_classes: int, source: str) -> None:
    if n_classes == 1:
        return
    if CLASS not in table:
        raise FormatError(
            f"{source}: there is no {CLASS}, but the refinement has {n_classes} classes. Give "
            "--ignore_class as an additional argument to subtract the first from all."
        )
    bad = np.flatnonzero((table[CLASS] < 1) | (table[CLASS] > n_classes))
    if len(bad):
        raise FormatError(
            f"{source}, data_particles row {bad[0] + 1} ({len(bad)} rows in all): {CLASS} is "
            f"{table[CLASS][bad[0]]}, but the refinement has {n_classes} classes. Give particles "
            "of this classification, or --ignore_class as an additional argument."
        )


def _groups(
    particles: Particles, names: tuple[str, ...], *, own: bool
) -> tuple[ScaleGroups, NDArray[np.bool_]]:
    """Return the scale group of each particle, and of which the refinement knows the scale."""
    table = particles.table
    every = np.ones(len(table), bool)
    if own or (GROUP_NUMBER in table and not any(label in table for label in _GROUPS)):
        return named_groups(particles, names), every
    theirs = scale_groups(particles)
    place = {name: row for row, name in enumerate(names)}
    rows = np.array([place.get(name, -1) for name in theirs.names], np.int64)[theirs.of_particle]
    if len(names) == 1:
        return ScaleGroups(names, np.zeros_like(rows)), every
    return ScaleGroups(names, np.maximum(rows, 0)), rows >= 0
