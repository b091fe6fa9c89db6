"""How well a hypothesis explains an image, and which hypotheses matter (sections 3.1, 3.6, 5).

The score is a log likelihood without its constant, ``-diff2``, or a correlation coefficient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.engine import fourier, projection
from vitreous.engine.projection import Projector
from vitreous.testing.oracle.hypotheses import Block
from vitreous.testing.oracle.images import Particle, cut_off
from vitreous.testing.oracle.pixels import half_plane, shells


@dataclass(frozen=True)
class Outcome:
    """The posterior over the hypotheses of a pass.

    Parameters
    ----------
    weights
        Of each block, ``r t``: share of each hypothesis in the sum over all of them; 0 for those
        that are not significant, so that what is left adds up to a little less than 1.
    n_significant
        How many are left.
    best
        Block, orientation and shift of the largest.
    pmax
        Its share.
    log_evidence
        Log of the sum of prior times likelihood.
    """

    weights: list[Tensor]
    n_significant: int
    best: tuple[int, int, int]
    pmax: float
    log_evidence: float


def likelihood(particle: Particle, reference: Projector, block: Block, size: int) -> Tensor:
    """Return -diff2 of every hypothesis, ``r t``: minus half the squared distance over sigma2."""
    images, predicted = pair(particle, reference, block, size)
    inverse = particle.group.likely(size)
    rows = [((images - one).abs().square() * inverse).sum((-2, -1)) * -0.5 for one in predicted]
    return torch.stack(rows)


def correlation(particle: Particle, reference: Projector, block: Block, size: int) -> Tensor:
    """Return the correlation coefficients of every hypothesis, ``r t``.

    Over all stored pixels of the circle, those of the plane kx = 0 twice.
    """
    images, predicted = pair(particle, reference, block, size)
    images = images * (fourier.squared_radius(size, 2) <= (size // 2) ** 2)
    cross = torch.einsum("ryx,tyx->rt", predicted.conj(), images).real
    norms = predicted.flatten(1).norm(dim=1)[:, None] * images.flatten(1).norm(dim=1)
    coefficients: Tensor = cross / norms.clamp(min=1e-300)
    return coefficients


def pair(
    particle: Particle, reference: Projector, block: Block, size: int
) -> tuple[Tensor, Tensor]:
    """Return the moved images ``t y xh`` and the predicted ones ``r y xh``."""
    images = moved(fourier.crop(particle.masked, size, 2), particle, block.shifts_A)
    factor = fourier.crop(particle.forward.to(torch.complex128), size, 2).real * particle.scale
    return images, slices(particle, reference, block.rotations, size) * factor


def moved(image: Tensor, particle: Particle, shifts_A: Tensor) -> Tensor:
    """Return an image at each shift, ``t y xh``."""
    group = particle.group
    shifts_px = shifts_A / group.pixel_size_A
    return image * fourier.shift_phases(shifts_px, len(image), box=group.box_px)


def slices(particle: Particle, reference: Projector, rotations: Tensor, size: int) -> Tensor:
    """Return projections as a group's camera sees them, without the CTF, ``r y xh``."""
    group = particle.group
    return projection.project(
        reference, rotations, size, scale=group.rho, magnification=group.magnification
    )


def posterior(blocks: list[Block], scores: list[Tensor], fraction: float, most: int = 0) -> Outcome:
    """Turn log likelihoods into weights and leave out what does not matter (5.2, 5.3).

    Parameters
    ----------
    fraction
        Kept are the largest weights, until they make up more than this share.
    most
        How many are kept at most, 0 for all.
    """
    joint = [score + block.log_prior for block, score in zip(blocks, scores, strict=True)]
    flat = torch.cat([one.flatten() for one in joint])
    log_evidence = flat.logsumexp(0)
    share = torch.exp(flat - log_evidence)
    ordered = share.sort(descending=True).values
    threshold = ordered[min(int((ordered.cumsum(0) <= fraction).sum()), len(ordered) - 1)]
    if 0 < most < len(ordered):
        threshold = torch.maximum(threshold, ordered[most - 1])
    keep = (share >= threshold) & (share > 0)
    weights = _unflatten(torch.where(keep, share, 0.0), joint)
    return Outcome(
        weights, int(keep.sum()), _place(share, joint), float(share.max()), float(log_evidence)
    )


def winner(blocks: list[Block], scores: list[Tensor]) -> Outcome:
    """Give all weight to the hypothesis that correlates best."""
    allowed = [
        torch.where(block.log_prior > -torch.inf, score, -torch.inf)
        for block, score in zip(blocks, scores, strict=True)
    ]
    flat = torch.cat([one.flatten() for one in allowed])
    weight = torch.zeros_like(flat)
    weight[flat.argmax()] = 1
    return Outcome(_unflatten(weight, allowed), 1, _place(flat, allowed), 1.0, float(flat.max()))


def constant(particle: Particle, size: int) -> float:
    """Return what is subtracted from every score to make a log likelihood of complete shells.

    The sum of log(2 pi sigma2), and half the squares over sigma2 of pixels that a transform of
    this side lacks (`images.cut_off`).
    """
    group = particle.group
    shell = shells(group.box_px)
    noise = group.noise(group.box_px)
    counts = half_plane(group.box_px) & (shell > 0) & (noise > 0)
    counts = counts & (shell <= size // 2)
    missing = counts & cut_off(group.box_px, size)
    power = (particle.whole.abs().square()[missing] / noise[missing]).sum()
    return float(torch.log(2 * torch.pi * noise[counts]).sum() + 0.5 * power)


def _unflatten(flat: Tensor, like: list[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [one.numel() for one in like])
    return [part.reshape(one.shape) for part, one in zip(parts, like, strict=True)]


def _place(flat: Tensor, like: list[Tensor]) -> tuple[int, int, int]:
    where = int(flat.argmax())
    for number, one in enumerate(like):
        if where < one.numel():
            return number, where // one.shape[1], where % one.shape[1]
        where -= one.numel()
    raise AssertionError(where)
