"""The noise spectra that a refinement begins with (refinement.md section 3.3).

A sample of the particles is read once, in batches; whoever else wants to see the same transforms
(`initial_references.FirstReferences`) is handed them on the way. NumPy holds row numbers here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import fourier, masking
from vitreous.engine.refinement import order
from vitreous.engine.refinement.data import Data, usable
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Schedule
from vitreous.errors import ComputeError

MOST_MEAN, LEAST_DEVIATION, MOST_DEVIATION = 0.5, 0.5, 2.0
_BATCH_PIXELS = 2**21


@dataclass(frozen=True)
class Batch:
    """Transforms of some particles of one optics group.

    Parameters
    ----------
    rows, places
        Their rows, and their places in the walk over all particles, which decide their classes.
    group
        Optics group.
    transforms
        ``n y xh``, of the masked images (unmasked where the solvent is filled with noise).
    """

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    group: int
    transforms: Complex[Tensor, "n y xh"]


@dataclass(frozen=True)
class FirstNoise:
    """Noise before any reference is known.

    Parameters
    ----------
    sigma2
        ``g s``, per component, on the shells of the references' box.
    n_used
        ``g``: particles that it was measured on.
    unreadable
        Rows of particles with NaN, infinity or what no image can hold, which were left out.
    badly_normalised
        Rows of particles whose background is not near mean 0 and deviation 1.
    """

    sigma2: Float[Tensor, "g s"]
    n_used: NDArray[np.int64]
    unreadable: NDArray[np.int64]
    badly_normalised: NDArray[np.int64]

    def warnings(self, most: int = 5) -> list[str]:
        """Return what the user should know, one sentence each; rows are counted from 1."""
        sentences = []
        if len(self.badly_normalised):
            sentences.append(
                f"{len(self.badly_normalised)} of {int(self.n_used.sum())} particles that were "
                "looked at have a background that is not near mean 0 and deviation 1 "
                f"({_some(self.badly_normalised, most)}). Extract them again with normalisation, "
                "with a background radius outside of the particle."
            )
        if len(self.unreadable):
            sentences.append(
                f"{len(self.unreadable)} particles hold NaN, infinity or far too large values and "
                f"were left out of the first noise spectrum ({_some(self.unreadable, most)})."
            )
        return sentences


@dataclass
class _Sums:
    """What grows while batches pass: powers by group, mean images by box and pixel size."""

    power: Tensor
    count: Tensor
    n_used: NDArray[np.int64]
    means: dict[tuple[int, float], Tensor] = field(default_factory=dict)
    n_of_mean: dict[tuple[int, float], int] = field(default_factory=dict)
    unreadable: list[NDArray[np.int64]] = field(default_factory=list)
    badly_normalised: list[NDArray[np.int64]] = field(default_factory=list)


def first_noise(
    data: Data,
    assignments: Assignments,
    settings: Settings,
    box_px: int,
    pixel_size_A: float,
    *,
    see: Callable[[Batch], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FirstNoise:
    """Measure the noise of each optics group on a random sample of its particles.

    Half the mean power of single images less half the power of their mean image. Each group is
    measured in its own box; its shells are then mapped to those of the references.

    Parameters
    ----------
    data, assignments
        Particles.
    settings
        Mask, seed and size of the sample (`Image.n_noise_particles` of each group, and at least
        5 for each class where references are made from nothing).
    box_px, pixel_size_A
        Of the references.
    see
        Is handed every batch.
    progress
        Is told how many particles are done, and of how many.

    Raises
    ------
    ComputeError
        A group has no particle to measure, or its particles are empty.
    """
    sample, places = _sample(data, assignments, settings)
    n_groups, n_shells = len(data.optics), box_px // 2 + 1
    zeros = torch.zeros(n_groups, n_shells, dtype=torch.float64)
    sums = _Sums(zeros, zeros.clone(), np.zeros(n_groups, np.int64))
    done = 0
    for rows, where in _batches(data, sample, places):
        batch = _measured(data, settings, rows, where, box_px * pixel_size_A, sums)
        if see is not None and len(batch.rows):
            see(batch)
        done += len(rows)
        if progress is not None:
            progress(done, len(sample))
    sigma2 = torch.stack(
        [_spectrum(data, group, sums, box_px * pixel_size_A) for group in range(n_groups)]
    )
    return FirstNoise(sigma2, sums.n_used, _joined(sums.unreadable), _joined(sums.badly_normalised))


def model_shells(n: int, rho: float) -> Tensor:
    """Return the shell of the references of each shell of an image (halves up).

    Parameters
    ----------
    n
        Shells of the image.
    rho
        Length of its side over that of the references.
    """
    return (torch.arange(n, dtype=torch.float64) / rho + 0.5).floor().to(torch.int64)


def _sample(
    data: Data, assignments: Assignments, settings: Settings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are looked at, and their places in the walk."""
    rows = order.shuffled(data, assignments, Schedule(), settings)
    group = data.optics_group[rows]
    most = settings.image.n_noise_particles
    rank = np.zeros(len(rows), np.int64)
    for one in np.unique(group):
        rank[group == one] = np.arange(int((group == one).sum()))
    chosen = rank < most
    if settings.from_nothing:
        missing = 5 * settings.n_classes - int(chosen.sum())
        chosen[np.flatnonzero(~chosen)[: max(0, missing)]] = True
    return rows[chosen], np.arange(int(chosen.sum()))


def _batches(
    data: Data, rows: NDArray[np.int64], places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield rows of one optics group at a time, in the order of the table."""
    for group in range(len(data.optics)):
        mine = np.flatnonzero(data.optics_group[rows] == group)
        mine = mine[np.argsort(rows[mine], kind="stable")]
        step = max(1, _BATCH_PIXELS // int(data.optics.box_px[group]) ** 2)
        for start in range(0, len(mine), step):
            part = mine[start : start + step]
            yield rows[part], places[part]


def _measured(
    data: Data,
    settings: Settings,
    rows: NDArray[np.int64],
    places: NDArray[np.int64],
    side_A: float,
    sums: _Sums,
) -> Batch:
    """Add a batch to the sums and return its transforms."""
    group = int(data.optics_group[rows[0]])
    box, pixel_A = int(data.optics.box_px[group]), float(data.optics.pixel_size_A[group])
    images = data.read(rows)
    good = usable(images)
    kept = good.numpy()
    sums.unreadable.append(rows[~kept])
    rows, places, images = rows[kept], places[kept], images[good]
    sums.n_used[group] += len(rows)
    diameter_A = settings.solvent.diameter_A
    radius_px = diameter_A / (2 * pixel_A) if diameter_A > 0 else side_A / (2 * pixel_A)
    if settings.image.check_norm and len(rows):
        sums.badly_normalised.append(rows[_is_badly_normalised(images, radius_px)])
    if settings.solvent.zero_mask:
        mask = masking.sphere(box, 2, radius_px, settings.solvent.edge_px)
        images = masking.fill_outside(images, mask)
    transforms = fourier.forward(images, 2)
    power = transforms.real.double().square() + transforms.imag.double().square()
    shells = model_shells(box // 2 + 1, box * pixel_A / side_A)
    inside = shells < sums.power.shape[1]
    sums.power[group].index_add_(
        0, shells[inside], fourier.shell_sum(power.sum(0), 2, stored=True)[inside]
    )
    counted = fourier.shell_count(box, 2, stored=True).double() * len(rows)
    sums.count[group].index_add_(0, shells[inside], counted[inside])
    key = (box, pixel_A)
    total = transforms.to(torch.complex128).sum(0)
    sums.means[key] = total if key not in sums.means else sums.means[key] + total
    sums.n_of_mean[key] = sums.n_of_mean.get(key, 0) + len(rows)
    return Batch(rows, places, group, transforms)


def _is_badly_normalised(images: Float[Tensor, "n y x"], radius_px: float) -> NDArray[np.bool_]:
    """Tell which images have a background far from mean 0 and deviation 1."""
    outside = masking.radius(images.shape[-1], 2) > radius_px
    if int(outside.sum()) < 2:
        return np.zeros(len(images), np.bool_)
    values = images[:, outside].double()
    deviation, mean = values.std(1), values.mean(1)
    good = (deviation > LEAST_DEVIATION) & (deviation < MOST_DEVIATION)
    good &= mean.abs() < MOST_MEAN * deviation
    return (~good).numpy()


def _spectrum(data: Data, group: int, sums: _Sums, side_A: float) -> Float[Tensor, " s"]:
    """Return the noise of a group: gaps take the last positive value, or the first."""
    if sums.n_used[group] == 0:
        raise ComputeError(
            f"Optics group {group + 1} has no particle to measure its noise on. Remove the group, "
            "or the particles that could not be read."
        )
    box, pixel_A = int(data.optics.box_px[group]), float(data.optics.pixel_size_A[group])
    key = (box, pixel_A)
    n = sums.n_of_mean[key]
    mean = (sums.means[key] / n).abs().square()
    found = (sums.power[group] / sums.count[group].clamp(min=1)) / 2
    if n > 1:
        shells = model_shells(box // 2 + 1, box * pixel_A / side_A)
        inside = shells < len(found)
        signal, count = torch.zeros_like(found), torch.zeros_like(found)
        signal.index_add_(0, shells[inside], fourier.shell_sum(mean, 2, stored=True)[inside])
        count.index_add_(
            0, shells[inside], fourier.shell_count(box, 2, stored=True)[inside].double()
        )
        found = found - signal / count.clamp(min=1) / 2
    return _without_gaps(found, group)


def _without_gaps(spectrum: Float[Tensor, " s"], group: int) -> Float[Tensor, " s"]:
    positive = torch.nonzero(spectrum > 0)[:, 0]
    if len(positive) == 0:
        raise ComputeError(
            f"The particles of optics group {group + 1} have no noise at all: they are empty, or "
            "all alike. Look at the images."
        )
    filled = spectrum.clone()
    filled[: int(positive[0])] = spectrum[positive[0]]
    for shell in range(int(positive[0]), len(filled)):
        if filled[shell] <= 0:
            filled[shell] = filled[shell - 1]
    return filled


def _some(rows: NDArray[np.int64], most: int) -> str:
    named = ", ".join(str(row + 1) for row in rows[:most])
    return f"rows {named}" + (", ..." if len(rows) > most else "")


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
