"""Whether the two half sets of a particle table share particles, or parts of the same images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.columns import codes
from vitreous.dataset.duplicates import positions_A
from vitreous.io import Table

HALF = "rlnRandomSubset"


@dataclass(frozen=True)
class HalfSets:
    """What two half sets have in common.

    Parameters
    ----------
    sizes
        Particles of half 1 and of half 2; both 0 where the table does not tell.
    same_image
        Particles of half 1 whose image stands in half 2 too.
    near
        Particles of half 1 that lie nearer than the distance asked for to one of half 2, in the
        same micrograph; -1 where places are not known.
    """

    sizes: tuple[int, int]
    same_image: int = 0
    near: int = -1

    @property
    def are_known(self) -> bool:
        """Whether the table says which half a particle is in."""
        return sum(self.sizes) > 0


def compare(
    particles: Table, micrograph_pixel_A: NDArray[np.float64] | None, near_A: float
) -> HalfSets:
    """Compare the half sets of a table.

    Parameters
    ----------
    particles
        Rows of particles.
    micrograph_pixel_A
        ``n``, of the micrographs that coordinates count; None where it is not known.
    near_A
        Particles of different halves should not lie so near, or nearer.
    """
    if HALF not in particles:
        return HalfSets((0, 0))
    half = np.asarray(particles[HALF])
    first, second = half == 1, half == 2
    images = np.asarray(particles.get("rlnImageName", np.arange(len(half)).astype(str)))
    same = int(np.isin(images[first], images[second]).sum())
    near = -1
    placed = all(f"rlnCoordinate{axis}" in particles for axis in "XY")
    if placed and "rlnMicrographName" in particles and micrograph_pixel_A is not None:
        places = positions_A(particles, micrograph_pixel_A)
        near = _n_near(places, codes(particles["rlnMicrographName"]), first, second, near_A)
    return HalfSets((int(first.sum()), int(second.sum())), same, near)


def _n_near(
    places: NDArray[np.float64],
    micrographs: NDArray[np.int64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    near_A: float,
) -> int:
    """Count rows of the first set with a neighbour in the second; micrographs are set far apart."""
    from scipy.spatial import KDTree  # slow to import, and few programs need it

    usable = np.isfinite(places).all(axis=1)
    first, second = first & usable, second & usable
    if not first.any() or not second.any():
        return 0
    apart = np.column_stack([places, micrographs * (10.0 * near_A + 1.0)])
    distances, _ = KDTree(apart[second]).query(
        apart[first], distance_upper_bound=near_A * (1 + 1e-9)
    )
    return int(np.isfinite(distances).sum())


def micrograph_pixels_A(particles: Table, optics: Table) -> NDArray[np.float64] | None:
    """Return the pixel size of the micrograph of each row, None where the optics do not tell."""
    label = "rlnMicrographPixelSize"
    if label not in optics or "rlnOpticsGroup" not in particles:
        return None
    of_group = dict(zip(optics["rlnOpticsGroup"].tolist(), optics[label].tolist(), strict=True))
    found = [of_group.get(group, np.nan) for group in particles["rlnOpticsGroup"].tolist()]
    return np.asarray(found, np.float64)
