"""New noise, scales, weights and offsets from the sums of an expectation (refinement.md section 6).

In gradient runs every quantity follows its new value slowly: ``mu q + (1 - mu) q_new``; in
expectation-maximisation mu is 0.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.ctf import Optics
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model
from vitreous.engine.refinement.statistics import Statistics

LEAST_OFFSET2_A2 = 2.0
LEAST_SCALE = 0.001
SCALE_RANGE = 5.0
EMPTY = 1e-14
LEAST_PREMULTIPLIED = 1e-15


def pixel_counts(optics: Optics, box_px: int, pixel_size_A: float) -> Float[Tensor, "g s"]:
    """Return how many half-plane pixels of an image of each group belong to each shell.

    Parameters
    ----------
    optics
        Boxes and pixel sizes of the groups.
    box_px, pixel_size_A
        Of the references, whose shells are meant: shell ``round(image shell / rho)`` with rho the
        length of a group's image over that of the reference's box.
    """
    counts = torch.zeros(len(optics), box_px // 2 + 1, dtype=torch.float64)
    for group in range(len(optics)):
        box = int(optics.box_px[group])
        rho = box * float(optics.pixel_size_A[group]) / (box_px * pixel_size_A)
        own = fourier.shell_count(box, 2).to(torch.float64)
        shell = (torch.arange(len(own)) / rho + 0.5).floor().to(torch.int64)
        kept = shell < counts.shape[1]
        counts[group].index_add_(0, shell[kept], own[kept])
    return counts


def updated(
    model: Model,
    statistics: Statistics,
    settings: Settings,
    *,
    momentum: float = 0.0,
    cross_correlation: bool = False,
    mean_norm: float | None = None,
    counts: Float[Tensor, "g s"] | None = None,
) -> Model:
    """Return a model with all but the references, their powers and the FSC brought up to date.

    Parameters
    ----------
    model
        Of this half, as the expectation used it.
    statistics
        What the expectation counted.
    momentum
        mu.
    cross_correlation
        Images were scored by cross-correlation: noise and scales stay.
    mean_norm
        Mean of the new norm corrections of the particles; None leaves it.
    counts
        See `pixel_counts`; by default all groups have the box and pixels of the references.
    """
    known = statistics.total_weight.clamp(min=1e-300)
    direction_weight = statistics.direction_weight / known
    if direction_weight.shape == model.direction_weight.shape:
        direction_weight = follow(model.direction_weight, direction_weight, momentum)
    class_weight = direction_weight.sum(-1)
    share = class_weight.sum().clamp(min=1e-300)
    n_particles = float(statistics.n_particles.clamp(min=1))
    changed = replace(
        model,
        class_weight=class_weight / share,
        direction_weight=direction_weight / share,
        class_offset_A=class_offsets(model, statistics, momentum),
        log_likelihood=float(statistics.log_likelihood),
        mean_pmax=float(statistics.pmax) / n_particles,
        mean_norm=_number(model.mean_norm, mean_norm, momentum),
    )
    # Where shifts are not searched for, their spread says nothing about how wrong they may be.
    if not (settings.image.fix_sigma_offset or settings.searching.skip_align):
        changed = replace(changed, sigma_offset_A=sigma_offset_A(model, statistics, momentum))
    if cross_correlation:
        return changed
    if settings.image.correct_scale and len(model.group_scale) > 1:
        changed = replace(changed, group_scale=group_scales(model, statistics, momentum))
    if not settings.image.fix_sigma_noise:
        changed = replace(
            changed, sigma2_noise=noise(model, statistics, momentum=momentum, counts=counts)
        )
    return changed


def noise(
    model: Model,
    statistics: Statistics,
    *,
    momentum: float = 0.0,
    counts: Float[Tensor, "g s"] | None = None,
) -> Float[Tensor, "g s"]:
    """Return the noise of each optics group: ``residual / (2 weight pixels)``.

    A shell in which nothing was found takes the value of the shell before it; a group without
    particles keeps its noise. Data multiplied by their CTF (those with `Statistics.ctf2_weight`)
    have at least 1e-15.
    """
    residual = statistics.residual
    if counts is None:
        counts = fourier.shell_count(model.box_px, 2, device=residual.device)[None]
    pixels = counts.to(residual) * statistics.group_weight[:, None]
    new = torch.where(pixels > 0, residual / (2 * pixels).clamp(min=1e-300), 0.0)
    new = _filled(new)
    if bool((statistics.ctf2_weight > 0).any()):
        new = new.clamp(min=LEAST_PREMULTIPLIED)
    seen = (statistics.group_weight > 0)[:, None] & (new > 0)
    old = model.sigma2_noise.to(new)
    return torch.where(seen, follow(old, new, momentum), old)


def group_scales(
    model: Model, statistics: Statistics, momentum: float = 0.0
) -> Float[Tensor, " m"]:
    """Return the scale of each group, XA over AA: within 5 times of the median, of mean 1.

    The sums hold the old scale once and twice. A group without particles keeps its scale.
    """
    old = model.group_scale.to(torch.float64)
    cross, power = statistics.scale_cross, statistics.scale_power
    seen = power > 0
    if not bool(seen.any()):
        return model.group_scale
    new = torch.where(seen, old * cross / power.clamp(min=1e-300), old).clamp(min=LEAST_SCALE)
    middle = new[seen].median()
    new = torch.where(seen, new.clamp(middle / SCALE_RANGE, middle * SCALE_RANGE), new)
    new = follow(old, new, momentum)
    count = torch.tensor(model.group_counts, dtype=new.dtype, device=new.device)
    mean = (new * count).sum() / count.sum().clamp(min=1)
    return (new / mean.clamp(min=LEAST_SCALE)).to(model.group_scale.dtype)


def sigma_offset_A(model: Model, statistics: Statistics, momentum: float = 0.0) -> float:
    """Return the width of the prior of shifts, from its mean square along both axes."""
    if float(statistics.total_weight) <= 0:
        return model.sigma_offset_A
    new = float(statistics.offset2 / (2 * statistics.total_weight))
    variance = momentum * model.sigma_offset_A**2 + (1 - momentum) * new
    return sqrt(max(variance, LEAST_OFFSET2_A2))


def class_offsets(
    model: Model, statistics: Statistics, momentum: float = 0.0
) -> Float[Tensor, "k 2"]:
    """Return the mean shift of each class, divided by the weight of that class (section 17, Q2)."""
    weight = statistics.direction_weight.sum(-1)[:, None]
    new = statistics.class_offset / weight.clamp(min=1e-300)
    old = model.class_offset_A.to(new)
    return torch.where(weight > 0, follow(old, new, momentum), old)


def _filled(spectra: Float[Tensor, "g s"]) -> Float[Tensor, "g s"]:
    """Give empty shells the value of the shell before them."""
    filled = spectra.clone()
    for shell in range(1, spectra.shape[1]):
        empty = filled[:, shell] < EMPTY
        filled[:, shell] = torch.where(empty, filled[:, shell - 1], filled[:, shell])
    return filled


def follow(old: Tensor, new: Tensor, momentum: float) -> Tensor:
    """Return ``mu old + (1 - mu) new``."""
    return new if momentum == 0 else momentum * old.to(new) + (1 - momentum) * new


def _number(old: float, new: float | None, momentum: float) -> float:
    return old if new is None else momentum * old + (1 - momentum) * new
