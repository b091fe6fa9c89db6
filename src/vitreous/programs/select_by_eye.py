"""The saving half of an interactive selection: what was chosen becomes files.

The choice is in ``backup_selection.star`` of the job folder, as a browser leaves it, or in
``--classes 1,3-5`` among the additional arguments.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.chosen_classes import (
    CLASS_NUMBER,
    Classification,
    chosen_averages,
    chosen_particles,
    read_classification,
    read_selection,
    selection_table,
)
from vitreous.dataset.optics_tables import image_rows
from vitreous.dataset.reading import read_with_optics
from vitreous.dataset.recentring import recentre
from vitreous.dataset.selection import at_most_per_class, by_class, parse_classes
from vitreous.errors import AbsentError, InputError
from vitreous.io import Table, read_images, write_mrc, write_star
from vitreous.jobs.context import Run
from vitreous.jobs.select import Select
from vitreous.project.node_types import IMAGES_2D

BACKUP = "backup_selection.star"
_REFERENCE = "rlnReferenceImage"


def select_by_eye(options: Select, extra: argparse.Namespace, run: Run) -> None:
    """Save the classes, micrographs or particles that were chosen."""
    if options.optimiser:
        _save_classes(options, extra, run)
    else:
        _save_rows(options, extra, run)


def _save_classes(options: Select, extra: argparse.Namespace, run: Run) -> None:
    classification = read_classification(options.optimiser, run.project)
    n_classes = len(classification.classes)
    selected = _chosen_classes(extra.classes, n_classes, run)
    particles = chosen_particles(
        classification,
        selected,
        n_groups=options.n_groups if options.regroup else None,
        most_per_class=extra.max_nr_parts_per_class,
    )
    run.check_abort()
    write_star(run.path / "particles.star", particles)
    if classification.is_2d:
        averages = chosen_averages(classification, selected)
        if options.recenter:
            averages = _recentred(averages, classification, run)
        write_star(run.path / "class_averages.star", [averages])
        if "Class2D/" not in options.optimiser:
            run.add_output(run.folder + "class_averages.star", f"{IMAGES_2D}.classaverages")
    elif options.recenter:
        run.warn("Only 2D class averages are re-centred; these classes are volumes.")
    write_star(run.path / BACKUP, [selection_table(selected)])
    n_kept, n_all = len(particles[classification.particles.name]), len(classification.particles)
    run.say(f"{int(selected.sum())} of {n_classes} classes, {n_kept:,} of {n_all:,} particles")
    run.headline("selected", n_kept, "", "Selected particles")
    run.headline("total", n_all, "", "Out of")
    run.headline("classes", int(selected.sum()), "", "Selected classes")


def _save_rows(options: Select, extra: argparse.Namespace, run: Run) -> None:
    source = options.micrographs or options.particles
    star = read_with_optics(run.project / source)
    rows = image_rows(star, source)
    selected = _chosen_rows(rows, extra, run)
    kept = rows.select(selected)
    if not len(kept):
        raise InputError(f"None of the {len(rows):,} rows of {source} was chosen.")
    name = "micrographs.star" if options.micrographs else "particles.star"
    write_star(run.path / name, star.with_table(kept))
    write_star(run.path / BACKUP, [selection_table(selected)])
    run.say(f"{name}: {len(kept):,} of {len(rows):,} rows")
    run.headline("selected", len(kept), "", "Selected")
    run.headline("total", len(rows), "", "Out of")


def _chosen_classes(text: str, n_classes: int, run: Run) -> NDArray[np.bool_]:
    return parse_classes(text, n_classes) if text else _backup(run, n_classes)


def _chosen_rows(rows: Table, extra: argparse.Namespace, run: Run) -> NDArray[np.bool_]:
    if not extra.classes:
        return _backup(run, len(rows))
    if CLASS_NUMBER not in rows:
        raise AbsentError(
            f"--classes {extra.classes}: the rows have no {CLASS_NUMBER}, so nothing can be chosen "
            "by class. Give the optimiser file of a classification, or the particles that it wrote."
        )
    classes = rows[CLASS_NUMBER]
    selected = by_class(classes, parse_classes(extra.classes, int(classes.max(initial=0))))
    if extra.max_nr_parts_per_class is not None:
        return at_most_per_class(classes, selected, extra.max_nr_parts_per_class)
    return selected


def _backup(run: Run, n_shown: int) -> NDArray[np.bool_]:
    path = run.path / BACKUP
    if not path.exists():
        raise InputError(
            f"Nothing was chosen: {run.folder}{BACKUP} is not there. Choose in the browser, or "
            "give classes as additional arguments: --classes 1,3-5."
        )
    selected = read_selection(path, n_shown)
    if not selected.any():
        raise InputError(f"{run.folder}{BACKUP}: none of the {n_shown:,} rows is chosen.")
    return selected


def _recentred(averages: Table, classification: Classification, run: Run) -> Table:
    """Write the averages with their centre of mass in the middle, and point to them."""
    images = read_images([str(name) for name in averages[_REFERENCE]])
    name = "class_averages.mrcs"
    write_mrc(run.path / name, recentre(images), classification.pixel_size_A)
    return averages.with_columns(
        {_REFERENCE: [f"{i:06d}@{run.folder}{name}" for i in range(1, len(images) + 1)]}
    )
