"""A finished 2D classification as what a ranker looks at: averages and what is said of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.chosen_classes import CLASS_NUMBER, Classification, read_classification
from vitreous.engine.ranking.features import Statistics
from vitreous.errors import FormatError, InputError
from vitreous.io import Table, read_images, read_star

OPTIMISER = "optimiser_general"
_REFERENCE = "rlnReferenceImage"
_UNKNOWN = 999.0


@dataclass(frozen=True)
class Classes:
    """The classes of a job.

    Parameters
    ----------
    classification
        Its model and particles.
    averages
        ``(n, y, x)``, in the order of the classes.
    pixel_size_A
        Of the averages.
    diameter_A
        Of the mask of the classification.
    statistics
        What the job says about each class.
    """

    classification: Classification
    averages: Float[Tensor, "n y x"]
    pixel_size_A: float
    diameter_A: float
    statistics: Statistics


def read_classes(file: str, root: Path) -> Classes:
    """Read the classes that belong to an optimiser file.

    Parameters
    ----------
    file
        ``..._optimiser.star``, from the project folder.
    root
        The project folder.

    Raises
    ------
    InputError
        The classes are volumes, or were made without CTF correction.
    FormatError
        It is not an optimiser file, or says nothing of the mask or the pixel size.
    """
    classification = read_classification(file, root)
    optimiser = read_star(root / file).get(OPTIMISER)
    if optimiser is None:
        raise FormatError(
            f"{file}: no table data_{OPTIMISER}. Ranking needs the optimiser file of a Class2D "
            "job, which says how large the mask was and whether the CTF was corrected."
        )
    if not classification.is_2d:
        raise InputError(
            f"{file}: its classes are volumes. Ranking judges 2D class averages; choose 3D "
            "classes by eye."
        )
    if not optimiser.value("rlnDoCorrectCtf", 1):
        raise InputError(
            f"{file}: these classes were made without CTF correction, so their grey values do not "
            "tell how good they are. Run Class2D with CTF correction, or choose by eye."
        )
    diameter_A = float(optimiser.value("rlnParticleDiameter", 0.0))
    if diameter_A <= 0 or classification.pixel_size_A <= 0:
        raise FormatError(
            f"{file}: the diameter of the mask is {diameter_A:g} Å and the pixel size "
            f"{classification.pixel_size_A:g} Å; wanted both above 0."
        )
    return Classes(
        classification,
        _averages(classification.classes, root),
        classification.pixel_size_A,
        diameter_A,
        _statistics(classification),
    )


def count_particles(classification: Classification) -> NDArray[np.int64]:
    """Return how many particles were assigned to each class."""
    n = len(classification.classes)
    numbers = classification.particles[CLASS_NUMBER].astype(np.int64)
    return np.bincount(numbers[(numbers >= 1) & (numbers <= n)] - 1, minlength=n)


def _averages(classes: Table, root: Path) -> Float[Tensor, "n y x"]:
    names = (str(name).rpartition("@") for name in classes[_REFERENCE].tolist())
    images = read_images([f"{number}{at}{root / file}" for number, at, file in names])
    if images.shape[1] != images.shape[2] or images.shape[1] % 2:
        raise FormatError(
            f"{classes[_REFERENCE][0]}: averages of {images.shape[2]} x {images.shape[1]} pixels; "
            "wanted squares of an even number of pixels."
        )
    return torch.from_numpy(images.astype(np.float64))


def _statistics(classification: Classification) -> Statistics:
    classes = classification.classes

    def column(label: str) -> Tensor:
        values = classes.get(label, np.full(len(classes), _UNKNOWN)).astype(np.float64)
        return torch.from_numpy(np.where(np.isfinite(values), values, _UNKNOWN))

    translations = "rlnAccuracyTranslationsAngst"
    return Statistics(
        torch.from_numpy(count_particles(classification).astype(np.float64)),
        column("rlnEstimatedResolution"),
        column("rlnAccuracyRotations"),
        column(translations),
    )
