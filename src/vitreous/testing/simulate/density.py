"""Scatterers in space, and sums of their waves in two or three dimensions.

A specimen is a list of points, each with a form factor. The transform of what they make is

```
F(k) = sum_j f_j(|k|) exp(-2 pi i k.x_j)
```

without any grid in space: every point counts with its own exact position. The sum is done by
spreading the points over a grid of twice the sampling with a kernel of five pixels and dividing by
the transform of that kernel ("exponential of semicircle", Barnett et al. 2019, SIAM J. Sci. Comput.
41, C479), which gives it to about one part in 10^4. The voxels of a map are points too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, sparse

from vitreous.testing.simulate.atoms import Atoms
from vitreous.testing.simulate.scattering import form_factor, phase_per_amplitude_A

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Waves = npt.NDArray[np.complex64]

_WIDTH, _STEPS = 5, 4096
_FINEST_PER_A = 2.0  # form factors are tabulated up to this frequency


@dataclass(frozen=True)
class Scatterers:
    """Points with form factors that are sums of few functions of the frequency.

    Parameters
    ----------
    positions_A
        ``(n, 3)``, x y z about the centre of the specimen.
    weights
        ``(n, r)``, how much of each function a point has.
    k_per_A
        ``(m,)``, the frequencies of the table, 1/Å.
    functions
        ``(r, m)``. In units of contrast times Å²: the transform of the white image that a perfect
        phase plate would give.
    """

    positions_A: Array
    weights: Floats
    k_per_A: Array
    functions: Array

    def __len__(self) -> int:
        return len(self.positions_A)

    @property
    def radius_A(self) -> float:
        """Distance of the farthest point from the centre."""
        return float(np.sqrt((self.positions_A**2).sum(1).max()))

    def factor(self, k_per_A: Array) -> Array:
        """Return the functions at frequencies, ``(r, ...)``."""
        return np.stack([np.interp(k_per_A, self.k_per_A, one) for one in self.functions])


def from_atoms(atoms: Atoms, voltage_kV: float) -> Scatterers:
    """Return the scatterers of a model in ice, at an accelerating voltage."""
    k = np.linspace(0, _FINEST_PER_A, 401)
    kinds, kind_of = np.unique(
        np.stack([atoms.elements, (np.round(atoms.b_A2 * 4) / 4).astype(str)], 1),
        axis=0, return_inverse=True,
    )  # fmt: skip
    hydrogens = not atoms.has_hydrogens
    factors = np.stack(
        [form_factor(str(e), float(b), k, with_hydrogens=hydrogens) for e, b in kinds]
    )
    factors *= 2 * phase_per_amplitude_A(voltage_kV)
    left, size, right = np.linalg.svd(factors, full_matrices=False)
    rank = int((size > 3e-4 * size[0]).sum())
    weights = (left[:, :rank] * size[:rank])[kind_of.reshape(-1)] * atoms.occupancy[:, None]
    return Scatterers(atoms.positions_A, weights.astype(np.float32), k, right[:rank])


def from_volume(density: npt.NDArray[np.float32], pixel_size_A: float, amount: float) -> Scatterers:
    """Return the voxels of a map as scatterers; values that do not matter are left out.

    Parameters
    ----------
    density
        ``(z, y, x)``.
    pixel_size_A
        Its sampling.
    amount
        Factor that makes the sum over voxels contrast times Å².
    """
    z, y, x = np.nonzero(np.abs(density) > 1e-5 * np.abs(density).max())
    centre = np.array(density.shape[::-1]) // 2
    positions = (np.stack([x, y, z], 1) - centre) * pixel_size_A
    # A voxel stands for waves below the Nyquist frequency of its map only.
    k = np.linspace(0, _FINEST_PER_A, 2001)
    edge = np.clip((0.5 / pixel_size_A - k) * pixel_size_A * 50 + 0.5, 0, 1)
    weights = (density[z, y, x] * amount).astype(np.float32)[:, None]
    return Scatterers(positions.astype(np.float64), weights, k, edge[None])


def transform(
    points_px: Array, weights: Floats, size: int, radial: Floats, *, chunk: int = 50_000
) -> Waves:
    """Return the transform of weighted points on the half plane (or space) of a box.

    Parameters
    ----------
    points_px
        ``(n, d)``, x y (z) in pixels from the centre of the box, d = 2 or 3. Points outside of
        the box are left out.
    weights
        ``(n, r)``.
    size
        Side of the box, even.
    radial
        ``(r, ..., size // 2 + 1)``, the functions on the half plane; see `Scatterers.factor`.
    chunk
        Points spread at a time.

    Returns
    -------
    ndarray
        ``([size,] size, size // 2 + 1)``, phases counted from the centre of the box; the Nyquist
        rows are zero.
    """
    n_dim, rank = points_px.shape[1], weights.shape[1]
    grid = 2 * size
    inside = (np.abs(points_px) < size / 2).all(1)
    points, weights = points_px[inside], weights[inside]
    total = np.zeros((grid**n_dim, rank), np.float32)
    for start in range(0, len(points), chunk):
        part = slice(start, start + chunk)
        total += _spreader(points[part], grid) @ weights[part]
    keep = np.r_[0 : size // 2, grid - size // 2 : grid]
    result = np.zeros(radial.shape[1:], np.complex64)
    for number in range(rank):
        waves = fft.rfftn(total[:, number].reshape((grid,) * n_dim))[..., : size // 2 + 1]
        for axis in range(n_dim - 1):
            waves = np.take(waves, keep, axis)
        result += waves * radial[number]
    return result * _correction(size, n_dim)


def to_image(waves: Waves) -> Floats:
    """Return the real images (or volumes) of transforms whose phases count from the centre.

    Parameters
    ----------
    waves
        ``(..., y, xh)``; leading axes are a batch, unless there are z rows: see `to_volume`.
    """
    size = waves.shape[-2]
    return np.asarray(fft.fftshift(fft.irfft2(waves, (size, size)), (-2, -1)), np.float32)


def to_waves(images: Floats) -> Waves:
    """Return the transforms of real images, phases counted from the centre; undoes `to_image`."""
    return np.asarray(fft.rfft2(fft.ifftshift(images, (-2, -1))), np.complex64)


def to_volume(waves: Waves) -> Floats:
    """Return the real volume ``(z, y, x)`` of a transform whose phases count from the centre."""
    size = waves.shape[0]
    return np.asarray(fft.fftshift(fft.irfftn(waves, (size,) * 3)), np.float32)


def frequency_grid(size: int, pixel_size_A: float, n_dim: int = 2) -> list[Array]:
    """Return the components of k on the half plane (or space), slow axis first, in 1/Å."""
    axes = [fft.fftfreq(size, pixel_size_A)] * (n_dim - 1) + [fft.rfftfreq(size, pixel_size_A)]
    return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def density_map(scatterers: Scatterers, size: int, pixel_size_A: float) -> Floats:
    """Return the density on a grid ``(z, y, x)``; its sums along an axis are projections."""
    k = np.sqrt(sum(part**2 for part in frequency_grid(size, pixel_size_A, 3)))
    radial = scatterers.factor(k).astype(np.float32) / pixel_size_A**2
    points = scatterers.positions_A / pixel_size_A
    return to_volume(transform(points, scatterers.weights, size, radial))


def _spreader(points: Array, grid: int) -> sparse.csc_array:
    """Return the matrix that spreads points over the fine grid, ``(grid^d, n)``."""
    n_points, n_dim = points.shape
    fine = points * 2
    first = np.ceil(fine - _WIDTH / 2)
    rows = ((first - fine + _WIDTH / 2) * _STEPS).round().astype(np.int64)
    table = _kernel_table()
    indices = np.zeros((n_points, 1), np.int64)
    values = np.ones((n_points, 1), np.float32)
    for axis in reversed(range(n_dim)):
        taps = (first[:, axis].astype(np.int64)[:, None] + np.arange(_WIDTH)) % grid
        weights = table[rows[:, axis]]
        indices = (indices[:, :, None] * grid + taps[:, None, :]).reshape(n_points, -1)
        values = (values[:, :, None] * weights[:, None, :]).reshape(n_points, -1)
    starts = np.arange(n_points + 1) * values.shape[1]
    shape = (grid**n_dim, n_points)
    return sparse.csc_array((values.reshape(-1), indices.reshape(-1), starts), shape=shape)


def _kernel(x: Array) -> Array:
    inside = np.clip(1 - (2 * x / _WIDTH) ** 2, 0, None)
    return np.asarray(np.exp(2.3 * _WIDTH * (np.sqrt(inside) - 1)) * (inside > 0))


@lru_cache(maxsize=1)
def _kernel_table() -> Floats:
    offsets = np.arange(_STEPS + 1)[:, None] / _STEPS - _WIDTH / 2 + np.arange(_WIDTH)
    return _kernel(offsets).astype(np.float32)


@lru_cache(maxsize=8)
def _correction(size: int, n_dim: int) -> Floats:
    """Return one over the transform of the kernel on the half plane; zero at Nyquist."""
    nodes, quadrature = np.polynomial.legendre.leggauss(60)
    x, dx = nodes * _WIDTH / 2, quadrature * _WIDTH / 2
    k = fft.fftfreq(size, 1 / size)
    values = (_kernel(x) * dx * np.cos(2 * np.pi * np.outer(k / (2 * size), x))).sum(1)
    one = np.where(k == -(size // 2), 0, 1 / values)
    half = np.append(one[: size // 2], 0)
    result = half
    for _ in range(n_dim - 1):
        result = result * one.reshape(-1, *(1,) * result.ndim)
    return result.astype(np.float32)
