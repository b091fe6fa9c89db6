"""From particles to what a reconstruction sums: slices, their weights and their poses."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.particles import Batch, Particles
from vitreous.engine import ctf, ewald, fourier, helix
from vitreous.engine.projection import Projector, project

_BATCH_BYTES = 6 << 20  # larger arrays would be new memory every time


@dataclass(frozen=True)
class Term:
    """Slices of one batch, as `Accumulator.add_` takes them.

    Parameters
    ----------
    rows
        Rows of the particles.
    values, weights
        ``n y xh``
    poses
        ``n 3 3``
    scale, magnification, curvature_px
        Optics of the batch.
    """

    rows: NDArray[np.int64]
    values: Tensor
    weights: Tensor
    poses: Tensor
    scale: float
    magnification: Tensor
    curvature_px: float = 0.0


def terms(
    particles: Particles,
    arguments: argparse.Namespace,
    box_A: float,
    subtracted: Projector | None = None,
) -> Iterator[Term]:
    """Yield the slices of all particles and, of helices, of their units.

    Parameters
    ----------
    particles
        Particles with images.
    arguments
        Options of the program.
    box_A
        Side of the map, in ångström.
    subtracted
        Its projections are subtracted from the images.
    """
    size = max(1, _BATCH_BYTES // (4 * int(particles.optics.box_px.max()) ** 2))
    plates: dict[int, Tensor] = {}
    phases: dict[int, Tensor] = {}
    for batch in particles.batches(size):
        side = batch.images.shape[-1]
        scale = side * particles.pixel_size_A(batch.group) / box_A
        poses = batch.rotations.to(torch.float32)
        magnification = particles.optics.magnification[batch.group].to(torch.float32)
        if subtracted is None and _is_plain(particles, batch, arguments):
            values, weight = _weighed(particles, batch, phases)
            parts = [Term(batch.rows, values, weight, poses, scale, magnification)]
        else:
            transforms = _centred(particles, batch, plates)
            contrast = transfer_function(particles, batch, arguments)
            if subtracted is not None:
                predicted = project(
                    subtracted, poses, side, scale=scale, magnification=magnification
                )
                transforms -= predicted * contrast
            if arguments.ewald:
                parts = list(_sides(particles, batch, arguments, transforms, box_A))
            else:
                premultiplied = arguments.ctf and particles.premultiplied[batch.group]
                weight = contrast**2
                values = transforms if premultiplied else transforms.mul_(contrast)
                parts = [Term(batch.rows, values, weight, poses, scale, magnification)]
        for part in parts:
            counted = _by_merit(part, particles) if arguments.fom_weighting else part
            yield from _units(counted, arguments, particles.pixel_size_A(batch.group))


def together(parts: Iterable[Term], n: int) -> Iterator[Term]:
    """Join terms of the same optics until they have `n` slices: larger sums are faster ones.

    Parameters
    ----------
    parts
        Terms.
    n
        Slices wanted in each. The memory of a term is used again for a later one.
    """
    waiting: dict[tuple[object, ...], _Joined] = {}
    for part in parts:
        count = len(part.rows)
        if count >= n:
            yield part
            continue
        optics = (part.scale, part.curvature_px, *part.magnification.ravel().tolist())
        alike = (*optics, *part.values.shape[1:])
        if alike not in waiting:
            waiting[alike] = _Joined(part, n)
        joined = waiting[alike]
        if joined.used + count > n:
            yield joined.term()
        joined.add_(part)
    for joined in waiting.values():
        if joined.used:
            yield joined.term()


class _Joined:
    """Terms that wait for each other, in memory of their own."""

    def __init__(self, like: Term, n: int) -> None:
        self.used = 0
        self._like = replace(like, values=like.values[:0].clone(), weights=like.weights[:0].clone())
        self._rows: list[NDArray[np.int64]] = []
        self._poses: list[Tensor] = []
        self._values = like.values.new_empty(n, *like.values.shape[1:])
        self._weights = like.weights.new_empty(n, *like.weights.shape[1:])

    def add_(self, part: Term) -> None:
        place = slice(self.used, self.used + len(part.rows))
        self._values[place] = part.values
        self._weights[place] = part.weights
        self._rows.append(part.rows)
        self._poses.append(part.poses)
        self.used = place.stop

    def term(self) -> Term:
        """Return all that waited as one, and begin anew."""
        joined = replace(
            self._like,
            rows=np.concatenate(self._rows),
            poses=torch.cat(self._poses),
            values=self._values[: self.used],
            weights=self._weights[: self.used],
        )
        self._rows, self._poses, self.used = [], [], 0
        return joined


def transfer_function(particles: Particles, batch: Batch, arguments: argparse.Namespace) -> Tensor:
    """Return the CTF of each image, or ones where no correction is wanted."""
    side = batch.images.shape[-1]
    if not arguments.ctf:
        return torch.ones(len(batch.rows), side, side // 2 + 1)
    group = torch.full((len(batch.rows),), batch.group)
    treatment = _treatment(arguments)
    return ctf.ctf(particles.optics, batch.defocus, side, group=group, treatment=treatment)


def _treatment(arguments: argparse.Namespace) -> ctf.Treatment:
    return ctf.Treatment(
        phase_flipped=arguments.ctf_phase_flipped,
        only_flip_phases=arguments.only_flip_phases,
        intact_first_peak=arguments.ctf_intact_first_peak,
    )


def _is_plain(particles: Particles, batch: Batch, arguments: argparse.Namespace) -> bool:
    """Whether images only need their CTF: no other treatment, damping or odd aberrations."""
    return (
        arguments.ctf
        and not arguments.ewald
        and _treatment(arguments) == ctf.PLAIN
        and not particles.premultiplied[batch.group]
        and not _has_odd_aberrations(particles, batch.group)
        and not bool(batch.defocus.bfactor_A2.any())
    )


def _weighed(
    particles: Particles, batch: Batch, phases: dict[int, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return centred transforms times their CTF, and its square, in one pass over the pixels."""
    side, optics, row = batch.images.shape[-1], particles.optics, batch.group
    if row not in phases:
        phases[row] = ctf.phase_terms(optics, row, side)
    transforms = fourier.forward_from_corner(batch.images)
    transforms[:, 0, 0] = 0  # as in `_centred`
    along = fourier.centring_phases(batch.shift_px.to(torch.float32), side)
    return transforms, ctf.weigh_(transforms, along, phases[row], optics, row, batch.defocus)


def _has_odd_aberrations(particles: Particles, row: int) -> bool:
    optics = particles.optics
    return bool(optics.beam_tilt_mrad[row].any() or optics.odd_zernike[row].any())


def _centred(particles: Particles, batch: Batch, plates: dict[int, Tensor]) -> Tensor:
    """Return transforms of images that are centred, without grey level and odd aberrations."""
    side = batch.images.shape[-1]
    transforms = fourier.forward(batch.images, 2)
    transforms *= fourier.shift_phases(batch.shift_px.to(torch.float32), side)
    optics = particles.optics
    if _has_odd_aberrations(particles, batch.group):
        if batch.group not in plates:
            plates[batch.group] = ctf.odd_phase_plate(optics, side)[batch.group].conj()
        transforms *= plates[batch.group]
    transforms[:, 0, 0] = 0  # the grey level of an image says nothing; RELION drops it too
    return transforms


def _sides(
    particles: Particles,
    batch: Batch,
    arguments: argparse.Namespace,
    transforms: Tensor,
    box_A: float,
) -> Iterator[Term]:
    """Yield the two sides of the Ewald sphere that each image sees."""
    optics, row = particles.optics, batch.group
    group = torch.full((len(batch.rows),), row)
    side, pixel_A = transforms.shape[-2], particles.pixel_size_A(row)
    size = arguments.newbox if arguments.newbox > 0 else side
    window = None
    if not arguments.skip_mask:
        from vitreous.engine import masking  # needs SciPy, which takes long to start

        edge_px = arguments.width_mask_edge
        radius_px = arguments.mask_diameter / (2 * pixel_A)
        window = masking.sphere(side, 2, radius_px, edge_px)
    parts = ewald.quadratures(optics, batch.defocus, side, group=group)
    values = ewald.sides_of(transforms, *parts, window, size)
    if size != side:
        small = replace(optics, box_px=torch.full_like(optics.box_px, size))
        parts = ewald.quadratures(small, batch.defocus, size, group=group)
    alike: Tensor | float = 0.0
    if not arguments.skip_weighting:
        alike = ewald.overlap(optics, row, size, size, arguments.mask_diameter)
    weight = ewald.weights(*parts, alike)
    bend = ewald.curvature_px(optics, row, size) * (-1 if arguments.reverse_curvature else 1)
    poses, scale = batch.rotations.to(torch.float32), size * pixel_A / box_A
    magnification = optics.magnification[row].to(torch.float32)
    for value, height in zip(values, (bend, -bend), strict=True):
        yield Term(batch.rows, value, weight, poses, scale, magnification, height)


def _by_merit(term: Term, particles: Particles) -> Term:
    """Weight by the figure of merit of each particle."""
    merit = np.asarray(particles.table["rlnParticleFigureOfMerit"], np.float32)[term.rows]
    factor = torch.from_numpy(merit)[:, None, None]
    return replace(term, values=term.values * factor, weights=term.weights * factor)


def _units(term: Term, arguments: argparse.Namespace, pixel_A: float) -> Iterator[Term]:
    """Yield the same slices as seen by each asymmetric unit of a helix."""
    if arguments.nr_helical_asu < 2:
        yield term
        return
    rise_px = arguments.helical_rise / pixel_A
    operators = helix.operators(arguments.helical_twist, rise_px, arguments.nr_helical_asu)
    none = torch.zeros(len(term.rows), 2, dtype=torch.float64)
    poses, shifts = helix.mates(term.poses.to(torch.float64), none, *operators)
    for unit in range(poses.shape[1]):
        phases = fourier.shift_phases(shifts[:, unit].float(), term.values.shape[-2])
        yield replace(term, values=term.values * phases, poses=poses[:, unit].float())
