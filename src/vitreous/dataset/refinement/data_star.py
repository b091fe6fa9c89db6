"""``_data.star``: rows of particles as assignments, and assignments as rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.columns import codes
from vitreous.dataset.particles import Particles
from vitreous.engine.refinement.filaments import Tubes
from vitreous.engine.refinement.randomness import Stream, of_run
from vitreous.engine.refinement.state import Assignments
from vitreous.io import Table

_JOB_FOLDER = re.compile(r"^[^/]+/job\d{3,}/")
_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
_PRIORS = ("rlnAngleRotPrior", "rlnAngleTiltPrior", "rlnAnglePsiPrior")
_PRIOR_ORIGINS = ("rlnOriginXPriorAngst", "rlnOriginYPriorAngst")
HALF = "rlnRandomSubset"
GROUP_NUMBER = "rlnGroupNumber"


@dataclass(frozen=True)
class ScaleGroups:
    """Groups of particles that share an intensity scale: usually micrographs.

    Parameters
    ----------
    names
        Of each group, in order of appearance.
    of_particle
        ``n``, row of `names`.
    """

    names: tuple[str, ...]
    of_particle: NDArray[np.int64]

    def counts(self, chosen: NDArray[np.bool_] | None = None) -> tuple[int, ...]:
        """Return how many particles each group has, of all or of those chosen."""
        rows = self.of_particle if chosen is None else self.of_particle[chosen]
        return tuple(np.bincount(rows, minlength=len(self.names)).tolist())

    def optics_shares(self, optics: NDArray[np.int64], n_optics: int) -> NDArray[np.float64]:
        """Return ``m g``: the share of each optics group in each scale group."""
        shares = np.zeros((len(self.names), n_optics))
        np.add.at(shares, (self.of_particle, optics), 1.0)
        total = shares.sum(1, keepdims=True)
        return np.where(total > 0, shares / np.maximum(total, 1), 1 / n_optics)

    def shares_in_optics(self, optics: NDArray[np.int64], n_optics: int) -> NDArray[np.float64]:
        """Return ``g m``: the share of each scale group in each optics group."""
        shares = np.zeros((n_optics, len(self.names)))
        np.add.at(shares, (optics, self.of_particle), 1.0)
        total = shares.sum(1, keepdims=True)
        return np.where(total > 0, shares / np.maximum(total, 1), 1 / len(self.names))


def scale_groups(particles: Particles) -> ScaleGroups:
    """Return the groups that rows name: ``rlnGroupName``, else their micrographs, else one."""
    table = particles.table
    for label in ("rlnGroupName", "rlnMicrographName"):
        if label in table:
            names = [_JOB_FOLDER.sub("", str(name)) for name in table[label].tolist()]
            return ScaleGroups(tuple(dict.fromkeys(names)), codes(names))
    return ScaleGroups(("group_00000001",), np.zeros(len(table), np.int64))


def named_groups(particles: Particles, names: tuple[str, ...]) -> ScaleGroups:
    """Return the groups of a running refinement, by the numbers in the rows or else by names.

    Parameters
    ----------
    particles
        As an iteration wrote them.
    names
        Groups of its model.
    """
    numbers = particles.table.get(GROUP_NUMBER)
    if numbers is not None and len(numbers) and 1 <= numbers.min() <= numbers.max() <= len(names):
        return ScaleGroups(names, np.asarray(numbers, np.int64) - 1)
    found = scale_groups(particles)
    order = {name: row for row, name in enumerate(names)}
    rows = np.array([order.get(name, 0) for name in found.names], np.int64)
    return ScaleGroups(names, rows[found.of_particle])


def assignments_of(
    particles: Particles,
    *,
    groups: ScaleGroups | None = None,
    n_classes: int = 1,
    split_halves: bool = False,
    seed: int = 0,
) -> Assignments:
    """Return what rows say about poses, classes and halves; what they lack is 0.

    Parameters
    ----------
    particles
        The particles.
    groups
        Scale groups; by default those of `scale_groups`.
    n_classes
        Class numbers beyond it, as an earlier job gave them, become the first class.
    split_halves
        Whether halves are wanted: as ``rlnRandomSubset`` says, or else drawn.
    seed
        For halves that are drawn.
    """
    table, n = particles.table, len(particles)
    groups = scale_groups(particles) if groups is None else groups
    class_ = np.asarray(table.get("rlnClassNumber", np.ones(n)), np.int64) - 1
    return Assignments(
        angles_deg=_columns(table, _ANGLES, 0.0),
        origin_A=_columns(table, _ORIGINS, 0.0),
        prior_deg=_columns(table, _PRIORS, np.nan),
        prior_origin_A=_columns(table, _PRIOR_ORIGINS, np.nan),
        class_=np.where((class_ >= 0) & (class_ < n_classes), class_, 0),
        half=_halves(particles, seed) if split_halves else np.zeros(n, np.int64),
        scale_group=groups.of_particle,
        optics_group=particles.group,
        norm=_columns(table, ("rlnNormCorrection",), 1.0)[:, 0],
        pmax=_columns(table, ("rlnMaxValueProbDistribution",), 0.0)[:, 0],
        n_significant=np.asarray(table.get("rlnNrOfSignificantSamples", np.zeros(n)), np.int64),
        log_likelihood=_columns(table, ("rlnLogLikeliContribution",), 0.0)[:, 0],
    )


def has_halves(table: Table) -> bool:
    """Tell whether rows say which half they belong to."""
    return HALF in table and bool(np.isin(table[HALF], (1, 2)).all())


def _halves(particles: Particles, seed: int) -> NDArray[np.int64]:
    if has_halves(particles.table):
        return np.asarray(particles.table[HALF], np.int64) - 1
    return draw_halves(_units(particles.table), seed)


def tubes_of(table: Table) -> Tubes | None:
    """Return where segments of filaments lie; None where rows do not tell."""
    if "rlnHelicalTubeID" not in table or "rlnHelicalTrackLengthAngst" not in table:
        return None
    track_A = np.asarray(table["rlnHelicalTrackLengthAngst"], np.float64)
    return Tubes(np.asarray(_units(table), np.int64), track_A)


def _units(table: Table) -> NDArray[np.int64]:
    """Return what must stay together: segments of one filament overlap."""
    n = len(table)
    if "rlnHelicalTubeID" not in table:
        return np.arange(n)
    micrographs = table["rlnMicrographName"] if "rlnMicrographName" in table else np.zeros(n)
    pairs = zip(micrographs.tolist(), table["rlnHelicalTubeID"].tolist(), strict=True)
    return codes(list(pairs))


def draw_halves(unit: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Split particles into two halves of nearly equal size.

    Parameters
    ----------
    unit
        ``n``; particles of one unit go to one half.
    seed
        Of the run.

    Returns
    -------
    ndarray
        ``n``, 0 or 1. Units are taken in random order, the large ones first, and each joins the
        half that has fewer particles.
    """
    sizes = np.bincount(unit)
    if (sizes <= 1).all():
        order = of_run(seed, Stream.HALVES).permutation(len(sizes))
        half = np.empty(len(sizes), np.int64)
        half[order] = np.arange(len(sizes)) % 2
        return half[unit]
    shuffled = of_run(seed, Stream.HALVES).permutation(len(sizes))
    half, filled = np.zeros(len(sizes), np.int64), [0, 0]
    for row in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        half[row] = int(filled[1] < filled[0])
        filled[half[row]] += int(sizes[row])
    return half[unit]


def with_assignments(
    particles: Particles, assignments: Assignments, *, split_halves: bool
) -> Particles:
    """Return particles whose rows say what was assigned; all other columns stay as they are."""
    columns: dict[str, object] = {GROUP_NUMBER: assignments.scale_group + 1}
    columns |= dict(zip(_ANGLES, assignments.angles_deg.T, strict=True))
    columns |= dict(zip(_ORIGINS, assignments.origin_A.T, strict=True))
    columns["rlnClassNumber"] = assignments.class_ + 1
    columns["rlnNormCorrection"] = assignments.norm
    if split_halves:
        columns[HALF] = assignments.half + 1
    columns["rlnLogLikeliContribution"] = assignments.log_likelihood
    columns["rlnMaxValueProbDistribution"] = assignments.pmax
    columns["rlnNrOfSignificantSamples"] = assignments.n_significant
    columns |= _priors(_PRIORS, assignments.prior_deg)
    columns |= _priors(_PRIOR_ORIGINS, assignments.prior_origin_A)
    return replace(particles, table=particles.table.with_columns(columns))


def _priors(labels: tuple[str, ...], values: NDArray[np.float64]) -> dict[str, object]:
    """Return the priors that every row has."""
    pairs = zip(labels, values.T, strict=True)
    return {label: column for label, column in pairs if len(column) and np.isfinite(column).all()}


def _columns(table: Table, labels: tuple[str, ...], default: float) -> NDArray[np.float64]:
    n = len(table)
    columns = [np.asarray(table.get(label, np.full(n, default)), np.float64) for label in labels]
    return np.stack(columns, 1)
