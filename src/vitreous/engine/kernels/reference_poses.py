"""Scores of poses, and sums over them, in plain torch: the reference for the compiled version.

Shifts are written out as a matrix of phases, so that scores of an image are one matrix product.
Works in any precision and on any device; signatures and meaning are those of `poses`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vitreous.engine.kernels import reference
from vitreous.engine.kernels.pose_records import (
    Contribution,
    Kept,
    Sorted,
    Source,
    Tally,
    Tries,
)
from vitreous.engine.refinement.disc import disc, tight_index

LOST = 25.0  # weights below exp(-25) of the best are not looked at


def gather_packed(
    volume: Tensor, planes: Tensor, radius: int, grid_radius: float, *, tight: bool = False
) -> Tensor:
    """Slice a volume into packed rows."""
    packing = disc(radius).to(volume.device)
    slices = reference.gather(volume, planes, packing.size, radius, grid_radius)
    packed = torch.stack(packing.pack(slices), -1)
    return packed[:, tight_index(radius).to(volume.device)] if tight else packed


def insert_packed_(
    grid: Tensor,
    planes: Tensor,
    values: Tensor,
    weights: Tensor,
    radius: int,
    grid_radius: float,
) -> None:
    """Add packed slices to a grid."""
    packing = disc(radius).to(grid.device)
    slices = packing.unpack(torch.view_as_complex(values.contiguous()))
    reference.insert_(grid, planes, slices, packing.unpack(weights), radius, grid_radius)


def gather_lines(volume: Tensor, steps: Tensor, n_samples: int, grid_radius: float) -> Tensor:
    """Sample a volume or an image along lines from its origin."""
    ndim, width = volume.ndim, volume.shape[-1]
    samples = torch.arange(n_samples, dtype=steps.dtype, device=steps.device)
    points = steps[:, None] * samples[:, None]
    outside = points.square().sum(-1) > reference.limit_radius(grid_radius, width) ** 2
    conjugate = points[..., 0] < 0
    points = torch.where(conjugate[..., None], -points, points)
    points = torch.where(outside[..., None], 0.0, points)
    lower = points.floor()
    part = points - lower
    place = lower.long()
    place[..., 1:] += width - 1
    out = torch.zeros(points.shape[:-1], dtype=volume.dtype, device=volume.device)
    for corner in torch.cartesian_prod(*[torch.tensor([0, 1])] * ndim).reshape(-1, ndim):
        share = torch.where(corner == 1, part, 1 - part).prod(-1)
        at = (place + corner).unbind(-1)
        out = out + share * volume[tuple(reversed(at))]
    out = torch.where(conjugate, out.conj(), out)
    return torch.where(outside, 0.0, out)


def choose(
    cross: Tensor,
    power: Tensor,
    rotation_prior: Tensor,
    shift_prior: Tensor,
    *,
    fraction: float,
    lost: float = LOST,
    most: int = 0,
    correlation: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Choose the significant hypotheses of images."""
    n, _, n_rotations = cross.shape
    n_classes = shift_prior.shape[1]
    prior = shift_prior.repeat_interleave(n_rotations // n_classes, 1).transpose(1, 2)
    counts, index, weight, numbers = [], [], [], []
    for i in range(n):
        if correlation is None:
            scores = cross[i] + prior[i] + rotation_prior - power[i]
        else:
            scores = cross[i] * correlation[i] / (2 * power[i]).clamp(min=1e-30).sqrt()
            scores = scores.masked_fill(torch.isneginf(rotation_prior), -torch.inf)
        chosen, share, largest, log_sum = select(
            scores.T.flatten(), fraction, most, only_best=correlation is not None, lost=lost
        )
        counts.append(len(chosen))
        index.append(chosen)
        weight.append(share)
        numbers.append([largest, log_sum])
    return (
        torch.tensor(counts, dtype=torch.int64),
        torch.cat(index).to(torch.int32),
        torch.cat(weight).to(torch.float32),
        torch.tensor(numbers, dtype=torch.float32),
    )


def select(
    scores: Tensor, fraction: float, most: int, *, only_best: bool, lost: float = LOST
) -> tuple[Tensor, Tensor, float, float]:
    """Return the fewest entries that hold a fraction of the weight, their share, max, log sum."""
    largest = float(scores.max())
    if only_best:
        best = scores.argmax()[None]
        return best, torch.ones_like(scores[best]), largest, largest
    weight = torch.where(scores > largest - lost, (scores - largest).to(torch.float64).exp(), 0.0)
    total = weight.sum()
    ranked, order = scores.sort(descending=True, stable=True)
    held = weight[order].cumsum(0)
    last = int((held <= fraction * total).sum())
    if most > 0:
        last = min(last, most - 1)
    last = min(last, int((weight > 0).sum()) - 1)
    chosen = torch.nonzero(scores >= ranked[last])[:, 0]
    return chosen, weight[chosen] / total, largest, largest + float(total.log())


def score(
    source: Source,
    images: Sequence[Tensor],
    tries: Tries,
    phases: tuple[Tensor, Tensor],
    *,
    fraction: float,
    most: int = 0,
    correlation: bool = False,
) -> Kept:
    """Score lists of hypotheses and keep the significant ones."""
    rotations, per_axis = tries.rotation_children, tries.shift_children
    factors = _Factors(source.radius, phases)
    columns: dict[str, list[Tensor]] = {"rotation": [], "shift": [], "weight": []}
    counts, numbers = [], []
    inside = torch.cartesian_prod(torch.arange(per_axis), torch.arange(per_axis)).reshape(-1, 2)
    for i in range(len(images[0])):
        b = torch.complex(images[0][i], images[1][i])
        c = images[2][i]
        squared = float(((b.abs() ** 2) / c.clamp(min=1e-30))[c > 0].sum())
        scores, names, places = [], [], []
        for g in range(int(tries.group_begin[i]), int(tries.group_begin[i + 1])):
            first = int(tries.rotation[g]) * rotations
            fine = torch.arange(first, first + rotations)
            part = slice(int(tries.shift_begin[g]), int(tries.shift_end[g]))
            shifts = tries.shifts[part].to(torch.int64)
            children = (shifts[:, None] * per_axis + inside).reshape(-1, 2)
            prior = tries.prior[g] + tries.shift_prior[part].repeat_interleave(per_axis**2)
            slices = slices_of(source, fine)
            z, weight = b * slices.conj(), c.clone()
            if not correlation:
                z[:, 0] = 0
                weight[0] = 0
            power = 0.5 * (weight * slices.abs() ** 2).sum(1)
            cross = (z @ factors(children).T).real
            if correlation:
                value = cross / (2 * power * squared).clamp(min=1e-30).sqrt()[:, None]
            else:
                value = cross + prior - power[:, None]
            scores.append(value.flatten())
            names.append(fine.repeat_interleave(len(children)))
            places.append(children.repeat(rotations, 1))
        chosen, share, largest, log_sum = select(
            torch.cat(scores), fraction, most, only_best=correlation
        )
        columns["rotation"].append(torch.cat(names)[chosen].to(torch.int32))
        columns["shift"].append(torch.cat(places)[chosen].to(torch.int16))
        columns["weight"].append(share.to(torch.float32))
        counts.append(len(chosen))
        numbers.append([largest, log_sum])
    told = torch.tensor(numbers, dtype=torch.float32).reshape(-1, 2)
    return Kept(
        torch.tensor(counts, dtype=torch.int64),
        torch.cat(columns["rotation"]),
        torch.cat(columns["shift"]),
        torch.cat(columns["weight"]),
        told[:, 0],
        told[:, 1],
    )


def by_rotation(kept: Kept) -> Sorted:
    """Order by rotation what images keep."""
    image = torch.repeat_interleave(torch.arange(len(kept.counts)), kept.counts)
    order = torch.argsort(kept.rotation, stable=True)
    present, counts = torch.unique(kept.rotation[order], return_counts=True)
    begin = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    shift = kept.shift[order]
    return Sorted(
        present, begin, image[order].to(torch.int32), shift[:, 0].contiguous(),
        shift[:, 1].contiguous(), kept.weight[order],
    )  # fmt: skip


def tally(
    kept: Kept, cell_of_rotation: Tensor, cells: Tensor, axis: Tensor, moved: Tensor, centre: Tensor
) -> Tally:
    """Add up what images keep."""
    n, (n_classes, n_directions) = len(kept.counts), cells.shape
    image = torch.repeat_interleave(torch.arange(n), kept.counts)
    weight = kept.weight.to(torch.float64)
    cell = cell_of_rotation[kept.rotation.to(torch.int64)]
    cells.view(-1).index_add_(0, cell, weight)
    shift = moved[image] + axis[kept.shift.to(torch.int64)]
    distance2 = (shift - centre[image, cell // n_directions]).square().sum(1)
    class_shift = torch.zeros(n_classes, 2, dtype=torch.float64)
    class_shift.index_add_(0, cell // n_directions, weight[:, None] * shift)
    best = torch.full((n,), -1)
    for i in range(n):
        entries = torch.nonzero(image == i)[:, 0]
        if len(entries):
            best[i] = entries[kept.weight[entries].argmax()]
    total = torch.zeros(n, dtype=torch.float64).index_add_(0, image, weight)
    return Tally(total, best, cells, class_shift, float((weight * distance2).sum()))


def sums(
    source: Source,
    images: Contribution,
    kept: Sorted,
    part: slice,
    phases: tuple[Tensor, Tensor],
    per_image: Tensor,
    per_pixel: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum images over some of the rotations, and add to the statistics."""
    factors = _Factors(source.radius, phases)
    u = torch.complex(images.u_re, images.u_im)
    values, weights = [], []
    for at in range(*part.indices(len(kept.rotation))):
        entries = slice(int(kept.begin[at]), int(kept.begin[at + 1]))
        slice_ = slices_of(source, kept.rotation[at : at + 1].to(torch.int64))[0]
        image = kept.image[entries].to(torch.int64)
        shifts = torch.stack([kept.tx[entries], kept.ty[entries]], 1).to(torch.int64)
        share = kept.weight[entries]
        moved = factors(shifts) * share[:, None]
        total = (moved * u[image]).sum(0)
        weight = (share[:, None] * images.m[image]).sum(0)
        if images.residual:
            total = total - weight * slice_
        values.append(torch.view_as_real(total))
        weights.append(weight)
        if images.compared is None:
            continue
        b_re, b_im, c = images.compared
        cross = (moved * torch.complex(b_re, b_im)[image] * slice_.conj()).real * images.sigma2
        power = share[:, None] * c[image] * slice_.abs() ** 2 * images.sigma2
        left = power - 2 * cross
        mask = images.mask[int(source.classes[int(kept.rotation[at])])]
        per_pixel += left.sum(0)
        told = torch.stack([left.sum(1), (cross * mask).sum(1), (power * mask).sum(1)], 1)
        per_image.index_add_(0, image, told.to(per_image.dtype))
    return torch.stack(values), torch.stack(weights)


def slices_of(source: Source, rotations: Tensor) -> Tensor:
    """Return packed slices of some rotations as complex numbers."""
    if source.table is not None:
        return torch.view_as_complex(source.table[rotations].contiguous())
    classes = source.classes[rotations]
    out = torch.zeros(len(rotations), len(disc(source.radius)), dtype=source.volumes[0].dtype)
    for k in torch.unique(classes).tolist():
        of_class = classes == k
        planes = source.planes[rotations[of_class]]
        packed = gather_packed(source.volumes[k], planes, source.radius, source.grid_radius)
        out[of_class] = torch.view_as_complex(packed.contiguous())
    return out


class _Factors:
    """Phases of shifts at every number of a disc, from those along each axis."""

    def __init__(self, radius: int, phases: tuple[Tensor, Tensor]) -> None:
        packing = disc(radius)
        x, y = (torch.complex(axis[0], axis[1]) for axis in phases)
        rows = torch.where(packing.ky < 0, packing.ky + packing.size, packing.ky)
        self._x, self._y = x[:, packing.kx], y[:, rows]

    def __call__(self, places: Tensor) -> Tensor:
        """Return ``m`` phases for each pair of places on the axes."""
        return self._x[places[:, 0]] * self._y[places[:, 1]]
