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
    width = side // 2 + 2
    points = (2 * width - 1) ** (settings.ndim - 1) * width
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


def checked(settings: Settings, box_px: int, run: Run) -> Estimate:
    """Estimate with the memory that is free now, and say what it comes to."""
    found = estimate(settings, box_px, available_bytes() // max(1, run.n_ranks))
    run.say(
        f"Memory: up to {found.total_bytes / GIB:.1f} GiB ({found.references_bytes / GIB:.1f} for "
        f"references and sums, {found.chunk_bytes / GIB:.1f} for images at a time)"
    )
    return found
