"""The first pass of images that have lists of rotations of their own, as in local searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int16, Int64
from torch import Tensor

from vitreous.engine import healpix
from vitreous.engine.ctf import Optics
from vitreous.engine.kernels import poses
from vitreous.engine.kernels.pose_records import Kept, Tries
from vitreous.engine.refinement.coarse import Cut, Significant, runs, shift_numbers
from vitreous.engine.refinement.disc import disc, places_in
from vitreous.engine.refinement.grid import PoseGrid
from vitreous.engine.refinement.images import Prepared
from vitreous.engine.refinement.narrowing import Step
from vitreous.engine.refinement.priors import Lists
from vitreous.engine.refinement.references import References

_EVERYTHING = Cut(1.0, 0, correlation=False)  # that comes near the best


@dataclass(frozen=True)
class Named:
    """Rotations that lists are made of.

    Parameters
    ----------
    rotations, classes
        Matrices, and the class of each.
    names
        The number that each has in the result: ``class * n_rotations + rotation``.
    """

    rotations: Float[Tensor, "u 3 3"]
    classes: Int64[Tensor, " u"]
    names: Int64[Tensor, " u"]


@dataclass(frozen=True)
class _Left:
    """Hypotheses that are left of the lists of images.

    Parameters
    ----------
    particle, rotation, prior
        As in `Lists`.
    begin, end
        The part of the lists of shifts that each rotation is tried with.
    shifts, shift_prior
        Lists of shifts.
    """

    particle: Int64[Tensor, " m"]
    rotation: Int64[Tensor, " m"]
    prior: Float[Tensor, " m"]
    begin: Int64[Tensor, " m"]
    end: Int64[Tensor, " m"]
    shifts: Int16[Tensor, "q 2"]
    shift_prior: Float[Tensor, " q"]


def search_lists(
    images: Prepared,
    references: References,
    grid: PoseGrid,
    optics: Optics,
    tried: tuple[Lists, Named],
    shift_prior: Float[Tensor, "n k t"],
    cut: Cut,
    narrowing: Sequence[Step] = (),
) -> Significant:
    """Score coarse poses of images that have lists of rotations of their own.

    Parameters
    ----------
    images
        Of one optics group.
    references, grid, optics
        What they are compared with.
    tried
        Which rotations each image tries, and what these are.
    shift_prior, cut
        As in `coarse.Slices.search`.
    narrowing
        What is looked at first, to try fewer.
    """
    lists, known = tried
    n, n_classes, n_shifts = shift_prior.shape
    # One list of shifts for each image and class.
    begin = (lists.particle * n_classes + known.classes[lists.rotation]) * n_shifts
    left = _Left(
        lists.particle, lists.rotation, lists.prior, begin, begin + n_shifts,
        grid.shifts.to(torch.int16).repeat(n * n_classes, 1),
        shift_prior.reshape(-1).contiguous(),
    )  # fmt: skip
    compared = _Compared(images, references, grid, optics, known)
    for step in narrowing:
        left = compared.narrowed(step, left, shift_prior)
    tries = Tries(
        torch.searchsorted(left.particle, torch.arange(n + 1)),
        left.rotation.to(torch.int32),
        left.prior,
        left.begin,
        left.end,
        left.shifts,
        left.shift_prior,
    )
    kept = compared.score(images.view.coarse_radius, known.rotations, known.classes, tries, cut)
    return Significant(
        kept.counts,
        known.names[kept.rotation.to(torch.int64)],
        shift_numbers(grid)[kept.shift[:, 0].to(torch.int64), kept.shift[:, 1].to(torch.int64)],
        kept.weight,
        kept.largest,
        kept.log_sum,
    )


@dataclass(frozen=True)
class _Compared:
    """Images, and what they are compared with: see `search_lists`."""

    images: Prepared
    references: References
    grid: PoseGrid
    optics: Optics
    known: Named

    def score(
        self,
        radius: int,
        rotations: Float[Tensor, "u 3 3"],
        classes: Int64[Tensor, " u"],
        tries: Tries,
        cut: Cut,
    ) -> Kept:
        """Score hypotheses by the pixels up to a radius."""
        images, seen = self.images, self.images.view
        places = places_in(radius, seen.scored.radius)
        packed = [array[:, places].contiguous() for array in (images.b_re, images.b_im, images.c)]
        axis_px = self.grid.coarse_axis_A() / seen.pixel_size_A
        return poses.score(
            self.references.source(classes, rotations, seen, self.optics, radius),
            packed, tries, disc(radius).phases(axis_px, seen.box_px),
            fraction=cut.fraction, most=cut.most, correlation=cut.correlation,
        )  # fmt: skip

    def narrowed(self, step: Step, left: _Left, shift_prior: Float[Tensor, "n k t"]) -> _Left:
        """Return the hypotheses that a step does not rule out (see `narrowing`)."""
        rotations, classes, cell_of = self._cells(step.level)
        n, n_cells = len(self.images), len(rotations)
        key = left.particle * n_cells + cell_of[left.rotation]
        group, entry = torch.unique(key, return_inverse=True)
        first = torch.empty_like(group).scatter_(0, entry, torch.arange(len(entry)))
        prior = left.prior.new_full((len(group),), -torch.inf)
        prior.scatter_reduce_(0, entry, left.prior, "amax")
        tries = Tries(
            torch.searchsorted(group, torch.arange(n + 1) * n_cells),
            (group % n_cells).to(torch.int32),
            prior,
            left.begin[first],
            left.end[first],
            left.shifts,
            left.shift_prior,
        )
        kept = self.score(step.radius, rotations, classes, tries, _EVERYTHING)
        image = torch.repeat_interleave(torch.arange(n), kept.counts)
        near = kept.weight.log() >= (kept.largest - kept.log_sum - step.lost)[image]
        image, found_shift = image[near], kept.shift[near]
        cell = kept.rotation[near].to(torch.int64)
        begin, end = runs(image, cell)
        found = torch.searchsorted(group, image[begin] * n_cells + cell[begin])
        begin_of, end_of = torch.zeros_like(group), torch.zeros_like(group)
        begin_of[found], end_of[found] = begin, end
        begin, end = begin_of[entry], end_of[entry]
        stays = torch.nonzero(end > begin)[:, 0]
        x, y = found_shift.to(torch.int64).unbind(1)
        return _Left(
            left.particle[stays], left.rotation[stays], left.prior[stays],
            begin[stays], end[stays], found_shift,
            shift_prior[image, classes[cell], shift_numbers(self.grid)[x, y]].contiguous(),
        )  # fmt: skip

    def _cells(self, level: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return rotations and classes of cells, and the cell of every rotation."""
        known = self.known
        if level == 0:
            return known.rotations, known.classes, torch.arange(len(known.names))
        within = self.grid.cells(known.names % self.grid.n_rotations, level)
        n = healpix.n_pixels(self.grid.sampling.healpix_order) * len(self.grid.psi_deg)
        cells, cell_of = torch.unique(known.classes * n + within, return_inverse=True)
        return self.grid.cell_rotations(cells % n, level), cells // n, cell_of
