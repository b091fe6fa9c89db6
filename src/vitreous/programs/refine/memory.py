"""What a refinement needs of the memory, estimated before it starts (section 15.10)."""

from __future__ import annotations

from dataclasses import dataclass

from vitreous.distributed.memory import available_bytes
from vitreous.engine.projection import padded_side
from vitreous.engine.refinement.settings import Algorithm, Settings
from vitreous.errors import EnvironmentMissing
from vitreous.jobs.context import Run

GIB = 2**30
_LEAST_CHUNK = GIB // 16
_MOST_CHUNK = GIB
_WORKING = GIB  # blocks of scores, lists of poses, slices of the first pass
_WORKING_ON_CARD = 4 * GIB  # tables of slices, scores that are sorted
_MOST_ON_CARD = 8 * GIB


@dataclass(frozen=True)
class Estimate:
    """Memory of one process.

    Parameters
    ----------
    references_bytes
        Volumes that are sliced, and the sums that the new ones are made from, of all classes and
        halves at full size.
    solving_bytes
        What making one map takes for a moment.
    chunk_bytes
        For prepared images.
    """

    references_bytes: int
    solving_bytes: int
    chunk_bytes: int

    @property
    def total_bytes(self) -> int:
        """Return all of it."""
        return self.references_bytes + self.solving_bytes + self.chunk_bytes + _WORKING


def estimate(settings: Settings, box_px: int, free_bytes: int) -> Estimate:
    """Estimate what a refinement needs, and share out what is free.

    Parameters
    ----------
    settings
        What was asked for.
    box_px
        Of the references.
    free_bytes
        What may be used; prepared images take what the rest leaves, within limits.

    Raises
    ------
    EnvironmentMissing
        Not even the smallest chunk fits.
    """
    side = padded_side(box_px, settings.padding)
    points = _points(settings, box_px)
    halves = 2 if settings.split_halves else 1
    sums = 2 if settings.algorithm is Algorithm.GRADIENT else 1
    moments = 20 if settings.algorithm is Algorithm.GRADIENT else 0
    references = halves * settings.n_classes * points * (8 + 16 * sums + moments)
    solving = 12 * side**settings.ndim
    left = free_bytes - references - solving - _WORKING
    if left < _LEAST_CHUNK:
        needed = references + solving + _WORKING + _LEAST_CHUNK
        raise EnvironmentMissing(
            f"{settings.n_classes} references of {box_px} pixels with padding "
            f"{settings.padding:g} need {needed / GIB:.1f} GiB of memory, but "
            f"{free_bytes / GIB:.1f} GiB are free. Skip padding (--pad 1), use fewer classes or "
            "smaller boxes, or a machine with more memory."
        )
    return Estimate(references, solving, min(_MOST_CHUNK, max(_LEAST_CHUNK, left // 2)))


def chunk_on_card(settings: Settings, box_px: int, free_bytes: int) -> int:
    """Share out the memory of a graphics card, and return the part of prepared images.

    One half at a time is there, with its references and sums; maps are made on the processor.

    Raises
    ------
    EnvironmentMissing
        Not even the smallest chunk fits.
    """
    sums = 2 if settings.algorithm is Algorithm.GRADIENT else 1
    references = settings.n_classes * _points(settings, box_px) * (8 + 16 * sums)
    left = free_bytes - references - _WORKING_ON_CARD
    if left < _LEAST_CHUNK:
        needed = references + _WORKING_ON_CARD + _LEAST_CHUNK
        raise EnvironmentMissing(
            f"{settings.n_classes} references of {box_px} pixels with padding "
            f"{settings.padding:g} need {needed / GIB:.1f} GiB of a graphics card, but "
            f"{max(0, free_bytes) / GIB:.1f} GiB of it may be used. Skip padding (--pad 1), use "
            "fewer classes or smaller boxes, or switch the cards off (use_gpu=No)."
        )
    return min(_MOST_ON_CARD, max(_LEAST_CHUNK, left // 2))


def _points(settings: Settings, box_px: int) -> int:
    """Return how many points the grid of a reference has at full size."""
    width = padded_side(box_px, settings.padding) // 2 + 2
    return int((2 * width - 1) ** (settings.ndim - 1)) * width


def checked(settings: Settings, box_px: int, run: Run) -> Estimate:
    """Estimate with the memory that is free now, and say what it comes to."""
    found = estimate(settings, box_px, available_bytes() // max(1, run.n_ranks))
    run.say(
        f"Memory: up to {found.total_bytes / GIB:.1f} GiB ({found.references_bytes / GIB:.1f} for "
        f"references and sums, {found.chunk_bytes / GIB:.1f} for images at a time)"
    )
    return found
