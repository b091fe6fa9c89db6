"""What posterior weights add to the sums and tell of particles (refinement.md sections 5.4, 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import fourier, geometry
from vitreous.engine.kernels import pose_sums
from vitreous.engine.kernels.pose_records import Contribution, Kept, Tally
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement.coarse import Significant
from vitreous.engine.refinement.fine import Fine
from vitreous.engine.refinement.images import Prepared
from vitreous.engine.refinement.state import Assignments, Model
from vitreous.engine.refinement.statistics import Statistics

if TYPE_CHECKING:
    from vitreous.engine.refinement.expectation import Iteration

_TOLD_BY_SSNR = 3.0  # shells with more signal than this tell the scale of a group
_BLOCK_BYTES = 24 * 2**20  # of slices that are summed before they are inserted


@dataclass(frozen=True)
class Collected:
    """The part of some particles in the sums, and their new assignments.

    Parameters
    ----------
    rows
        Of the particles.
    values
        New values by field of `Assignments`.
    statistics
        Sums over them.
    """

    rows: NDArray[np.int64]
    values: dict[str, NDArray[np.float64] | NDArray[np.int64]]
    statistics: Statistics


def empty_statistics(model: Model) -> Statistics:
    """Return sums over nothing."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)

    groups, shells = model.sigma2_noise.shape
    k = model.n_classes
    return Statistics(
        residual=zeros(groups, shells),
        group_weight=zeros(groups),
        scale_cross=zeros(len(model.group_scale)),
        scale_power=zeros(len(model.group_scale)),
        direction_weight=zeros(*model.direction_weight.shape),
        class_offset=zeros(k, 2),
        offset2=zeros(),
        total_weight=zeros(),
        log_likelihood=zeros(),
        pmax=zeros(),
        n_particles=zeros(),
        ctf2=zeros(k, shells),
        ctf2_weight=zeros(k, shells),
    )


def shift_centres(
    assignments: Assignments, rows: NDArray[np.int64], model: Model
) -> Float[Tensor, "n k 2"]:
    """Return where the prior of shifts is centred for every particle and class."""
    if model.ndim == 2:
        return model.class_offset_A.to(torch.float64)[None].expand(len(rows), -1, -1)
    given = np.nan_to_num(assignments.prior_origin_A[rows])
    return torch.from_numpy(given)[:, None].expand(-1, model.n_classes, -1)


def collect(
    step: Iteration,
    batch: Prepared,
    significant: Significant,
    found: Fine,
    sums: tuple[tuple[Accumulator, ...], ...],
) -> Collected:
    """Add images to the references and count statistics of them.

    Parameters
    ----------
    step
        The iteration.
    batch
        Images of one optics group.
    significant, found
        Their poses after the first and the second pass.
    sums
        Grow.
    """
    per_image = torch.zeros(len(batch), 3, dtype=torch.float64)
    per_pixel = torch.zeros(len(batch.view.disc), dtype=torch.float64)
    for part, which in enumerate(_pseudo_halves(step, batch)):
        kept = found.kept if which is None else _only(found.kept, which)
        _insert(step, batch, found, kept, [pair[part] for pair in sums], per_image, per_pixel)
    told = _tallied(step, batch, found)
    powers = _noise(batch, told, per_image, per_pixel)
    values = _assigned(step, batch, significant, found, told, powers.norm)
    statistics = _counted(step, batch, found, told, powers, per_image, values)
    return Collected(batch.rows, values, statistics)


def _pseudo_halves(step: Iteration, batch: Prepared) -> list[Tensor | None]:
    """Return which images go into each accumulator; None for all."""
    if not step.is_gradient:
        return [None]
    odd = torch.from_numpy(step.data.identity[batch.rows] % 2 == 1)
    return [~odd, odd]


def _only(kept: Kept, which: Tensor) -> Kept:
    """Return the list without what other images keep."""
    entries = which.repeat_interleave(kept.counts)
    return Kept(
        torch.where(which, kept.counts, 0), kept.rotation[entries],
        kept.shift[entries].contiguous(), kept.weight[entries], kept.largest, kept.log_sum,
    )  # fmt: skip


def _insert(
    step: Iteration,
    batch: Prepared,
    found: Fine,
    kept: Kept,
    sums: list[Accumulator],
    per_image: Tensor,
    per_pixel: Tensor,
) -> None:
    """Sum images rotation by rotation and insert the sums into the references."""
    seen, optics = batch.view, step.data.optics
    n_rotations = step.poses.n_rotations
    classes = (found.coarse // n_rotations).repeat_interleave(found.children)
    source = step.references.source(classes, found.rotations, seen, optics, seen.disc.radius)
    contribution = Contribution(
        (batch.full_b_re, batch.full_b_im, batch.full_c),
        batch.u_re,
        batch.u_im,
        batch.m,
        _sigma2(batch),
        _scale_mask(step, batch),
        step.is_gradient,
    )
    phases = seen.disc.phases(found.axis_A / seen.pixel_size_A, seen.box_px)
    ordered = pose_sums.by_rotation(kept, len(found.rotations))
    present = ordered.rotation.to(torch.int64)
    of_class = classes[present]
    most = max(16, _BLOCK_BYTES // (12 * len(seen.disc)))
    for k in torch.unique(of_class).tolist():
        first = int(torch.searchsorted(of_class, k))
        last = int(torch.searchsorted(of_class, k, right=True))
        for start in range(first, last, most):
            part = slice(start, min(start + most, last))
            values, weights = pose_sums.sums(
                source, contribution, ordered, part, phases, per_image, per_pixel
            )
            sums[k].add_packed_(
                values, weights, found.rotations[present[part]], seen.disc,
                scale=seen.scale, magnification=optics.magnification[seen.group],
            )  # fmt: skip


def _sigma2(batch: Prepared) -> Tensor:
    shells = batch.view.disc.shell.clamp(min=0)
    return batch.view.sigma2[shells].to(torch.float32)


def _scale_mask(step: Iteration, batch: Prepared) -> Tensor:
    """Return the pixels of each class whose signal is strong enough to tell a scale."""
    shell = batch.view.disc.shell
    model_shell = batch.view.model_shell[shell.clamp(min=0)]
    model_shell = model_shell.clamp(max=step.model.ssnr.shape[1] - 1)
    strong = (step.model.ssnr > _TOLD_BY_SSNR)[:, model_shell] & (shell >= 0)
    return strong.to(torch.float32)


def _tallied(step: Iteration, batch: Prepared, found: Fine) -> Tally:
    """Add up the weights of all poses that images keep."""
    model = step.model
    n_directions = model.direction_weight.shape[1]
    direction = step.poses.direction(found.coarse).clamp(max=n_directions - 1)
    cell = found.coarse // step.poses.n_rotations * n_directions + direction
    return pose_sums.tally(
        found.kept,
        cell.repeat_interleave(found.children),
        (model.n_classes, n_directions),
        found.axis_A,
        batch.moved_px.to(torch.float64) * batch.view.pixel_size_A,
        shift_centres(step.state.assignments, batch.rows, model),
    )


@dataclass(frozen=True)
class _Noise:
    residual: Tensor  # s, on the shells of the images
    norm: Tensor  # n


def _noise(batch: Prepared, told: Tally, per_image: Tensor, per_pixel: Tensor) -> _Noise:
    """Return what the references do not explain, by shell, and the sum of it for each image."""
    seen = batch.view
    within = torch.arange(batch.power.shape[1]) <= seen.disc.radius
    share = torch.where(within, told.total[:, None], 1.0)
    weighted = batch.power * share
    residual = weighted.sum(0)
    real = seen.disc.shell >= 0
    residual = residual.index_add(0, seen.disc.shell[real], per_pixel[real])
    return _Noise(residual, weighted.sum(1) + per_image[:, 0])


def _assigned(
    step: Iteration,
    batch: Prepared,
    significant: Significant,
    found: Fine,
    told: Tally,
    norm: Tensor,
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """Return new values of the assignments."""
    kept, old = found.kept, step.state.assignments
    best = told.best
    rotation = found.rotations[kept.rotation[best].to(torch.int64)]
    angles = geometry.euler_from_matrix(rotation)
    if step.model.ndim == 2:
        angles[:, 0] = angles[:, 1] = 0
        angles[:, 2] = torch.rad2deg(torch.atan2(rotation[:, 0, 1], rotation[:, 0, 0]))
    if step.poses.own is not None:
        angles = torch.from_numpy(old.angles_deg[batch.rows])
    names = found.coarse[kept.rotation[best].to(torch.int64) // found.children]
    moved_A = batch.moved_px.to(torch.float64) * batch.view.pixel_size_A
    constant = torch.zeros(())
    if not step.cut.correlation:
        constant = _constant(batch)
    values: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        "angles_deg": angles.numpy(),
        "origin_A": (moved_A + found.axis_A[kept.shift[best].to(torch.int64)]).numpy(),
        "class_": (names // step.poses.n_rotations).numpy(),
        "pmax": kept.weight[best].to(torch.float64).numpy(),
        "n_significant": significant.counts.numpy(),
        "log_likelihood": (kept.log_sum.to(torch.float64) + constant).numpy(),
    }
    if step.settings.image.correct_norm:
        before = old.norm[batch.rows] / step.model.mean_norm
        values["norm"] = before * np.sqrt(2 * norm.clamp(min=0).numpy())
    return values


def _constant(batch: Prepared) -> Tensor:
    """Return the part of the log likelihood that no pose changes."""
    seen = batch.view
    last = seen.scored.radius
    shells = slice(1, last + 1)
    count = fourier.shell_count(seen.box_px, 2)[shells].to(torch.float64)
    sigma2 = seen.sigma2[shells]
    squares = 0.5 * (batch.power[:, shells] / sigma2).sum(1)
    return -squares - (count * torch.log(2 * math.pi * sigma2)).sum()


def _counted(
    step: Iteration,
    batch: Prepared,
    found: Fine,
    told: Tally,
    noise: _Noise,
    per_image: Tensor,
    values: dict[str, NDArray[np.float64] | NDArray[np.int64]],
) -> Statistics:
    """Return the sums over the particles of a batch."""
    model, seen, rows = step.model, batch.view, batch.rows
    out = empty_statistics(model)
    shells = out.residual.shape[1]
    inside = seen.model_shell < shells
    out.residual[seen.group].index_add_(0, seen.model_shell[inside], noise.residual[inside])
    out.group_weight[seen.group] = told.total.sum()
    if step.settings.image.correct_scale:
        groups = torch.from_numpy(step.state.assignments.scale_group[rows])
        out.scale_cross.index_add_(0, groups, per_image[:, 1])
        out.scale_power.index_add_(0, groups, per_image[:, 2])
    out.direction_weight.copy_(told.cells)
    if model.ndim == 2:
        out.class_offset.copy_(told.class_shift)
    out.offset2.copy_(torch.tensor(told.distance2))
    out.total_weight.copy_(told.total.sum())
    out.log_likelihood.copy_(torch.from_numpy(values["log_likelihood"]).sum())
    out.pmax.copy_(torch.from_numpy(values["pmax"]).sum())
    out.n_particles.copy_(torch.tensor(float(len(rows))))
    if bool(step.data.premultiplied[seen.group]):
        by_class = _weight_of_classes(step, batch, found)
        last = seen.disc.radius + 1
        count = fourier.shell_count(seen.disc.size, 2).to(torch.float64)
        used = seen.model_shell[:last] < shells
        target = seen.model_shell[:last][used]
        out.ctf2.index_add_(1, target, (by_class @ batch.ctf2[:, :last])[:, used])
        out.ctf2_weight.index_add_(1, target, (by_class.sum(1)[:, None] * count)[:, used])
    return out


def _weight_of_classes(step: Iteration, batch: Prepared, found: Fine) -> Float[Tensor, "k n"]:
    """Return how much of its weight each image gives to each class."""
    kept = found.kept
    image = torch.repeat_interleave(torch.arange(len(batch)), kept.counts)
    names = found.coarse[kept.rotation.to(torch.int64) // found.children]
    out = torch.zeros(step.model.n_classes, len(batch), dtype=torch.float64)
    place = names // step.poses.n_rotations * len(batch) + image
    out.view(-1).index_add_(0, place, kept.weight.to(torch.float64))
    return out
