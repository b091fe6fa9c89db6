"""The expectation step, one particle after the other (sections 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import geometry, grids, projection
from vitreous.engine.projection import Projector
from vitreous.engine.refinement import randomness
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.engine.refinement.state import Assignments, Model, State
from vitreous.engine.refinement.statistics import Sums
from vitreous.testing.oracle import priors, scores
from vitreous.testing.oracle.hypotheses import Block, Grid
from vitreous.testing.oracle.images import Particle, prepare
from vitreous.testing.oracle.pixels import DOUBLE, Group, groups
from vitreous.testing.oracle.scores import Outcome
from vitreous.testing.oracle.sums import Counting


@dataclass(frozen=True)
class Pass:
    """Everything about a particle after its last pass, for tests that look closer."""

    particle: Particle
    blocks: list[Block]
    outcome: Outcome
    n_significant: int


def expectation(
    data: Data,
    state: State,
    settings: Settings,
    half: int | None,
    *,
    rows: NDArray[np.int64] | None = None,
    seeding: bool = False,
) -> tuple[Sums, Assignments]:
    """Compare particles with references.

    Parameters
    ----------
    data
        The particles.
    state
        References, grid and sizes of this iteration; ``schedule.iteration`` is its number, 1 for
        the first.
    settings
        What was asked for.
    half
        Which half of the particles, compared with the references of that half; None for all.
    rows
        Only these particles.
    seeding
        All classes begin with one map: each particle is given to one class at random
        (`randomness.seed_class`), or all to the first where correlations are maximised (3.5, 3.6).

    Returns
    -------
    tuple
        The sums, and the assignments of all particles, with those of the others unchanged.
    """
    model = state.models[half or 0] if len(state.models) > 1 else state.models[0]
    if rows is None:
        rows = np.arange(len(data))
    if half is not None:
        rows = rows[state.assignments.half[rows] == half]
    optics_groups = groups(data, state, settings, model)
    counting = Counting(state, settings, model, projectors(state, settings, model))
    after = {
        field: getattr(state.assignments, field).copy()
        for field in (
            "angles_deg", "origin_A", "class_", "norm", "pmax", "n_significant", "log_likelihood",
        )
    }  # fmt: skip
    for row in rows.tolist():
        group = optics_groups[int(data.optics_group[row])]
        particle = prepare(data, row, state, settings, model, group)
        found = search(particle, counting, seeding=seeding)
        power = counting.add(particle, found.blocks, found.outcome)
        block, r, t = _best(found)
        after["angles_deg"][row] = angles_of(block.rotations[r])
        moved_A = particle.moved_px * group.pixel_size_A
        after["origin_A"][row] = (moved_A + block.shifts_A[t]).numpy()
        after["class_"][row] = block.class_
        after["pmax"][row] = found.outcome.pmax
        after["n_significant"][row] = found.n_significant
        after["log_likelihood"][row] = found.outcome.log_evidence
        if settings.image.correct_norm:
            after["norm"][row] *= (2 * power) ** 0.5 / model.mean_norm
    return counting.sums(), replace(state.assignments, **after)


def search(particle: Particle, counting: Counting, *, seeding: bool = False) -> Pass:
    """Search the grid coarsely, then finely where it matters.

    Returns
    -------
    Pass
        Its `outcome.log_evidence` is the log likelihood of the particle, with the constant of the
        noise.
    """
    state, settings, model = counting.state, counting.settings, counting.model
    group, grid = particle.group, Grid(state, settings, model.ndim)
    some, log_prior = priors.orientations(grid, model, particle.row)
    moved_A = particle.moved_px * group.pixel_size_A
    shifts_A = grid.shifts_A(particle.row, moved_A)
    centres_A = priors.offset_centres_A(state, model, particle.row)
    log_offset = priors.offset_prior(moved_A + shifts_A, centres_A, model.sigma_offset_A)
    blocks = [
        grid.coarse(k, some, shifts_A, log_prior[k][:, None] + log_offset[k])
        for k in classes(particle, counting, seeding=seeding)
    ]
    single = grid.oversampling == 0
    size = group.scored_px if single else group.coarse_px
    found = outcome(particle, blocks, counting, size, most_significant(settings, model))
    n_significant = found.n_significant
    if not single:
        blocks = [
            child
            for block, weights in zip(blocks, found.weights, strict=True)
            for child in grid.children(block, some, shifts_A, weights > 0)
        ]
        found = outcome(particle, blocks, counting, group.scored_px, 0)
    if not is_correlating(state, settings):
        log_evidence = found.log_evidence - scores.constant(particle, group.scored_px)
        found = replace(found, log_evidence=log_evidence)
    return Pass(particle, blocks, found, n_significant)


def outcome(
    particle: Particle, blocks: list[Block], counting: Counting, size: int, most: int
) -> Outcome:
    """Score all hypotheses of a pass and weigh them."""
    correlating = is_correlating(counting.state, counting.settings)
    score = scores.correlation if correlating else scores.likelihood
    values = [score(particle, counting.projectors[block.class_], block, size) for block in blocks]
    if correlating:
        return scores.winner(blocks, values)
    fraction = counting.settings.searching.adaptive_fraction
    return scores.posterior(blocks, values, fraction, most)


def projectors(state: State, settings: Settings, model: Model) -> list[Projector]:
    """Prepare the references for slicing, without what is coarser than the limit."""
    size = state.schedule.current_size_px or model.box_px
    made = [
        projection.projector(one.to(DOUBLE), settings.padding, size // 2)
        for one in model.references
    ]
    coarsest = settings.searching.coarsest_A
    if coarsest <= 0:
        return made
    shell = int(model.box_px * model.pixel_size_A / coarsest + 0.5)
    return [
        replace(one, grid=one.grid * (grids.radius_of(one.grid) > one.padding * shell + 1e-4))
        for one in made
    ]


def classes(particle: Particle, counting: Counting, *, seeding: bool) -> list[int]:
    """Return the classes that a particle may belong to."""
    settings, model = counting.settings, counting.model
    if seeding and is_correlating(counting.state, settings):
        return [0]
    if seeding:
        return [randomness.seed_class(settings.seed, particle.identity, model.n_classes)]
    return torch.nonzero(model.class_weight > 0)[:, 0].tolist()


def is_correlating(state: State, settings: Settings) -> bool:
    """Tell whether this iteration maximises correlations."""
    first = state.schedule.iteration <= 1
    return settings.always_cc or (settings.firstiter_cc and first)


def most_significant(settings: Settings, model: Model) -> int:
    """Return how many coarse hypotheses may be significant, 0 for any number."""
    wanted = settings.searching.max_significant
    if wanted < 0 and settings.algorithm is Algorithm.GRADIENT:
        return (5 if model.ndim == 2 else 100) * model.n_classes
    return max(wanted, 0)


def angles_of(rotation: Tensor) -> NDArray[np.float64]:
    """Return rot, tilt and psi of a pose."""
    if rotation.shape[-1] == 3:
        return geometry.euler_from_matrix(rotation[None])[0].numpy()
    psi = torch.rad2deg(torch.atan2(rotation[0, 1], rotation[0, 0]))
    return np.array([0.0, 0.0, float(psi)])


def _best(found: Pass) -> tuple[Block, int, int]:
    number, r, t = found.outcome.best
    return found.blocks[number], r, t


__all__ = ["Group", "Pass", "expectation", "search"]
