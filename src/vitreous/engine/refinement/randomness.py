"""Random numbers of a refinement: each belongs to a seed, to whom it is for, and to its purpose.

Nothing depends on the order of particles, on batches, ranks or restarts: whoever needs a number
makes the generator anew. NumPy's Philox counts instead of carrying a state (Salmon et al. 2011,
SC11): the seed and the particle are its key, the purpose and the iteration are the high words of
its counter, so that no two streams ever meet. NumPy is here for this generator.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_NO_PARTICLE = 2**64 - 1


class Stream(IntEnum):
    """What random numbers are for; the numbers are part of the method and never change."""

    NOISE_FILL = 0
    CLASS_SEED = 1
    FIRST_POSE = 2
    FIRST_BLOBS = 3
    ORDER = 4
    PERTURBATION = 5
    ACCURACY = 6
    HALVES = 7
    PHASES = 8
    SUBSET = 9


def of_particle(
    seed: int, identity: int, stream: Stream, iteration: int = 0
) -> np.random.Generator:
    """Return the random numbers of one particle.

    Parameters
    ----------
    seed
        Of the run.
    identity
        `Data.identity` of the particle.
    stream
        The purpose.
    iteration
        0 for what stays the same through all iterations, such as the noise fill.
    """
    key = np.array([seed % 2**64, identity % 2**64], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, iteration, int(stream)]))


def of_run(seed: int, stream: Stream, iteration: int = 0) -> np.random.Generator:
    """Return random numbers that all particles of an iteration share."""
    return of_particle(seed, _NO_PARTICLE, stream, iteration)


def white_noise(seed: int, identity: int, box_px: int) -> Float[Tensor, "y x"]:
    """Return the white image of unit deviation that a particle's noise fill is made from.

    The fill is this image with its transform multiplied by ``box_px sqrt(2 sigma2)``: the
    transform of white noise has ``1 / (2 box_px^2)`` in each component (`fourier.forward`), that
    of the fill then has sigma2.
    """
    generator = of_particle(seed, identity, Stream.NOISE_FILL)
    return torch.from_numpy(generator.standard_normal((box_px, box_px), np.float32))


def seed_class(seed: int, identity: int, n_classes: int) -> int:
    """Return the class that a particle is given where all classes start from one map."""
    return int(of_particle(seed, identity, Stream.CLASS_SEED).integers(n_classes))
