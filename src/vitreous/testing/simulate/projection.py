"""Projections: the points of a specimen turned in space and summed along the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vitreous.testing.simulate.density import Scatterers, Waves, frequency_grid, transform

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """The box that images are made in.

    Parameters
    ----------
    size
        Side in pixels, even.
    pixel_size_A
        Sampling.
    """

    size: int
    pixel_size_A: float

    def frequencies(self) -> tuple[Array, Array]:
        """Return kx and ky on the half plane, in 1/Å."""
        ky, kx = frequency_grid(self.size, self.pixel_size_A)
        return kx, ky


def project(specimen: Scatterers, rotations: Array, displacement_A: Array, camera: Camera) -> Waves:
    """Return the transforms of projections of a specimen.

    Parameters
    ----------
    specimen
        What is projected.
    rotations
        ``(n, 3, 3)``, matrices A.
    displacement_A
        ``(n, 2)``, where the centre of the specimen lies, x y from the centre of the box.
    camera
        Box and pixel size.

    Returns
    -------
    ndarray
        ``(n, size, size // 2 + 1)``; the real image is contrast, white.
    """
    radial = _radial(specimen, camera)
    result = np.empty((len(rotations), *radial.shape[1:]), np.complex64)
    for number, (turn, where) in enumerate(zip(rotations, displacement_A, strict=True)):
        seen = (specimen.positions_A @ turn[:2].T + where) / camera.pixel_size_A
        result[number] = transform(seen, specimen.weights, camera.size, radial)
    return result


def project_layers(
    specimen: Scatterers,
    rotation: Array,
    displacement_A: Array,
    camera: Camera,
    thickness_A: float,
) -> tuple[Waves, Array]:
    """Return projections of thin layers across the beam, for the curvature of the Ewald sphere.

    Parameters
    ----------
    specimen, displacement_A, camera
        As in `project`; one displacement ``(2,)``.
    rotation
        ``(3, 3)``, the matrix A.
    thickness_A
        Of a layer; the waves of a layer are given one defocus.

    Returns
    -------
    tuple
        Transforms ``(l, size, size // 2 + 1)``, and the mean height z of each layer in ångström.
    """
    radial = _radial(specimen, camera)
    turned = specimen.positions_A @ rotation.T
    layer = np.floor(turned[:, 2] / thickness_A).astype(int)
    waves, heights = [], []
    for number in np.unique(layer):
        mine = layer == number
        seen = (turned[mine, :2] + displacement_A) / camera.pixel_size_A
        waves.append(transform(seen, specimen.weights[mine], camera.size, radial))
        heights.append(turned[mine, 2].mean())
    return np.array(waves), np.array(heights)


def _radial(specimen: Scatterers, camera: Camera) -> npt.NDArray[np.float32]:
    kx, ky = camera.frequencies()
    factor = specimen.factor(np.hypot(kx, ky)) / camera.pixel_size_A**2
    return factor.astype(np.float32)
