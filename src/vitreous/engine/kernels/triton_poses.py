"""Scores of poses and sums over them on CUDA, in Triton; `reference_poses` says what they compute.

Packed images, references and tables of slices are on the card. Lists of hypotheses come from the
processor, and what images keep goes back there; of these numbers there are few. Slices are made
rotation by rotation, so that each is taken from its volume once. Sums over pixels of an image add
up with atomics, so that their last digits depend on the order in which programs happen to run.
"""

# Triton gives the values inside a kernel no types that Python could name.
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from vitreous.engine.kernels import slices
from vitreous.engine.kernels.pose_records import Contribution, Kept, Sorted, Source, Tries
from vitreous.engine.kernels.segments import choose_in_segments
from vitreous.engine.kernels.triton_kernel import kernel
from vitreous.engine.refinement.disc import disc, tight_index

_PIXELS = 128  # of a slice that a program looks at together
_SHIFTS = 16  # that a program scores together
_TABLE_BYTES = 2**28  # of slices that are made together


def gather_packed(
    volume: Tensor, planes: Tensor, radius: int, grid_radius: float, *, tight: bool = False
) -> Tensor:
    """Slice a volume into packed rows; see `packed.gather_packed`."""
    packing, planes = disc(radius).to(volume.device), planes.to(volume.device)
    index = tight_index(radius).to(volume.device)
    parts = []
    step = max(1, _TABLE_BYTES // (8 * packing.size * (packing.radius + 1)))
    for start in range(0, max(1, len(planes)), step):
        part = planes[start : start + step]
        sliced = slices.gather(volume, part, packing.size, radius, grid_radius)
        rows = torch.stack(packing.pack(sliced), -1)
        parts.append(rows[:, index] if tight else rows)
    return torch.cat(parts)


def insert_packed_(
    grid: Tensor, planes: Tensor, values: Tensor, weights: Tensor, radius: int, grid_radius: float
) -> None:
    """Add packed slices to a grid; see `packed.insert_packed_`."""
    packing = disc(radius).to(grid.device)
    unpacked = packing.unpack(torch.view_as_complex(values.contiguous()))
    planes = planes.to(grid.device)
    slices.insert_(grid, planes, unpacked, packing.unpack(weights), radius, grid_radius)


def choose(
    cross: Tensor,
    power: Tensor,
    rotation_prior: Tensor,
    shift_prior: Tensor,
    *,
    fraction: float,
    most: int = 0,
    correlation: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Choose the significant hypotheses of images; see `poses.choose`."""
    n, n_shifts, n_rotations = cross.shape
    device = cross.device
    rotation_prior = rotation_prior.to(device)
    if correlation is None:
        prior = shift_prior.to(device).transpose(1, 2)  # n t k
        cross.view(n, n_shifts, prior.shape[2], -1).add_(prior[..., None])
        cross += (rotation_prior - power)[:, None]
    else:
        norm = (2 * power).clamp(min=1e-30).rsqrt() * correlation[:, None]
        cross *= norm[:, None]
        cross.masked_fill_(torch.isneginf(rotation_prior), -torch.inf)
    begin = torch.arange(n + 1, device=device) * (n_shifts * n_rotations)
    chosen = choose_in_segments(
        cross.transpose(1, 2).reshape(-1), begin, fraction, most, only_best=correlation is not None
    )
    index = chosen.index - begin[:-1].repeat_interleave(chosen.counts)
    numbers = torch.stack([chosen.largest, chosen.log_sum], 1)
    return chosen.counts.cpu(), index.to(torch.int32).cpu(), chosen.weight.cpu(), numbers.cpu()


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
    """Score lists of hypotheses and keep the significant ones; see `poses.score`."""
    hypotheses = _Hypotheses.of(tries, images[0].device)
    scores = _scores(source, images, hypotheses, phases, correlation=correlation)
    chosen = choose_in_segments(scores, hypotheses.begin, fraction, most, only_best=correlation)
    rotation, shift = hypotheses.at(chosen.index)
    return Kept(
        chosen.counts.cpu(), rotation.cpu(), shift.cpu(), chosen.weight.cpu(),
        chosen.largest.cpu(), chosen.log_sum.cpu(),
    )  # fmt: skip


@dataclass(frozen=True)
class _Hypotheses:
    """Lists of hypotheses on the card, and where the score of each goes.

    Scores are ordered by image, group, fine rotation, coarse shift and fine shift.

    Parameters
    ----------
    tries
        On the card.
    image
        ``g``, of each group.
    group_at
        ``g + 1``, first score of each group.
    begin
        ``n + 1``, first score of each image.
    """

    tries: Tries
    image: Tensor
    group_at: Tensor
    begin: Tensor

    @classmethod
    def of(cls, tries: Tries, device: torch.device) -> _Hypotheses:
        group_begin = tries.group_begin.to(device)
        here = Tries(
            group_begin, tries.rotation.to(device), tries.prior.to(device, torch.float32),
            tries.shift_begin.to(device), tries.shift_end.to(device),
            tries.shifts.to(device).contiguous(), tries.shift_prior.to(device, torch.float32),
            tries.rotation_children, tries.shift_children,
        )  # fmt: skip
        n_shifts = (here.shift_end - here.shift_begin) * tries.shift_children**2
        group_at = torch.zeros(len(n_shifts) + 1, dtype=torch.int64, device=device)
        group_at[1:] = torch.cumsum(n_shifts * tries.rotation_children, 0)
        n_images = len(group_begin) - 1
        image = torch.arange(n_images, dtype=torch.int32, device=device)
        image = image.repeat_interleave(group_begin[1:] - group_begin[:-1])
        return cls(here, image, group_at, group_at[group_begin])

    def at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return fine rotation and fine shift of some scores."""
        tries, per_axis = self.tries, self.tries.shift_children
        group = torch.searchsorted(self.group_at, index, right=True) - 1
        n_shifts = (tries.shift_end - tries.shift_begin)[group] * per_axis**2
        within = index - self.group_at[group]
        child, place = within // n_shifts, within % n_shifts
        rotation = tries.rotation[group] * tries.rotation_children + child
        coarse = tries.shifts[tries.shift_begin[group] + place // per_axis**2]
        inner = place % per_axis**2
        shift = coarse * per_axis + torch.stack([inner // per_axis, inner % per_axis], 1)
        return rotation.to(torch.int32), shift.to(torch.int16)


def _scores(
    source: Source,
    images: Sequence[Tensor],
    hypotheses: _Hypotheses,
    phases: tuple[Tensor, Tensor],
    *,
    correlation: bool,
) -> Tensor:
    """Return the log weight, or the correlation, of every hypothesis."""
    tries, device = hypotheses.tries, images[0].device
    b_re, b_im, c = (one.contiguous() for one in images)
    out = torch.empty(int(hypotheses.group_at[-1]), device=device)
    squared = ((b_re.square() + b_im.square()) / c.clamp(min=1e-30)).masked_fill(c <= 0, 0).sum(1)
    kx, row, x, y = _placed(source.radius, phases, device)
    children = tries.rotation_children
    longest = int((tries.shift_end - tries.shift_begin).max()) * tries.shift_children**2
    for first, table in _tables(source, children, device):
        last = first + len(table)
        fine = tries.rotation.to(torch.int64) * children
        groups = torch.nonzero((fine >= first) & (fine < last))[:, 0]
        if not len(groups):
            continue
        _score[len(groups) * children, triton.cdiv(longest, _SHIFTS)](
            out, hypotheses.group_at, groups, hypotheses.image, tries.rotation, tries.prior,
            tries.shift_begin, tries.shift_end, tries.shifts, tries.shift_prior, squared,
            table, first, b_re, b_im, c, x, y, kx, row, len(kx), x.shape[2],
            x.shape[1] * x.shape[2], y.shape[2], y.shape[1] * y.shape[2],
            ROTATIONS=children, PER_AXIS=tries.shift_children, CORRELATION=correlation,
            SHIFTS=_SHIFTS, PIXELS=_PIXELS,
        )  # fmt: skip
    return out


def _tables(source: Source, children: int, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    """Yield slices in the order of their rotations, with the number of the first."""
    if source.table is not None:
        yield 0, source.table.to(device).contiguous()
        return
    n_bytes = 8 * len(disc(source.radius))
    step = children * max(1, _TABLE_BYTES // (n_bytes * children))
    for first in range(0, len(source.planes), step):
        chosen = torch.arange(first, min(first + step, len(source.planes)))
        yield first, _slices_of(source, chosen, device)


def _slices_of(source: Source, rotations: Tensor, device: torch.device) -> Tensor:
    """Return packed slices of some rotations, ``r m 2``."""
    if source.table is not None:
        return source.table[rotations.to(device)].contiguous()
    classes = source.classes.cpu()[rotations]
    planes = source.planes.cpu()[rotations].to(device)
    out = torch.empty(len(rotations), len(disc(source.radius)), 2, device=device)
    for k in torch.unique(classes).tolist():
        chosen = torch.nonzero(classes == k)[:, 0].to(device)
        out[chosen] = gather_packed(
            source.volumes[k], planes[chosen], source.radius, source.grid_radius
        )
    return out


def _placed(
    radius: int, phases: tuple[Tensor, Tensor], device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return column and row of each number of a disc, and phases along both axes."""
    packing = disc(radius)
    row = torch.where(packing.ky < 0, packing.ky + packing.size, packing.ky)
    kx, row = (one.to(device, torch.int32) for one in (packing.kx, row))
    x, y = (one.to(device).contiguous() for one in phases)
    return kx, row, x, y


def sums(
    source: Source,
    images: Contribution,
    kept: Sorted,
    part: slice,
    phases: tuple[Tensor, Tensor],
    per_image: Tensor,
    per_pixel: Tensor,
) -> tuple[Tensor, Tensor]:
    """Sum images over some of the rotations, and add to the statistics; see `pose_sums.sums`."""
    device = images.u_re.device
    first, last, _ = part.indices(len(kept.rotation))
    rotation = kept.rotation[first:last].to(torch.int64)
    begin = kept.begin[first : last + 1]
    low, high = int(begin[0]), int(begin[-1])
    table = _slices_of(source, rotation, device)
    classes = source.classes.cpu()[rotation].to(device)
    n, length = table.shape[:2]
    values, weights = (
        torch.empty(n, length, 2, device=device),
        torch.empty(n, length, device=device),
    )
    told_image = torch.zeros(per_image.shape, dtype=torch.float64, device=device)
    told_pixel = torch.zeros(length, dtype=torch.float64, device=device)
    compared = images.compared or (images.u_re, images.u_im, images.m)  # not read without
    entries = (
        one[low:high].to(device).contiguous() for one in (kept.image, kept.tx, kept.ty, kept.weight)
    )
    kx, row, x, y = _placed(source.radius, phases, device)
    _sum[n, triton.cdiv(length, _PIXELS)](
        values, weights, told_image, told_pixel, table, classes, (begin - low).to(device),
        *entries, *(one.contiguous() for one in compared), images.u_re, images.u_im, images.m,
        images.sigma2.to(device), images.mask.to(device).contiguous(), x, y, kx, row, length,
        x.shape[2], x.shape[1] * x.shape[2], y.shape[2], y.shape[1] * y.shape[2],
        COMPARED=images.compared is not None, RESIDUAL=images.residual, PIXELS=_PIXELS,
    )  # fmt: skip
    per_image += told_image.to(per_image.device)
    per_pixel += told_pixel.to(per_pixel.device)
    return values, weights


@kernel
def _score(
    out, group_at, groups, image, rotation, prior, shift_begin, shift_end, shifts, shift_prior,
    squared, table, first_slice, b_re, b_im, c, x, y, kx, row, length, x_width, x_size, y_width,
    y_size, ROTATIONS: tl.constexpr, PER_AXIS: tl.constexpr, CORRELATION: tl.constexpr,
    SHIFTS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Score one rotation and some shifts of one group."""
    group = tl.load(groups + tl.program_id(0) // ROTATIONS)
    child = tl.program_id(0) % ROTATIONS
    of_image = tl.load(image + group).to(tl.int64)
    slice_ = (tl.load(rotation + group) * ROTATIONS + child - first_slice).to(tl.int64)
    begin = tl.load(shift_begin + group)
    n_shifts = (tl.load(shift_end + group) - begin) * (PER_AXIS * PER_AXIS)
    shift = tl.program_id(1) * SHIFTS + tl.arange(0, SHIFTS)
    tried = shift < n_shifts
    coarse = begin + shift // (PER_AXIS * PER_AXIS)
    inner = shift % (PER_AXIS * PER_AXIS)
    at_x = tl.load(shifts + 2 * coarse, mask=tried, other=0).to(tl.int32) * PER_AXIS
    at_y = tl.load(shifts + 2 * coarse + 1, mask=tried, other=0).to(tl.int32) * PER_AXIS
    from_x = (at_x + inner // PER_AXIS)[:, None] * x_width
    from_y = (at_y + inner % PER_AXIS)[:, None] * y_width
    cross = tl.zeros([SHIFTS], tl.float32)
    power = tl.zeros([PIXELS], tl.float32)
    for start in range(0, length, PIXELS):
        pixel = start + tl.arange(0, PIXELS)
        used = pixel < length
        if not CORRELATION:  # the grey level of an image says nothing about its pose
            used = used & (pixel > 0)
        real = tl.load(table + 2 * (slice_ * length + pixel), mask=used, other=0.0)
        imaginary = tl.load(table + 2 * (slice_ * length + pixel) + 1, mask=used, other=0.0)
        image_re = tl.load(b_re + of_image * length + pixel, mask=used, other=0.0)
        image_im = tl.load(b_im + of_image * length + pixel, mask=used, other=0.0)
        weight = tl.load(c + of_image * length + pixel, mask=used, other=0.0)
        power += weight * (real * real + imaginary * imaginary)
        z_re = image_re * real + image_im * imaginary
        z_im = image_im * real - image_re * imaginary
        to_x = from_x + tl.load(kx + pixel, mask=used, other=0)[None, :]
        to_y = from_y + tl.load(row + pixel, mask=used, other=0)[None, :]
        x_re, x_im = tl.load(x + to_x), tl.load(x + x_size + to_x)
        y_re, y_im = tl.load(y + to_y), tl.load(y + y_size + to_y)
        turned = z_re[None, :] * (x_re * y_re - x_im * y_im)
        turned -= z_im[None, :] * (x_re * y_im + x_im * y_re)
        cross += tl.sum(turned, 1)
    half = 0.5 * tl.sum(power, 0)
    if CORRELATION:
        norm2 = 2 * half * tl.load(squared + of_image)
        value = cross / tl.sqrt(tl.maximum(norm2, 1e-30))
    else:
        value = cross - half + tl.load(prior + group)
        value += tl.load(shift_prior + coarse, mask=tried, other=0.0)
    target = tl.load(group_at + group) + child * n_shifts + shift
    tl.store(out + target, value, mask=tried)


@kernel
def _sum(
    values, weights, per_image, per_pixel, table, classes, begin, image, tx, ty, share, b_re, b_im,
    c, u_re, u_im, m, sigma2, mask, x, y, kx, row, length, x_width, x_size, y_width, y_size,
    COMPARED: tl.constexpr, RESIDUAL: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Sum all that one rotation is given, at some pixels."""
    at = tl.program_id(0).to(tl.int64)
    pixel = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    used = pixel < length
    slice_re = tl.load(table + 2 * (at * length + pixel), mask=used, other=0.0)
    slice_im = tl.load(table + 2 * (at * length + pixel) + 1, mask=used, other=0.0)
    to_x = tl.load(kx + pixel, mask=used, other=0)
    to_y = tl.load(row + pixel, mask=used, other=0)
    noise = tl.load(sigma2 + pixel, mask=used, other=0.0)
    class_ = tl.load(classes + at).to(tl.int64)
    told = tl.load(mask + class_ * length + pixel, mask=used, other=0.0)
    power = (slice_re * slice_re + slice_im * slice_im) * noise
    real = tl.zeros([PIXELS], tl.float32)
    imaginary = tl.zeros([PIXELS], tl.float32)
    total = tl.zeros([PIXELS], tl.float32)
    left = tl.zeros([PIXELS], tl.float32)
    for entry in range(tl.load(begin + at), tl.load(begin + at + 1)):
        of_image = tl.load(image + entry).to(tl.int64)
        from_x = tl.load(tx + entry).to(tl.int32) * x_width + to_x
        from_y = tl.load(ty + entry).to(tl.int32) * y_width + to_y
        x_re, x_im = tl.load(x + from_x), tl.load(x + x_size + from_x)
        y_re, y_im = tl.load(y + from_y), tl.load(y + y_size + from_y)
        weight = tl.load(share + entry)
        f_re = weight * (x_re * y_re - x_im * y_im)
        f_im = weight * (x_re * y_im + x_im * y_re)
        place = of_image * length + pixel
        into_re = tl.load(u_re + place, mask=used, other=0.0)
        into_im = tl.load(u_im + place, mask=used, other=0.0)
        real += f_re * into_re - f_im * into_im
        imaginary += f_re * into_im + f_im * into_re
        total += weight * tl.load(m + place, mask=used, other=0.0)
        if COMPARED:
            seen_re = tl.load(b_re + place, mask=used, other=0.0)
            seen_im = tl.load(b_im + place, mask=used, other=0.0)
            turned_re = f_re * seen_re - f_im * seen_im
            turned_im = f_re * seen_im + f_im * seen_re
            cross = (turned_re * slice_re + turned_im * slice_im) * noise
            expected = weight * tl.load(c + place, mask=used, other=0.0) * power
            unexplained = expected - 2 * cross
            left += unexplained
            target = per_image + 3 * of_image
            tl.atomic_add(target, tl.sum(unexplained, 0).to(tl.float64))
            tl.atomic_add(target + 1, tl.sum(cross * told, 0).to(tl.float64))
            tl.atomic_add(target + 2, tl.sum(expected * told, 0).to(tl.float64))
    if RESIDUAL:
        real -= total * slice_re
        imaginary -= total * slice_im
    tl.store(values + 2 * (at * length + pixel), real, mask=used)
    tl.store(values + 2 * (at * length + pixel) + 1, imaginary, mask=used)
    tl.store(weights + at * length + pixel, total, mask=used)
    if COMPARED:
        tl.atomic_add(per_pixel + pixel, left.to(tl.float64), mask=used)
