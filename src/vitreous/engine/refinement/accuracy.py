"""How accurately poses can be known from these references and this noise (refinement.md 9.1).

A projection at the pose of a particle is compared with one that is turned or shifted a little:
the change grows until it makes the particle a hundred times less probable. Nothing is measured on
images; only poses, CTFs and the noise spectrum of the data come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import ctf, fourier, geometry
from vitreous.engine.projection import Projector, project
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.randomness import Stream, of_particle
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State

N_PARTICLES = {2: 10, 3: 100}  # by dimension of the references
SMALLEST_CLASS = 0.01
THRESHOLD = log(100.0)
UNKNOWN = 999.0
_PIXELS_AT_A_TIME = 2**22


@dataclass(frozen=True)
class Accuracies:
    """What poses can be told apart.

    Parameters
    ----------
    angle_deg, shift_A
        ``k``; 999 for classes with less than 1 % of the particles.
    orientability
        ``k s``; share of each shell in telling orientations apart, sums to 1 over shells.
    best_angle_deg, best_shift_A
        Of the best class.
    """

    angle_deg: Float[Tensor, " k"]
    shift_A: Float[Tensor, " k"]
    orientability: Float[Tensor, "k s"]

    @property
    def best_angle_deg(self) -> float:
        """Return the accuracy of orientations in the best class."""
        return float(self.angle_deg.min())

    @property
    def best_shift_A(self) -> float:
        """Return the accuracy of shifts in the best class."""
        return float(self.shift_A.min())


def measure(
    data: Data,
    state: State,
    settings: Settings,
    projectors: Sequence[Projector],
    rows: NDArray[np.int64],
) -> Accuracies:
    """Measure the accuracies of all classes of the first model.

    Parameters
    ----------
    data
        Only optics, CTF parameters and numbers of particles are used, no images.
    projectors
        One a class, up to the current size.
    rows
        Particles in random order (`order.shuffled`); the first 100 are used, in 2D the first 10.
    """
    model = state.models[0]
    rows = rows[: N_PARTICLES[settings.ndim]]
    n_classes, n_shells = model.n_classes, model.box_px // 2 + 1
    angle_deg = torch.full((n_classes,), UNKNOWN, dtype=torch.float64)
    shift_A = angle_deg.clone()
    orientability = torch.zeros(n_classes, n_shells, dtype=torch.float64)
    for k, source in enumerate(projectors):
        if model.class_weight[k] < SMALLEST_CLASS or len(rows) == 0:
            continue
        parts = [
            _of_particles(data, state, settings, source, chunk)
            for chunk in _chunks(data, state, rows)
        ]
        angle_deg[k] = torch.cat([part.angle_deg for part in parts]).mean()
        shift_A[k] = torch.cat([part.shift_A for part in parts]).mean()
        shells = torch.stack([part.shells for part in parts]).sum(0)
        orientability[k] = shells / shells.sum().clamp(min=torch.finfo(shells.dtype).tiny)
    return Accuracies(angle_deg, shift_A, orientability)


def angle_increments_deg() -> Float[Tensor, " e"]:
    """Return the turns tried: 0.05 to 30.1 degrees, wider and wider apart."""
    steps = ((0.2, 0.05), (1.0, 0.1), (2.0, 0.2), (5.0, 0.5), (10.0, 1.0), (20.0, 2.0), (30.0, 5.0))
    return _increments(steps)


def shift_increments_px() -> Float[Tensor, " e"]:
    """Return the shifts tried: 0.1 to 10.1 pixels, wider and wider apart."""
    return _increments(((1.0, 0.1), (2.0, 0.2), (5.0, 0.5), (10.0, 1.0)))


@dataclass(frozen=True)
class _Found:
    """Of particles of one optics group: ``n``, ``n``, and the sum over them ``s``."""

    angle_deg: Tensor
    shift_A: Tensor
    shells: Tensor


@dataclass(frozen=True)
class _Slices:
    """How particles of one optics group are projected, and what a difference weighs.

    Parameters
    ----------
    weight
        ``n y xh``: CTF^2 over twice the noise variance, 0 for pixels that do not count.
    """

    source: Projector
    angles_deg: Tensor
    size_px: int
    scale: float
    magnification: Tensor
    weight: Tensor

    def at(self, angles_deg: Tensor) -> Tensor:
        """Return the projections at other angles."""
        rotations = geometry.matrix_from_euler(angles_deg)
        if self.source.grid.ndim == 2:
            rotations = rotations[:, :2, :2]
        return project(
            self.source,
            rotations.to(self.source.grid.real.dtype).to(self.source.grid.device),
            self.size_px,
            scale=self.scale,
            magnification=self.magnification,
        )


def _of_particles(
    data: Data, state: State, settings: Settings, source: Projector, rows: NDArray[np.int64]
) -> _Found:
    """Measure particles of one optics group."""
    model, group = state.models[0], int(data.optics_group[rows[0]])
    slices = _prepare(data, state, settings, source, rows)
    plain = slices.at(slices.angles_deg)
    turn, along = _directions(settings, data, state, rows)
    angle_deg, difference = _smallest_turn(slices, plain, turn)
    box_px, pixel_A = int(data.optics.box_px[group]), float(data.optics.pixel_size_A[group])
    power = _power(plain, slices.weight).to(torch.float64)
    shift_px = _smallest_shift(power, along, box_px)
    shells = torch.zeros(model.box_px // 2 + 1, dtype=torch.float64)
    index = _model_shells(slices.size_px, slices.scale, len(shells))
    shells.index_add_(0, index.flatten(), difference.sum(0).flatten())
    return _Found(angle_deg, shift_px * pixel_A, shells)


def _prepare(
    data: Data, state: State, settings: Settings, source: Projector, rows: NDArray[np.int64]
) -> _Slices:
    """Make the weights and the poses of particles of one optics group."""
    model, group = state.models[0], int(data.optics_group[rows[0]])
    size = _size_px(data, state, settings, group)
    scale = _scale(data, model, group)
    shells = _model_shells(size, scale, model.sigma2_noise.shape[1])
    sigma2 = model.sigma2_noise[group].to("cpu", torch.float64)[shells]
    counted = fourier.half_plane_mask(size, 2)
    inverse = torch.where(counted & (sigma2 > 0), 0.5 / sigma2, 0.0)
    weight = inverse.expand(len(rows), *inverse.shape)
    if _has_ctf(state, settings):
        index = torch.from_numpy(rows)
        groups = torch.full((len(rows),), group, dtype=torch.int64)
        treatment = ctf.Treatment(
            phase_flipped=settings.image.phase_flipped,
            only_flip_phases=settings.image.only_flip_phases,
            intact_first_peak=settings.image.intact_first_peak,
            premultiplied=bool(data.premultiplied[group]),
            padded=settings.image.padded_ctf,
        )
        chosen = data.defocus.select(index.to(data.defocus.scale.device)).to("cpu")
        optics = data.optics.to("cpu")
        values = ctf.ctf(optics, chosen, size, group=groups, treatment=treatment)
        weight = weight * values.square()
    angles = torch.from_numpy(state.assignments.angles_deg[rows])
    magnification = data.optics.magnification[group]
    weight = weight.to(source.grid.device, source.grid.real.dtype)
    return _Slices(source, angles, size, scale, magnification, weight)


def _smallest_turn(slices: _Slices, plain: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Halve the list of turns until the first that counts is found, for all particles at once.

    Returns
    -------
    tuple
        The turns, ``n``, and the squared differences that they make, ``n y xh``.
    """
    increments = angle_increments_deg()
    below = torch.full((len(turn),), -1)
    above = torch.full((len(turn),), len(increments) - 1)
    while bool((above - below > 1).any()):
        middle = torch.div(above + below, 2, rounding_mode="floor").clamp(min=0)
        difference = _difference(slices, plain, increments[middle], turn)
        total = difference.sum((1, 2), dtype=torch.float64).cpu()
        enough = total > THRESHOLD
        unsettled = above - below > 1
        above = torch.where(unsettled & enough, middle, above)
        below = torch.where(unsettled & ~enough, middle, below)
    last = _difference(slices, plain, increments[above], turn)
    return increments[above], last.cpu().to(torch.float64)


def _difference(slices: _Slices, plain: Tensor, size_deg: Tensor, turn: Tensor) -> Tensor:
    turned = slices.at(slices.angles_deg + size_deg[:, None] * turn)
    return _power(turned.sub_(plain), slices.weight)


def _power(transform: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted squared size of each pixel, in the precision of the transform."""
    parts = torch.view_as_real(transform)
    return (parts[..., 0].square() + parts[..., 1].square()) * weight


def _smallest_shift(power: Tensor, along: Tensor, box_px: int) -> Tensor:
    """Return the first shift that counts; a shift by e turns pixel k by ``2 pi k e / box``."""
    increments = shift_increments_px().to(power.device)
    size = power.shape[1]
    index = fourier.indices(size, 2, power.device).to(torch.float64)
    total = torch.zeros(len(power), len(increments), dtype=torch.float64, device=power.device)
    for axis in range(2):
        # Sums along the other axis: only the component along the shift matters.
        chosen = torch.nonzero(along == axis)[:, 0].to(power.device)
        profile = power[chosen].sum(1 if axis == 0 else 2)
        k = index[0, :, 0] if axis == 0 else index[:, 0, 1]
        phase = 2 * torch.pi / box_px * k[:, None] * increments
        total[chosen] = profile @ (2 - 2 * torch.cos(phase))
    enough = total > THRESHOLD
    enough[:, -1] = True
    return increments[enough.to(torch.uint8).argmax(1)].cpu()


def _directions(
    settings: Settings, data: Data, state: State, rows: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    """Draw which angle turns (``n 3``, one 1 in each row) and which way the shift goes (``n``)."""
    turn = torch.zeros(len(rows), 3, dtype=torch.float64)
    along = torch.zeros(len(rows), dtype=torch.int64)
    for row, identity in enumerate(data.identity[rows]):
        drawn = of_particle(settings.seed, int(identity), Stream.ACCURACY, state.schedule.iteration)
        turn[row, 2 if settings.ndim == 2 else int(drawn.integers(3))] = 1.0
        along[row] = int(drawn.integers(2))
    return turn, along


def _chunks(data: Data, state: State, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield particles of one optics group at a time, as many as memory is spared for."""
    at_a_time = max(1, _PIXELS_AT_A_TIME // max(1, state.schedule.current_size_px**2 // 2))
    for group in np.unique(data.optics_group[rows]):
        mine = rows[data.optics_group[rows] == group]
        for start in range(0, len(mine), at_a_time):
            yield mine[start : start + at_a_time]


def _size_px(data: Data, state: State, settings: Settings, group: int) -> int:
    """Return the side of the slices: the current size, or that of a strict limit."""
    model = state.models[0]
    box_px, pixel_A = int(data.optics.box_px[group]), float(data.optics.pixel_size_A[group])
    box_A = model.box_px * model.pixel_size_A
    size = sizes.group_size_px(state.schedule.current_size_px, box_px, pixel_A, box_A)
    return sizes.limited_size_px(size, settings.searching.finest_A, box_px * pixel_A)


def _scale(data: Data, model: Model, group: int) -> float:
    group_A = float(data.optics.box_px[group] * data.optics.pixel_size_A[group])
    return group_A / (model.box_px * model.pixel_size_A)


def _model_shells(size_px: int, scale: float, n_shells: int) -> Tensor:
    """Return the shell of the reference's box that each pixel of an image belongs to."""
    shells = (fourier.shell_index(size_px, 2) / scale + 0.5).floor().to(torch.int64)
    return shells.clamp_(max=n_shells - 1)


def _has_ctf(state: State, settings: Settings) -> bool:
    image = settings.image
    first = state.schedule.iteration <= 1
    return image.correct_ctf and (image.ctf_corrected_references or not first)


def _increments(steps: tuple[tuple[float, float], ...]) -> Tensor:
    """Add a step for as long as the sum is below its bound, in double precision.

    The last digit matters: ten steps of 0.1 stay below 1, so that an eleventh follows and the
    values go on as 1.1, 1.3, ..., the multiples that accuracies in RELION's files are made of.
    """
    values, value = [], 0.0
    for bound, step in steps:
        while value < bound:
            value += step
            values.append(value)
    return torch.tensor(values, dtype=torch.float64)
