"""The expectation step: how well every pose explains every particle, and what follows for the sums.

Sections 2 to 6 of refinement.md. Particles pass in chunks that fit the memory; a chunk is of one
optics group. Images are prepared once, scored on the coarse grid, scored again around what
matters, and summed rotation by rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import fourier, geometry
from vitreous.engine.kernels import packed
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement import (
    coarse,
    coarse_lists,
    coarse_polar,
    fine,
    grid,
    helical,
    images,
    narrowing,
    preparation,
    priors,
    randomness,
    reach,
    schedule,
    schedule_gradient,
)
from vitreous.engine.refinement.collect import (
    Collected,
    collect,
    empty_statistics,
    shift_centres,
)
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.images import Prepared, View, moved_wholly
from vitreous.engine.refinement.references import References, references
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, Schedule, State
from vitreous.engine.refinement.statistics import Sums

_CPU = torch.device("cpu")
_CHUNK_BYTES = 2**30
_MOST_FINE = 2**24  # fine hypotheses of images that are scored together


@dataclass
class Watch:
    """How an expectation step tells where it is; all may be left out.

    Parameters
    ----------
    done
        Called with numbers of particles that are finished.
    spent
        Called with the name of a phase when it begins.
    bad
        Called with the rows of particles whose images are not finite, or that no pose explains;
        they are left out.
    """

    done: Callable[[int], None] = lambda n: None
    phase: Callable[[str], None] = lambda name: None
    bad: Callable[[NDArray[np.int64]], None] = lambda rows: None


@dataclass(frozen=True)
class Iteration:
    """What all chunks share."""

    data: Data
    state: State
    settings: Settings
    model: Model
    poses: fine.Poses
    references: References
    cut: coarse.Cut
    seeding: bool
    exact: bool
    device: torch.device = _CPU
    _slices: dict[tuple[int, tuple[int, ...]], coarse.Slices] = field(default_factory=dict)
    _narrowing: dict[int, tuple[narrowing.Step, ...]] = field(default_factory=dict)

    @property
    def is_gradient(self) -> bool:
        """Tell whether what references do not explain is summed, in two pseudo-halves."""
        return schedule_gradient.is_gradient(self.state.schedule, self.settings)

    def slices(self, some: Prepared, classes: tuple[int, ...]) -> coarse.Slices:
        """Return the slices of the first pass, made once for each optics group."""
        key = (some.view.group, classes)
        if key not in self._slices:
            if not self.seeding:
                self._slices.clear()
            args = (some, self.references, self.poses.grid, self.data.optics, classes, self.cut)
            self._slices[key] = coarse_polar.slices_for(*args, exact=self.exact)
        return self._slices[key]

    def narrowing(self, seen: View) -> tuple[narrowing.Step, ...]:
        """Return how lists are narrowed down, made once for each optics group."""
        if self.cut.correlation or self.exact:
            return ()
        if seen.group not in self._narrowing:
            self._narrowing[seen.group] = narrowing.steps(
                seen, self.model, self.references, self.data.optics, self.poses.grid,
                cells=self.poses.own is None,
            )  # fmt: skip
        return self._narrowing[seen.group]


def expectation(  # noqa: PLR0913 - the one door; most may be left out
    data: Data,
    state: State,
    settings: Settings,
    half: int | None,
    *,
    rows: NDArray[np.int64] | None = None,
    seeding: bool = False,
    exact: bool = False,
    prepared: References | None = None,
    watch: Watch | None = None,
    chunk_bytes: int = _CHUNK_BYTES,
    device: torch.device = _CPU,
) -> tuple[Sums, Assignments]:
    """Run the expectation step over one half set.

    Parameters
    ----------
    data
        Particles.
    state
        Before the step; its schedule and sampling are those of this iteration.
    settings
        What was asked for.
    half
        0 or 1: only particles of that half, with its model; None for all.
    rows
        Only these particles: a mini-batch, or the share of a rank.
    seeding
        All references are one map, and classes are to part by chance (section 3.5).
    exact
        Score the first pass with true slices of every orientation and all pixels; otherwise slices
        are shared between in-plane angles where that is as good (`coarse_polar`), and poses that
        few pixels rule out are left (`narrowing`), as are pixels that tell nothing
        (`reach`).
    prepared
        The references of this half, where they have been prepared already.
    watch
        Who wants to know how far it is.
    chunk_bytes
        Memory for prepared images.
    device
        Where poses are scored and images summed; all that comes back is on the CPU.

    Returns
    -------
    tuple
        The sums, and the assignments with new values in the rows that took part.
    """
    watch = watch or Watch()
    model = state.models[(half or 0) % len(state.models)]
    if rows is None:
        rows = np.arange(len(data), dtype=np.int64)
        rows = rows if half is None else rows[state.assignments.half == half]
    watch.phase("references")
    step = _iteration(data, state, settings, model, prepared, seeding=seeding, exact=exact)
    step = replace(step, references=step.references.to(device), device=device)
    nothing = empty_sums(model, state.schedule, settings, device)
    sums, statistics = nothing.references, nothing.statistics
    changed = _writable(state.assignments)
    for seen, chunk in _chunks(step, rows, chunk_bytes):
        for found in _chunk(step, seen, chunk, sums, watch):
            statistics = statistics + found.statistics
            for name, values in found.values.items():
                getattr(changed, name)[found.rows] = values
        watch.done(len(chunk))
    if device.type != "cpu":
        sums = tuple(tuple(one.to(_CPU) for one in of_class) for of_class in sums)
    return Sums(statistics, sums), changed


def empty_sums(
    model: Model, now: Schedule, settings: Settings, device: torch.device = _CPU
) -> Sums:
    """Return sums over no particle: what a rank without a share of a half adds to it."""
    n_sums, r_max = (
        2 if schedule_gradient.is_gradient(now, settings) else 1,
        now.current_size_px // 2,
    )

    def accumulator() -> Accumulator:
        return Accumulator(model.box_px, settings.padding, r_max, ndim=model.ndim, device=device)

    references = (tuple(accumulator() for _ in range(n_sums)) for _ in range(model.n_classes))
    return Sums(empty_statistics(model), tuple(references))


def _iteration(
    data: Data,
    state: State,
    settings: Settings,
    model: Model,
    prepared: References | None,
    *,
    seeding: bool,
    exact: bool,
) -> Iteration:
    searching, sampling = settings.searching, state.sampling
    if searching.skip_align:
        sampling = replace(sampling, oversampling=0, perturbation=0.0)
        sampling = replace(sampling, shift_range_A=0.0)
    if searching.skip_rotate:
        sampling = replace(sampling, perturbation=0.0)
    state = replace(state, sampling=sampling)
    own = None
    if searching.skip_align or searching.skip_rotate:
        own = geometry.matrix_from_euler(torch.from_numpy(state.assignments.angles_deg))
    poses = grid.pose_grid(sampling, settings)
    return Iteration(
        data,
        state,
        settings,
        model,
        fine.Poses(poses, own),
        prepared or references(model, settings, r_max=state.schedule.current_size_px // 2),
        coarse.Cut(
            searching.adaptive_fraction,
            max(0, schedule.most_poses(settings)),
            schedule.scores_by_correlation(state, settings),
        ),
        seeding,
        exact,
    )


def _writable(assignments: Assignments) -> Assignments:
    """Return a copy whose arrays may be written."""
    return Assignments(*(getattr(assignments, f.name).copy() for f in fields(assignments)))


def _chunks(
    step: Iteration, rows: NDArray[np.int64], chunk_bytes: int
) -> Iterator[tuple[View, NDArray[np.int64]]]:
    """Yield particles of one optics group at a time, as many as fit."""
    groups = step.data.optics_group[rows]
    for group in np.unique(groups):
        seen = _reaching(
            step, images.view(step.data, step.state, step.settings, step.model, int(group))
        )
        n_bytes = 24 * len(seen.disc) + 8 * seen.box_px**2 // 64
        if seen.scored.radius != seen.disc.radius or step.cut.correlation:
            n_bytes += 12 * len(seen.scored)
        size = max(16, chunk_bytes // n_bytes)
        chosen = rows[groups == group]
        for start in range(0, len(chosen), size):
            yield seen, chosen[start : start + size]


def _reaching(step: Iteration, seen: View) -> View:
    """Leave out of scores the pixels that tell nothing."""
    if step.exact or step.cut.correlation:
        return seen
    args = (seen, step.model, step.references, step.data.optics)
    first, last = seen.coarse_radius, seen.fine_radius
    if step.poses.own is not None or step.state.sampling.is_local:  # lists, not whole grids
        only_selects = step.state.sampling.oversampling > 0
        error = reach.FIRST_PASS_NAT if only_selects else reach.FINE_PASS_NAT
        first = reach.radius_of(*args, first, error)
    return replace(
        seen,
        coarse_radius=first,
        fine_radius=reach.radius_of(*args, last, reach.FINE_PASS_NAT),
        in_halves=step.device.type == "cpu" and _may_round(step, seen),
    )


def _may_round(step: Iteration, seen: View) -> bool:
    """Tell whether slices in half precision are good enough for an optics group."""
    if step.model.ndim == 2 or not packed.has_corners():
        return False
    rows = np.flatnonzero(step.data.optics_group == seen.group)[: reach.SAMPLE]
    transfer = preparation.transfers(step.data, rows, seen, step.settings)
    ctf4 = fourier.shell_mean(transfer.square().square(), 2).mean(0)
    args = (seen, step.model, step.references, step.data.optics, ctf4)
    return reach.rounding_nat(*args) <= reach.FINE_PASS_NAT


def _chunk(
    step: Iteration,
    seen: View,
    rows: NDArray[np.int64],
    sums: tuple[tuple[Accumulator, ...], ...],
    watch: Watch,
) -> Iterator[Collected]:
    """Score and sum some particles of one optics group."""
    watch.phase("images")
    prepared = preparation.prepare(
        step.data, rows, seen, step.model, step.state.assignments, step.settings,
        correlation=step.cut.correlation, first=step.state.schedule.iteration <= 1,
    )  # fmt: skip
    if bool(prepared.bad.any()):
        watch.bad(rows[prepared.bad.numpy()])
        prepared = prepared.select(torch.nonzero(~prepared.bad)[:, 0])
    if step.settings.searching.skip_align:
        prepared = moved_wholly(prepared, step.state.assignments)
    if step.device.type != "cpu":
        prepared = prepared.to(step.device)
    for images_of, classes in _by_seed(step, prepared):
        some = images_of
        watch.phase("coarse")
        shift_prior = _shift_prior(step, some)
        significant, prior = _search(step, some, shift_prior, classes)
        if not bool((significant.counts > 0).all()):
            keep = _told_lost(significant.counts, some, watch)
            some, shift_prior = some.select(keep), shift_prior[keep]
            significant = significant.with_images(keep)
        for part in _batches(step, significant):
            batch, chosen = some.select(part), significant.select(part)
            watch.phase("fine")
            args = (step.references, step.poses, step.data.optics, chosen)
            entries = significant.entries(part)
            if step.state.sampling.oversampling > 0:
                found = fine.refine(
                    batch, *args, prior[entries], shift_prior[part],
                    replace(step.cut, most=0),
                )  # fmt: skip
            else:
                found = fine.as_final(step.poses, chosen)
            if not bool((found.kept.counts > 0).all()):
                keep = _told_lost(found.kept.counts, batch, watch)
                batch, chosen = batch.select(keep), chosen.with_images(keep)
                found = replace(found, kept=found.kept.with_images(keep))
            watch.phase("sums")
            yield collect(step, batch, chosen, found, sums)


def _told_lost(counts: Tensor, some: Prepared, watch: Watch) -> Tensor:
    """Tell of images that no pose explains, and return the numbers of the others.

    Log weights cannot all vanish; it takes values that overflow.
    """
    watch.bad(some.rows[(counts == 0).numpy()])
    return torch.nonzero(counts > 0)[:, 0]


def _by_seed(step: Iteration, prepared: Prepared) -> Iterator[tuple[Prepared, tuple[int, ...]]]:
    """Yield images with the classes that they may belong to."""
    if len(prepared) == 0:
        return
    if not step.seeding:
        yield prepared, step.references.searched
        return
    if step.cut.correlation:
        yield prepared, (0,)
        return
    seed, k = step.settings.seed, step.model.n_classes
    numbers = [randomness.seed_class(seed, int(step.data.identity[r]), k) for r in prepared.rows]
    for class_ in range(k):
        chosen = torch.nonzero(torch.tensor(numbers) == class_)[:, 0]
        if len(chosen):
            yield prepared.select(chosen), (class_,)


def _shift_prior(step: Iteration, prepared: Prepared) -> Tensor:
    """Return the log prior of every coarse shift of images, ``n k t``."""
    rows, model = prepared.rows, step.model
    moved_A = prepared.moved_px.to(torch.float64) * prepared.view.pixel_size_A
    shifts_A = moved_A[:, None] + step.poses.grid.shifts_A()
    centre_A = shift_centres(step.state.assignments, rows, model)
    prior = priors.of_shifts(shifts_A, centre_A, model.sigma_offset_A)
    if helical.limits_shifts(step.settings):
        psi_deg = torch.from_numpy(_centre_deg(step, rows)[:, 2])
        allowed = priors.within_rise(shifts_A, psi_deg, step.settings.helix.rise_A)
        prior = prior.masked_fill(~allowed[:, None], -torch.inf)
    return prior


def _search(
    step: Iteration, some: Prepared, shift_prior: Tensor, classes: tuple[int, ...]
) -> tuple[coarse.Significant, Tensor]:
    """Run the first pass; return also the log prior of the rotation of each pose it found."""
    poses, optics = step.poses, step.data.optics
    if poses.own is None and not step.state.sampling.is_local:
        prior = priors.of_directions(step.model, poses.grid)
        slices = step.slices(some, classes)
        found = slices.search(some, prior, shift_prior, step.cut)
        return found, prior.flatten()[found.rotation]
    lists = _lists(step, some)
    n = poses.n_rotations
    names = (torch.tensor(classes)[:, None] * n + torch.unique(lists.rotation)).flatten()
    per_class = len(names) // len(classes)
    within = torch.searchsorted(names[:per_class] % n, lists.rotation)
    # Every class with the whole list of each particle, sorted by particle.
    particle = lists.particle.repeat_interleave(len(classes))
    of_class = torch.arange(len(classes)).repeat(len(lists.particle))
    rotation = within.repeat_interleave(len(classes)) + of_class * per_class
    prior = lists.prior.repeat_interleave(len(classes))
    if poses.own is not None:
        prior = prior + priors.of_classes(step.model)[torch.tensor(classes)][of_class]
    order = torch.argsort(particle * len(names) + rotation)
    complete = priors.Lists(particle[order], rotation[order], prior[order])
    tried = coarse_lists.Named(poses.coarse(names), names // n, names)
    found = coarse_lists.search_lists(
        some, step.references, poses.grid, optics, (complete, tried), shift_prior, step.cut,
        step.narrowing(some.view),
    )  # fmt: skip
    image = torch.repeat_interleave(torch.arange(len(some)), found.counts)
    key = complete.particle * len(names) + complete.rotation
    wanted = image * len(names) + torch.searchsorted(names, found.rotation)
    return found, complete.prior[torch.searchsorted(key, wanted)]


def _lists(step: Iteration, some: Prepared) -> priors.Lists:
    """Return the coarse rotations that each image tries."""
    rows = some.rows
    if step.poses.own is not None:
        numbers = torch.arange(len(rows))
        return priors.Lists(numbers, torch.from_numpy(rows), torch.zeros(len(rows)))
    centre = torch.from_numpy(_centre_deg(step, rows))
    return priors.local_lists(centre, step.poses.grid, step.settings)


def _centre_deg(step: Iteration, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the angles that searches are centred on: given ones, or the last."""
    centre = step.state.assignments.angles_deg[rows]
    if not step.settings.auto_refine or step.settings.helix.is_helix:
        given = step.state.assignments.prior_deg[rows]
        centre = np.where(np.isfinite(given), given, centre)
    return centre


def _batches(step: Iteration, found: coarse.Significant) -> Iterator[slice]:
    """Yield images whose fine hypotheses fit the memory together."""
    per_pose = step.poses.children * step.poses.grid.shift_children**2
    total = torch.cumsum(found.counts * per_pose, 0)
    start = 0
    while start < len(total):
        before = int(total[start - 1]) if start else 0
        stop = int(torch.searchsorted(total, before + _MOST_FINE, right=True))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop
