"""What choosing classes, micrographs or particles by eye leaves: the files of a Select job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.joining import SCALE_GROUP, SCALE_GROUP_NUMBER
from vitreous.dataset.optics_tables import GROUP, main_table
from vitreous.dataset.regrouping import regroup
from vitreous.dataset.selection import at_most_per_class, by_class
from vitreous.errors import FormatError, InputError
from vitreous.io import Star, Table, read_star

CLASSES = "model_classes"
CLASS_NUMBER = "rlnClassNumber"
SELECTED = "rlnSelected"
_SCALE = "rlnGroupScaleCorrection"


@dataclass(frozen=True)
class Classification:
    """Classes and the particles that were assigned to them."""

    model: Star
    data: Star

    @property
    def classes(self) -> Table:
        """One row per class."""
        return self.model[CLASSES]

    @property
    def particles(self) -> Table:
        """All particles."""
        return main_table(self.data, CLASS_NUMBER, "the particles of the classification")

    @property
    def is_2d(self) -> bool:
        """Whether the classes are images, not volumes."""
        return bool(self.model["model_general"].value("rlnReferenceDimensionality", 3) == 2)

    @property
    def pixel_size_A(self) -> float:
        """Of the class averages."""
        return float(self.model["model_general"].value("rlnPixelSize", 0.0))

    @property
    def scales(self) -> dict[int, float]:
        """Intensity scale of each group of particles."""
        groups = self.model.get("model_groups")
        if groups is None or _SCALE not in groups:
            return {}
        return dict(zip(groups[SCALE_GROUP_NUMBER].tolist(), groups[_SCALE].tolist(), strict=True))


def read_classification(file: str, root: Path) -> Classification:
    """Read the model and the particles that belong to an optimiser or model file.

    Parameters
    ----------
    file
        ``..._optimiser.star`` or ``..._model.star``, from the project folder.
    root
        The project folder.
    """
    star = read_star(root / file)
    if CLASSES in star:
        stem = file.removesuffix(".star").removesuffix("_model")
        data = stem.removesuffix("_half1").removesuffix("_half2") + "_data.star"
        return Classification(star, read_star(root / data))
    for table in star.tables:
        if "rlnModelStarFile" in table and "rlnExperimentalDataStarFile" in table:
            model = root / str(table.value("rlnModelStarFile"))
            data = str(table.value("rlnExperimentalDataStarFile"))
            return Classification(read_star(model), read_star(root / data))
    raise FormatError(
        f"{file}: neither an optimiser file (rlnModelStarFile and rlnExperimentalDataStarFile) nor "
        f"a model file (data_{CLASSES})."
    )


def chosen_particles(
    classification: Classification,
    selected: NDArray[np.bool_],
    *,
    n_groups: int | None = None,
    most_per_class: int | None = None,
) -> Star:
    """Return the particles of the chosen classes, in their order.

    Parameters
    ----------
    classification
        All classes and particles.
    selected
        ``k``: whether each class is chosen.
    n_groups
        Make about so many groups for intensity scales.
    most_per_class
        Keep only the first so many of each class.

    Raises
    ------
    InputError
        Nothing is left, or the groups would be too small.
    """
    particles = classification.particles
    numbers = particles[CLASS_NUMBER]
    chosen = by_class(numbers, selected)
    if most_per_class is not None:
        chosen = at_most_per_class(numbers, chosen, most_per_class)
    if not chosen.any():
        raise InputError(
            f"None of the {len(particles):,} particles is in the {int(selected.sum())} classes "
            "that were chosen."
        )
    kept = particles.select(chosen)
    if n_groups is not None:
        kept = _regrouped(kept, classification.scales, n_groups)
    return classification.data.with_table(kept)


def chosen_averages(classification: Classification, selected: NDArray[np.bool_]) -> Table:
    """Return the rows of the chosen classes."""
    return Table("", dict(classification.classes.select(selected).columns))


def selection_table(selected: NDArray[np.bool_]) -> Table:
    """Return what ``backup_selection.star`` holds: 1 or 0 for each row that was shown."""
    return Table.from_columns("", {SELECTED: selected.astype(np.int64)})


def read_selection(path: Path, n_shown: int) -> NDArray[np.bool_]:
    """Read ``backup_selection.star``.

    Raises
    ------
    FormatError
        It belongs to another list.
    """
    table = main_table(read_star(path), SELECTED, str(path))
    if len(table) != n_shown:
        raise FormatError(
            f"{path}: it has a choice for {len(table):,} rows, but there are {n_shown:,} to choose "
            "from. It was made for another file; choose again."
        )
    return np.asarray(table[SELECTED] > 0)


def _regrouped(particles: Table, scales: Mapping[int, float], n_groups: int) -> Table:
    if SCALE_GROUP_NUMBER not in particles:
        raise FormatError(
            f"data_{particles.name} has no {SCALE_GROUP_NUMBER}, so there are no groups to merge; "
            "regrouping needs the particles of a refinement or classification."
        )
    optics = particles.get(GROUP, np.ones(len(particles), np.int64))
    names, _ = regroup(particles[SCALE_GROUP_NUMBER], optics, dict(scales), n_groups)
    return particles.with_columns({SCALE_GROUP: names}).without(SCALE_GROUP_NUMBER)
