"""The grid of orientations and shifts that a search tries (refinement.md section 4).

One coarse grid of directions, in-plane angles and shifts is shared by all particles of an
iteration; it is moved as a whole by a random perturbation. Around significant coarse points a
finer grid of children is tried. Directions are HEALPix pixels of the asymmetric unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vitreous.engine import asymmetric_unit, geometry, healpix, symmetry

NO_TILT_LIMIT = -91.0


@dataclass(frozen=True)
class Grid:
    """What the coarse grid is made of.

    Parameters
    ----------
    healpix_order
        Order o of the directions, which are 60 degrees / 2^o apart.
    psi_step_deg
        Step of the in-plane angle; as fine as the directions where it is None.
    offset_range_px, offset_step_px
        Radius and spacing of the shifts.
    point_group
        Symmetry whose asymmetric unit is searched.
    tilt_limit_deg
        See `within_tilt_limit`; -91 is none.
    """

    healpix_order: int
    psi_step_deg: float | None = None
    offset_range_px: float = 5.0
    offset_step_px: float = 2.0
    point_group: str = "C1"
    tilt_limit_deg: float = NO_TILT_LIMIT

    @property
    def step_deg(self) -> float:
        """Return the step of the in-plane angle."""
        return self.psi_step_deg or healpix.spacing_deg(self.healpix_order)

    def pixels(self) -> Int64[Tensor, " r"]:
        """Return the HEALPix pixels searched, in rising order."""
        pixels = asymmetric_unit.pixels(self.healpix_order, self.point_group)
        tilt_deg = healpix.directions(self.healpix_order, pixels)[:, 1]
        return pixels[within_tilt_limit(tilt_deg, self.tilt_limit_deg)]

    def directions(self) -> Float[Tensor, "r 2"]:
        """Return rot and tilt of the directions, in degrees."""
        return healpix.directions(self.healpix_order, self.pixels())

    def psi(self) -> Float[Tensor, " m"]:
        """Return the in-plane angles, in degrees."""
        return psi_angles(self.step_deg)

    def shifts(self) -> Float[Tensor, "t 2"]:
        """Return the shifts x y, in pixels."""
        return translations(self.offset_range_px, self.offset_step_px)


def psi_angles(step_deg: float) -> Float[Tensor, " m"]:
    """Return the in-plane angles 0, step, 2 step, ...: as many as cover the circle."""
    return step_deg * torch.arange(ceil(360 / step_deg - 1e-6), dtype=torch.float64)


def translations(range_px: float, step_px: float) -> Float[Tensor, "t 2"]:
    """Return the shifts x y of a square grid inside a circle."""
    reach = int(range_px / step_px + 1e-6) + 1
    axis = step_px * torch.arange(-reach, reach + 1, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    return grid[(grid**2).sum(-1) < range_px**2 + 0.001]


def within_tilt_limit(tilt_deg: Float[Tensor, " r"], limit_deg: float) -> Bool[Tensor, " r"]:
    """Tell which tilts a limit allows.

    Parameters
    ----------
    tilt_deg
        Folded to the nearer pole first.
    limit_deg
        A positive limit keeps side views, at least so far from the poles; a negative one keeps
        top views, at most so far; -91 keeps all.
    """
    folded = tilt_deg.abs() % 360
    folded = torch.minimum(folded, 360 - folded)
    folded = torch.minimum(folded, 180 - folded)
    return folded >= limit_deg if limit_deg > 0 else folded <= -limit_deg


def poses(
    directions_deg: Float[Tensor, "r 2"], psi_deg: Float[Tensor, " m"]
) -> Float[Tensor, "r m 3 3"]:
    """Return the pose of every direction with every in-plane angle."""
    n_directions, n_psi = len(directions_deg), len(psi_deg)
    angles = torch.cat(
        [
            directions_deg[:, None].expand(n_directions, n_psi, 2),
            psi_deg[None, :, None].expand(n_directions, n_psi, 1),
        ],
        -1,
    )
    return geometry.matrix_from_euler(angles.reshape(-1, 3)).reshape(n_directions, n_psi, 3, 3)


def child_directions(
    order: int, pixels: Int64[Tensor, " n"], oversampling: int
) -> Float[Tensor, "n m 2"]:
    """Return rot and tilt of the 4^oversampling finer pixels inside each pixel, in degrees."""
    finer = healpix.children(pixels, oversampling)
    angles = healpix.directions(order + oversampling, finer.flatten())
    return angles.reshape(*finer.shape, 2)


def child_psi(
    psi_deg: Float[Tensor, " n"], step_deg: float, oversampling: int
) -> Float[Tensor, "n m"]:
    """Return the 2^oversampling finer angles inside the interval of each in-plane angle."""
    return psi_deg[:, None] + _inside(step_deg, oversampling)


def child_translations(
    shifts_px: Float[Tensor, "n 2"], step_px: float, oversampling: int
) -> Float[Tensor, "n m 2"]:
    """Return the 4^oversampling finer shifts inside the square of each shift."""
    inside = _inside(step_px, oversampling)
    return shifts_px[:, None] + torch.cartesian_prod(inside, inside).reshape(-1, 2)


def child_poses(
    order: int,
    pixels: Int64[Tensor, " n"],
    psi_deg: Float[Tensor, " n"],
    step_deg: float,
    oversampling: int,
) -> Float[Tensor, "n m 3 3"]:
    """Return the 8^oversampling finer poses of each coarse orientation, directions slowest."""
    directions = child_directions(order, pixels, oversampling)
    angles = child_psi(psi_deg, step_deg, oversampling)
    n, n_directions, n_psi = len(pixels), directions.shape[1], angles.shape[1]
    euler = torch.cat(
        [
            directions[:, :, None].expand(n, n_directions, n_psi, 2),
            angles[:, None, :, None].expand(n, n_directions, n_psi, 1),
        ],
        -1,
    )
    rotations = geometry.matrix_from_euler(euler.reshape(-1, 3))
    return rotations.reshape(n, n_directions * n_psi, 3, 3)


def next_perturbation(current: float, factor: float, generator: torch.Generator) -> float:
    """Draw the perturbation of the next iteration.

    Parameters
    ----------
    current
        That of the iteration before, in units of the steps; part of the saved state.
    factor
        Half-width f of its range: the state moves by f/2 to f and wraps within -f to f.
    generator
        Seeded with the seed of the run plus the iteration, so that every process of a run and
        every restart draws the same.
    """
    if factor <= 0:
        return 0.0
    drawn = float(torch.rand(1, generator=generator, dtype=torch.float64))
    moved = current + factor * (0.5 + 0.5 * drawn)
    return (moved + factor) % (2 * factor) - factor


def perturb_poses(
    rotations: Float[Tensor, "*n 3 3"], perturbation: float, coarse_step_deg: float
) -> Float[Tensor, "*n 3 3"]:
    """Turn the whole grid: A E(d, d, d) with d the perturbation times the *coarse* step."""
    angle = perturbation * coarse_step_deg
    turn = geometry.matrix_from_euler(torch.full((1, 3), angle, dtype=rotations.dtype))
    return rotations @ turn[0].to(rotations.device)


def perturb_translations(
    shifts_px: Float[Tensor, "*n 2"], perturbation: float, step_px: float
) -> Float[Tensor, "*n 2"]:
    """Move the whole grid of shifts by the perturbation times its coarse step."""
    return shifts_px + perturbation * step_px


def local_directions(
    current: Float[Tensor, "n 3"],
    directions: Float[Tensor, "r 3"],
    sigma_deg: float,
    point_group: str = "C1",
) -> Float[Tensor, "n r"]:
    """Return the prior of directions near the current one of each particle.

    Parameters
    ----------
    current
        Viewing directions of the particles.
    directions
        Unperturbed coarse directions.
    sigma_deg
        The larger of the sigmas of rot and tilt.
    point_group
        The angle is the smallest to any mate of `current`.

    Returns
    -------
    Tensor
        Gaussian in the angle, 0 beyond 3 sigma, summing to 1; all on the nearest direction where
        none is so near.
    """
    operators = symmetry.view_rotations(symmetry.operators(point_group)).to(current)
    cosine = torch.full((len(current), len(directions)), -1.0).to(current)
    for operator in operators:
        cosine = torch.maximum(cosine, current @ operator @ directions.T)
    return normalised_prior(torch.rad2deg(torch.acos(cosine.clamp(-1, 1))), sigma_deg)


def local_angle(
    current_deg: Float[Tensor, " n"],
    angles_deg: Float[Tensor, " m"],
    sigma_deg: float,
    *,
    bimodal: bool = False,
) -> Float[Tensor, "n m"]:
    """Return the prior of one angle (psi, or rot or tilt alone) near the current one.

    Parameters
    ----------
    current_deg
        Of each particle.
    angles_deg
        Unperturbed angles of the grid.
    sigma_deg
        Width of the Gaussian, cut at 3 sigma.
    bimodal
        The opposite angle is as good: differences beyond 90 degrees are folded (filaments whose
        polarity is unknown).
    """
    difference = (angles_deg[None] - current_deg[:, None]) % 360
    difference = torch.minimum(difference, 360 - difference)
    if bimodal:
        difference = torch.minimum(difference, 180 - difference)
    return normalised_prior(difference, sigma_deg)


def normalised_prior(angle_deg: Float[Tensor, "n m"], sigma_deg: float) -> Float[Tensor, "n m"]:
    """Turn distances into Gaussian weights that sum to 1, on the nearest point if none is near."""
    if angle_deg.shape[1] == 0:
        return angle_deg
    weight = torch.exp(-0.5 * (angle_deg / sigma_deg) ** 2) * (angle_deg < 3 * sigma_deg)
    nearest = torch.zeros_like(weight)
    nearest.scatter_(1, angle_deg.argmin(1, keepdim=True), 1.0)
    total = weight.sum(1, keepdim=True)
    return torch.where(total > 0, weight / total.clamp(min=torch.finfo(weight.dtype).tiny), nearest)


def relax_symmetry(
    prior: Float[Tensor, "n r"], directions: Float[Tensor, "r 3"], point_group: str
) -> Float[Tensor, "n r"]:
    """Share the prior of each direction with the grid directions nearest to its mates.

    Parameters
    ----------
    prior
        Weights of the directions of a C1 grid, from `local_directions`.
    directions
        The grid.
    point_group
        The symmetry that the object nearly has.

    Returns
    -------
    Tensor
        Each weight divided by the order of the group and added to every mate; sums stay.
    """
    operators = symmetry.view_rotations(symmetry.operators(point_group)).to(directions)
    shared = torch.zeros_like(prior)
    for operator in operators:
        nearest = (directions @ operator @ directions.T).argmax(1)
        shared = shared.index_add(1, nearest, prior / len(operators))
    return shared


def _inside(step: float, oversampling: int) -> Tensor:
    """Return the centres of 2^oversampling equal parts of an interval around 0."""
    parts = int(2**oversampling)
    return step * ((torch.arange(parts, dtype=torch.float64) + 0.5) / parts - 0.5)
