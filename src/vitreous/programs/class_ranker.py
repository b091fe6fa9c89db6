"""The ranker that comes with vitreous: features of class averages to scores.

How it was trained, and on what, is in docs/class-ranker.md; ``make class-ranker`` does it again.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.ranked_classes import Classes
from vitreous.engine.ranking.features import LEAST_PARTICLES, features
from vitreous.engine.ranking.network import Network
from vitreous.errors import MissingFileError

WEIGHTS = Path(__file__).parents[1] / "data" / "class_ranker.npz"
NOT_JUDGED = -999.0


def measure(classes: Classes) -> dict[str, torch.Tensor]:
    """Return the features of all classes, each ``(n,)``."""
    return features(classes.averages, classes.pixel_size_A, classes.diameter_A, classes.statistics)


def score(measured: dict[str, torch.Tensor]) -> NDArray[np.float64]:
    """Return the predicted score of each class, 0 to 1."""
    return np.asarray(network().scores(measured).numpy(), np.float64)


def judged(classes: Classes) -> NDArray[np.bool_]:
    """Return which classes have enough particles to be judged."""
    return np.asarray((classes.statistics.n_particles > LEAST_PARTICLES).numpy())


@lru_cache(maxsize=1)
def network() -> Network:
    """Read the weights.

    Raises
    ------
    MissingFileError
        The package is not whole.
    """
    return read_network(WEIGHTS)


def read_network(path: Path) -> Network:
    """Read a file of weights: plain arrays, nothing that could run."""
    if not path.is_file():
        raise MissingFileError(
            f"{path}: the weights of the class ranker are not there. Install vitreous again, or "
            "make them with `make class-ranker`."
        )
    with np.load(path, allow_pickle=False) as file:
        names = [str(name) for name in file["names"]]
        arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != "names"}
    return Network.from_arrays(arrays, names)
