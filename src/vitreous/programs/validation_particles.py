"""The particles behind two half-maps: their views, their symmetry, and their half sets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.half_sets import HalfSets, compare, micrograph_pixels_A
from vitreous.engine import symmetry
from vitreous.engine.geometry import view_direction
from vitreous.errors import InputError, MissingFileError
from vitreous.io import Star, Table, read_star
from vitreous.jobs.context import Run

_HALF = re.compile(r"_half[12].*$")
_NEAR = 0.2  # of the diameter of the particle


@dataclass(frozen=True)
class Origin:
    """What made the half-maps.

    Parameters
    ----------
    particles
        STAR file from the project folder; empty where none was found or given.
    star
        Its content.
    point_group
        Symmetry that was imposed; C1 where nothing tells.
    split_halves
        Whether the refinement kept two independent halves; None where nothing tells.
    """

    particles: str = ""
    star: Star | None = None
    point_group: str = "C1"
    split_halves: bool | None = None

    @property
    def table(self) -> Table | None:
        """The rows of the particles."""
        if self.star is None:
            return None
        return self.star.get("particles", self.star.first)


def find(run: Run, half_map: str, particles: str, point_group: str) -> Origin:
    """Look beside a half-map for the files of its refinement.

    Parameters
    ----------
    run
        The job; told what was found.
    half_map
        File from the project folder: ``Refine3D/job012/run_half1_class001_unfil.mrc``.
    particles
        Given by the user; empty looks for ``run_data.star`` beside the half-map.
    point_group
        Given by the user; empty looks for the refinement's.

    Raises
    ------
    InputError
        What the user gave is not there, or is no such file.
    """
    root = _HALF.sub("", str(run.project / half_map))
    if particles and not (run.project / particles).is_file():
        raise MissingFileError(
            f"--particles {particles}: there is no such file. Give the run_data.star of the "
            "refinement that made the half-maps."
        )
    if not particles:
        beside = Path(f"{root}_data.star")
        particles = str(beside.relative_to(run.project)) if beside.is_file() else ""
    group = point_group or _point_group(Path(root))
    symmetry.parse(group)
    star = read_star(run.project / particles) if particles else None
    found = Origin(particles, star, group, _split_halves(Path(f"{root}_optimiser.star")))
    if found.table is not None:
        run.say(f"Views and half sets are those of {particles}, symmetry {group}.")
    return found


def views(origin: Origin) -> Tensor | None:
    """Return the viewing directions ``n 3`` of the particles, None where there are no angles."""
    table = origin.table
    labels = "rlnAngleRot", "rlnAngleTilt"
    if table is None or len(table) == 0 or any(label not in table for label in labels):
        return None
    angles = torch.from_numpy(np.stack([np.asarray(table[x], np.float64) for x in labels], 1))
    return view_direction(angles[angles.isfinite().all(1)])


def half_sets(origin: Origin, diameter_A: float) -> HalfSets | None:
    """Compare the half sets; None without particles."""
    table = origin.table
    if origin.star is None or table is None:
        return None
    optics = origin.star.get("optics")
    pixels_A = micrograph_pixels_A(table, optics) if optics is not None else None
    return compare(table, pixels_A, _NEAR * diameter_A)


def _point_group(root: Path) -> str:
    """Return the symmetry that the sampling files beside a map name, C1 where there are none."""
    for path in sorted(root.parent.glob(f"{root.name}*_sampling.star"), reverse=True):
        for table in read_star(path).values():
            if "rlnSymmetryGroup" in table:
                return str(table.value("rlnSymmetryGroup"))
    return "C1"


def _split_halves(optimiser: Path) -> bool | None:
    """Tell whether there were two halves.

    The last iteration of auto-refine joins them and says no; its command line, or an iteration
    before it, tells then.
    """
    last = _says_split(optimiser)
    if last is not False:
        return last
    if "--split_random_halves" in optimiser.read_text(encoding="utf-8", errors="replace"):
        return True
    pattern = optimiser.name.replace("_optimiser", "_*it*_optimiser")
    return any(_says_split(path) for path in optimiser.parent.glob(pattern))


def _says_split(optimiser: Path) -> bool | None:
    label = "rlnDoSplitRandomHalves"
    if not optimiser.is_file():
        return None
    for table in read_star(optimiser).values():
        if label in table:
            return bool(int(table.value(label)))
    return None


def refuse_without_images(origin: Origin, why: str) -> Table:
    """Return the particles, or say that `why` needs their images."""
    table = origin.table
    if table is None or "rlnImageName" not in table:
        raise InputError(
            f"{why} needs the particles with their images: give --particles "
            "Refine3D/jobNNN/run_data.star in the additional arguments."
        )
    return table
