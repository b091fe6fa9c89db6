"""Objects whose volume, projections and transforms are known in closed form.

Nothing here uses the engine's projection, so that a test against a phantom cannot repeat an
error of the engine. Lengths are in pixels, components x y z, the origin is the box centre.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, symmetry


@dataclass(frozen=True)
class Gaussians:
    """A sum of spherical Gaussians.

    Sampling one of width w folds ``exp(-2 pi^2 w^2 / 4)`` of its transform back at Nyquist (1.5e-5
    for 1.5 pixels, 3e-9 for 2), as long as six widths around it stay inside the box.

    Parameters
    ----------
    centres_px
        ``m 3``
    widths_px
        ``m``, standard deviations.
    weights
        ``m``, integrals.
    """

    centres_px: Float[Tensor, "m 3"]
    widths_px: Float[Tensor, " m"]
    weights: Float[Tensor, " m"]

    def volume(self, size: int) -> Float[Tensor, "z y x"]:
        """Sample the density."""
        axis = _axis(size)
        factors = [self._along(axis, self.centres_px[:, c, None]) for c in (2, 1, 0)]
        return torch.einsum("m,mz,my,mx->zyx", self.weights, *factors)

    def transform(self, size: int) -> Complex[Tensor, "z y xh"]:
        """Return the Fourier transform, as `engine.fourier.forward` normalises and centres it."""
        k = fourier.frequencies(size, 3, torch.float64)
        return self.at(k.reshape(-1, 3)).reshape(k.shape[:-1]) / size**3

    def at(self, k_per_px: Float[Tensor, "n 3"]) -> Complex[Tensor, " n"]:
        """Return the continuous transform at any frequencies, in cycles per pixel."""
        damping = torch.exp(-2 * torch.pi**2 * (k_per_px**2).sum(-1)[:, None] * self.widths_px**2)
        phases = torch.exp(-2j * torch.pi * (k_per_px @ self.centres_px.T))
        return (self.weights * damping * phases).sum(-1)

    def projections(self, poses: Float[Tensor, "n 3 3"], size: int) -> Float[Tensor, "n y x"]:
        """Return line integrals: the image of a pose A integrates over z of the rows of A."""
        places = self._seen_from(poses)
        axis = _axis(size)
        along_x = self._along(axis, places[..., 0, None])
        along_y = self._along(axis, places[..., 1, None])
        return torch.einsum("m,nmy,nmx->nyx", self.weights, along_y, along_x)

    def projection_transforms(
        self, poses: Float[Tensor, "n 3 3"], size: int
    ) -> Complex[Tensor, "n y xh"]:
        """Return the transforms of `projections`, normalised as images."""
        k = fourier.frequencies(size, 2, torch.float64).reshape(-1, 2)
        places = self._seen_from(poses)[..., :2]
        damping = torch.exp(-2 * torch.pi**2 * (k**2).sum(-1)[:, None] * self.widths_px**2)
        phases = torch.exp(-2j * torch.pi * torch.einsum("kc,nmc->nkm", k, places))
        flat = (self.weights * damping * phases).sum(-1) / size**2
        return flat.reshape(len(poses), size, size // 2 + 1)

    def turned(self, rotation: Float[Tensor, "3 3"]) -> Gaussians:
        """Return the object with every point x moved to ``rotation @ x``."""
        return replace(self, centres_px=self.centres_px @ rotation.T)

    def moved(self, shift_px: Float[Tensor, " 3"]) -> Gaussians:
        """Return the object moved by a vector."""
        return replace(self, centres_px=self.centres_px + shift_px)

    def symmetrised(self, point_group: str) -> Gaussians:
        """Return the sum of the object's copies under all operators of a point group."""
        operators = symmetry.operators(point_group)
        centres = (operators[:, None] @ self.centres_px[None, :, :, None]).reshape(-1, 3)
        n = len(operators)
        return Gaussians(centres, self.widths_px.repeat(n), self.weights.repeat(n))

    def _seen_from(self, poses: Tensor) -> Tensor:
        return (poses[:, None] @ self.centres_px[None, :, :, None])[..., 0].to(torch.float64)

    def _along(self, axis: Tensor, centres: Tensor) -> Tensor:
        """Return normalised Gaussians along one axis, ``... m axis`` for centres ``... m 1``."""
        widths = self.widths_px[:, None]
        normal = torch.exp(-0.5 * ((axis - centres) / widths) ** 2)
        result: Tensor = normal / (widths * (2 * torch.pi) ** 0.5)
        return result


@dataclass(frozen=True)
class Ball:
    """A ball of unit density around the centre."""

    radius_px: float

    def volume(self, size: int, oversampling: int = 6) -> Float[Tensor, "z y x"]:
        """Return the fraction of each voxel that lies inside, by sampling it finely."""
        parts = (torch.arange(oversampling, dtype=torch.float64) + 0.5) / oversampling - 0.5
        fine = (_axis(size)[:, None] + parts).flatten() ** 2
        inside = fine[:, None, None] + fine[:, None] + fine < self.radius_px**2
        blocks = inside.to(torch.float64).reshape((size, oversampling) * 3)
        return blocks.mean((1, 3, 5))

    def transform(self, size: int) -> Complex[Tensor, "z y xh"]:
        """Return the continuous transform (not that of the voxels), divided by their number."""
        k = fourier.frequencies(size, 3, torch.float64).norm(dim=-1)
        x = (2 * torch.pi * self.radius_px * k).clamp(min=1e-4)
        values: Tensor = 4 * torch.pi * self.radius_px**3 * (x.sin() - x * x.cos()) / x**3 / size**3
        return values.to(torch.complex128)

    def projection(self, size: int) -> Float[Tensor, "y x"]:
        """Return the lengths of the chords through the pixel centres."""
        r2 = _axis(size)[:, None] ** 2 + _axis(size) ** 2
        return 2 * (self.radius_px**2 - r2).clamp(min=0).sqrt()


def cluster(
    n: int = 12, *, radius_px: float = 8.0, width_px: float = 1.5, seed: int = 0
) -> Gaussians:
    """Return an asymmetric cluster of Gaussians of different weights inside a ball.

    No rotation, mirror or inversion maps it to itself, so that a wrong hand, a transposed matrix
    or a swapped axis shows.
    """
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn((n, 3), generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=-1, keepdim=True)
    radii = radius_px * torch.rand((n, 1), generator=generator, dtype=torch.float64) ** (1 / 3)
    weights = 0.5 + torch.rand(n, generator=generator, dtype=torch.float64)
    return Gaussians(
        directions * radii, torch.full((n,), width_px, dtype=torch.float64), weights / weights.sum()
    )


def symmetric_cluster(
    point_group: str, n: int = 4, *, radius_px: float = 8.0, width_px: float = 1.5, seed: int = 0
) -> Gaussians:
    """Return a cluster with the symmetry of a point group and no more."""
    part = cluster(n, radius_px=radius_px, width_px=width_px, seed=seed)
    return part.symmetrised(point_group)


def _axis(size: int) -> Tensor:
    return torch.arange(size, dtype=torch.float64) - size // 2
