"""Where particles lie in a micrograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_TRIES_PER_PARTICLE = 200


@dataclass(frozen=True)
class Crowd:
    """How many particles there are and how close they come.

    Parameters
    ----------
    n
        Wanted in each micrograph.
    distance_A
        Smallest distance of two centres; below the diameter of the molecule they overlap.
    border_A
        Nothing is placed so close to an edge; negative lets particles stand half outside.
    """

    n: int = 60
    distance_A: float = 200.0
    border_A: float = 0.0


def place(
    crowd: Crowd, shape: tuple[int, int], pixel_size_A: float, rng: np.random.Generator
) -> Array:
    """Return centres ``(n, 2)``, x y in pixels; fewer than wanted where no room is left."""
    border = crowd.border_A / pixel_size_A
    low = np.array([border, border])
    high = np.array([shape[1] - 1 - border, shape[0] - 1 - border])
    least = (crowd.distance_A / pixel_size_A) ** 2
    placed = np.empty((crowd.n, 2))
    n = 0
    for _ in range(_TRIES_PER_PARTICLE * crowd.n):
        if n == crowd.n:
            break
        point = rng.uniform(low, high)
        if n == 0 or ((placed[:n] - point) ** 2).sum(1).min() >= least:
            placed[n] = point
            n += 1
    return placed[:n]
