"""How much memory motion correction takes, told before it begins.

For movies of n frames of N pixels of b bytes, correlated in maps of c pixels::

    read       n N b + 4 N         (4 N alone where frames are read again for each pass)
    written    + 12 N              up to three images
    computed   44 N + 4 n c        the last twelve-fold with patches
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vitreous.dataset.motion_table import MovieRow
from vitreous.engine.motion.measure import correlation_size
from vitreous.errors import VitreousError
from vitreous.jobs.motioncorr import MotionCorr
from vitreous.programs.motioncorr_inputs import Detector, is_eer
from vitreous.programs.motioncorr_settings import Extra, binned_size, measuring

_THREADS_EACH = 4


@dataclass(frozen=True)
class Need:
    """Memory that one movie takes.

    Parameters
    ----------
    shape
        ``(y, x)`` of a frame.
    raw_bytes
        Of the frames that are used, in the type of the file.
    compute_bytes
        While a movie is aligned and added up.
    """

    shape: tuple[int, int]
    raw_bytes: int
    compute_bytes: int

    def unit_bytes(self, *, keep: bool) -> int:
        """Return what a movie holds from reading to writing."""
        return (self.raw_bytes if keep else 0) + 16 * self.shape[0] * self.shape[1]

    def at_once(self, free_bytes: float, n_threads: int, n_movies: int, *, keep: bool) -> int:
        """Return how many movies are worth computing at once: one for every four threads."""
        each = self.compute_bytes + 2 * self.unit_bytes(keep=keep)
        fitting = int(free_bytes / each)
        return max(1, min(n_threads // _THREADS_EACH, n_movies, fitting))


def need_of(
    detector: Detector, options: MotionCorr, extra: Extra, movies: Sequence[MovieRow]
) -> Need | None:
    """Return what the first movie that can be opened takes; None where none can."""
    for row in movies:
        try:
            with detector.open(row.name) as movie:
                shape, n_frames = movie.shape, movie.n_frames
                pixel_bytes = 2 if is_eer(row.name) else movie.frame(0).itemsize
            size = binned_size(shape, options.binning, row.name)
        except VitreousError:
            continue  # it will be named when its turn comes
        last = options.last_frame if options.last_frame > 0 else n_frames
        n_used = max(1, min(last, n_frames) - options.first_frame + 1)
        n_pixels = shape[0] * shape[1]
        bfactor = options.bfactor_A2 / options.binning**2
        how = measuring(options, extra)
        small = correlation_size(size, bfactor, how, extra.downsampling)
        share = 12 if how.is_local else 4
        low = share * n_used * small[0] * small[1]
        return Need(shape, n_used * n_pixels * pixel_bytes, 44 * n_pixels + low)
    return None
