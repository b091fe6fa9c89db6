"""What the posterior of each particle adds to the sums of an iteration (section 6)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.projection import Accumulator, Projector
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.engine.refinement.state import Model, State
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.testing.oracle import priors
from vitreous.testing.oracle.hypotheses import Block
from vitreous.testing.oracle.images import Particle
from vitreous.testing.oracle.pixels import DOUBLE, half_plane, model_shell
from vitreous.testing.oracle.scores import Outcome, moved, slices

STRONG = 3.0  # data versus prior of shells that the scale of micrographs is measured on


@dataclass
class Counting:
    """Sums that grow particle by particle.

    Parameters
    ----------
    state, settings, model
        Of the iteration and the half.
    projectors
        One of each class.
    """

    state: State
    settings: Settings
    model: Model
    projectors: list[Projector]
    statistics: Statistics = field(init=False)
    references: tuple[tuple[Accumulator, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.statistics = nothing(self.model)
        n_parts = 2 if self.settings.algorithm is Algorithm.GRADIENT else 1
        size = self.state.schedule.current_size_px or self.model.box_px
        self.references = tuple(
            tuple(
                Accumulator(
                    self.model.box_px,
                    self.settings.padding,
                    size // 2,
                    ndim=self.model.ndim,
                    dtype=DOUBLE,
                )
                for _ in range(n_parts)
            )
            for _ in range(self.model.n_classes)
        )

    def add(self, particle: Particle, blocks: list[Block], outcome: Outcome) -> float:
        """Add a particle; return the sum of squares that its norm is measured by."""
        residual = torch.zeros_like(particle.treated)
        for block, weights in zip(blocks, outcome.weights, strict=True):
            centre = priors.offset_centres_A(self.state, self.model, particle.row)[block.class_]
            self._add_offsets(particle, block, weights, centre)
            if bool(weights.any()):
                residual += self._add_block(particle, block, weights)
        weight = sum(float(one.sum()) for one in outcome.weights)
        shells = fourier.shell_sum(residual, 2)
        power = particle.power_beyond + weight * particle.power_missing
        power[: len(shells)] += shells
        known, group = self.statistics, particle.group
        of_model = model_shell(torch.arange(len(power)), group.rho)
        inside = of_model < group.n_shells
        known.residual[group.row].index_add_(0, of_model[inside], power[inside])
        known.group_weight[group.row] += weight
        known.total_weight.add_(weight)
        known.log_likelihood.add_(outcome.log_evidence)
        known.pmax.add_(outcome.pmax)
        known.n_particles.add_(1)
        return float(power.sum())

    def sums(self) -> Sums:
        """Return what was counted."""
        return Sums(self.statistics, self.references)

    def _add_offsets(
        self, particle: Particle, block: Block, weights: Tensor, centre_A: Tensor
    ) -> None:
        """Count directions and offsets."""
        known = self.statistics
        offsets_A = particle.moved_px * particle.group.pixel_size_A + block.shifts_A
        each = weights.sum(0)
        known.direction_weight[block.class_].index_add_(0, block.direction, weights.sum(1))
        known.offset2.add_((each * (offsets_A - centre_A).square().sum(-1)).sum())
        if self.model.ndim == 2:
            known.class_offset[block.class_] += (each[:, None] * offsets_A).sum(0)

    def _add_block(self, particle: Particle, block: Block, weights: Tensor) -> Tensor:
        """Add the hypotheses of a block; return their squared residual per pixel."""
        group, k = particle.group, block.class_
        r, t = weights.any(1), weights.any(0)
        weights, shifts_A, rotations = weights[r][:, t], block.shifts_A[t], block.rotations[r]
        images = moved(particle.masked, particle, shifts_A)
        seen = slices(particle, self.projectors[k], rotations, group.size_px)
        predicted = seen * particle.forward * particle.scale
        if self.settings.image.correct_scale:
            self._add_scale(particle, k, predicted, images, weights)
        raw = weights[..., None, None] * moved(particle.unmasked, particle, shifts_A)
        which = 0
        if self.settings.algorithm is Algorithm.GRADIENT:
            raw = raw - weights[..., None, None] * predicted[:, None]
            which = particle.identity % 2
        self._insert(self.references[k][which], particle, rotations, raw.sum(1), weights.sum(1))
        if group.premultiplied:
            self._add_ctf2(particle, k, float(weights.sum()))
        distance = (images - predicted[:, None]).abs().square()
        return (weights[..., None, None] * distance).sum((0, 1))

    def _insert(
        self, sums: Accumulator, particle: Particle, rotations: Tensor, raw: Tensor, weights: Tensor
    ) -> None:
        """Put slices into the reference: w s C S_t U / sigma2, weighing w (s C)^2 / sigma2."""
        group, scale, treated = particle.group, particle.scale, particle.treated
        noise = group.noise(group.size_px)
        inverse = torch.where(noise > 0, 1 / noise.clamp(min=1e-300), 0.0)
        if group.premultiplied:  # the images have one CTF in them already; `treated` is squared
            values, power = raw * inverse, scale * treated * inverse
        else:
            values, power = raw * scale * treated * inverse, (scale * treated) ** 2 * inverse
        sums.add_(
            values,
            power * weights[:, None, None],
            rotations,
            scale=group.rho,
            magnification=group.magnification,
        )

    def _add_scale(
        self, particle: Particle, k: int, predicted: Tensor, images: Tensor, weights: Tensor
    ) -> None:
        """Count what the scale of a micrograph is measured by, on strong shells."""
        size = particle.group.size_px
        shells = particle.group.model_shell(size).clamp(max=particle.group.n_shells - 1)
        strong = (self.model.ssnr[k][shells] > STRONG) & half_plane(size)
        products = (predicted.conj()[:, None] * images).real * strong
        power = (predicted.abs().square() * strong).sum((-2, -1))
        number = int(self.state.assignments.scale_group[particle.row])
        self.statistics.scale_cross[number] += (weights * products.sum((-2, -1))).sum()
        self.statistics.scale_power[number] += (weights.sum(1) * power).sum()

    def _add_ctf2(self, particle: Particle, k: int, weight: float) -> None:
        """Count the power of the CTF of premultiplied images by shell."""
        group = particle.group
        counts = half_plane(group.size_px)
        shells = group.model_shell(group.size_px)
        counts = counts & (shells < group.n_shells)
        ctf2 = particle.scale * particle.treated[counts]
        self.statistics.ctf2[k].index_add_(0, shells[counts], weight * ctf2)
        self.statistics.ctf2_weight[k].index_add_(0, shells[counts], torch.full_like(ctf2, weight))


def nothing(model: Model) -> Statistics:
    """Return sums of no particles."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=DOUBLE)

    k, shells = model.n_classes, model.box_px // 2 + 1
    n_groups, n_scales = len(model.sigma2_noise), len(model.group_scale)
    return Statistics(
        residual=zeros(n_groups, shells),
        group_weight=zeros(n_groups),
        scale_cross=zeros(n_scales),
        scale_power=zeros(n_scales),
        direction_weight=zeros(k, model.direction_weight.shape[1]),
        class_offset=zeros(k, 2),
        offset2=zeros(),
        total_weight=zeros(),
        log_likelihood=zeros(),
        pmax=zeros(),
        n_particles=zeros(),
        ctf2=zeros(k, shells),
        ctf2_weight=zeros(k, shells),
    )
