"""The images of a refinement and their optics, as the engine sees them: no files, no labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.ctf import Defocus, Optics

BEYOND_MEASURE: Final = 1e9  # normalised images have a deviation of 1, others of some thousands
BRIGHTEST: Final = 0.25  # of an image's power, in one pixel


@dataclass(frozen=True)
class Data:
    """Particles in the order of their table.

    Parameters
    ----------
    optics
        One row a group.
    defocus
        One row a particle.
    optics_group
        ``n``, row of `optics`.
    premultiplied
        ``g``, whether the images of a group were multiplied by their CTF.
    identity
        ``n``, numbers that seed whatever is random about a particle; they do not change when
        particles are split over ranks, batched or reordered.
    read
        Returns raw images of particles of one optics group, ``n y x`` in float32.
    mtf
        Per optics group, transfer function of the detector on the half transform of the full box,
        or None.
    """

    optics: Optics
    defocus: Defocus
    optics_group: NDArray[np.int64]
    premultiplied: NDArray[np.bool_]
    identity: NDArray[np.int64]
    read: Callable[[NDArray[np.int64]], Float[Tensor, "n y x"]]
    mtf: tuple[Float[Tensor, "y xh"] | None, ...] = ()

    def __len__(self) -> int:
        """Return the number of particles."""
        return len(self.optics_group)


def usable(images: Float[Tensor, "n y x"]) -> Bool[Tensor, " n"]:
    """Tell which images hold nothing but numbers that an image can hold.

    One value beyond all measure would reach every particle, through the noise and the mean norm;
    one pixel with a good part of an image's power (an X-ray, a broken row) is no picture of a
    molecule and would shine through every map that the image goes into.
    """
    squares = images.square().flatten(1)
    brightest, power = squares.amax(1), squares.sum(1)
    finite = brightest < BEYOND_MEASURE**2
    return finite & (brightest <= BRIGHTEST * power)
