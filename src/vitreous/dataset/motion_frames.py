"""Frames of a movie as tensors: gain applied, bad pixels repaired.

The pixels are kept in the type of the file, for that is a quarter of the memory of 32-bit floats,
and each frame is made ready when it is asked for; or nothing is kept and the file is read again
each time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine.kernels import frames
from vitreous.engine.motion import repair
from vitreous.errors import FormatError
from vitreous.io.movies import Movie

Raw = npt.NDArray[Any]
_READ_TOGETHER = 8
_TORCH_TYPES = {"u1", "i1", "i2", "i4", "f4"}


@dataclass(frozen=True)
class Loaded:
    """The frames of a movie that are used, as they are in the file.

    Parameters
    ----------
    numbers
        Of the frames that are used, from 0; frames without a single count are left out.
    empty
        Of those left out.
    shape
        ``(y, x)``.
    read
        Yields the frames `numbers` in order; may be called again.
    total
        ``(y, x)``, their sum.
    """

    numbers: tuple[int, ...]
    empty: tuple[int, ...]
    shape: tuple[int, int]
    read: Callable[[], Iterator[Raw]]
    total: npt.NDArray[np.float32]


def load(open_again: Callable[[], Movie], first: int, stop: int, *, keep: bool) -> Loaded:
    """Read the frames `first` up to but without `stop` (from 0) and add them up.

    Parameters
    ----------
    open_again
        Opens the movie.
    keep
        Hold the frames in memory; otherwise the file is read anew for each pass.

    Raises
    ------
    FormatError
        The file is damaged, a pixel is not finite, or all frames are empty.
    """
    kept: list[Raw] = []
    full: list[int] = []
    total: Raw | None = None
    with open_again() as movie:
        for number, frame in _in_order(movie, first, stop):
            if total is None:
                total = np.zeros(movie.shape, np.float32 if frame.dtype.kind == "f" else np.int32)
            if not _added(total, frame, movie.path, number):
                continue
            full.append(number)
            if keep:
                kept.append(frame)
        shape, path = movie.shape, movie.path
    if total is None or not full:
        raise FormatError(f"{path}: frames {first + 1} to {stop} hold no counts at all.")
    empty = tuple(sorted(set(range(first, stop)) - set(full)))

    def read() -> Iterator[Raw]:
        if keep:
            yield from kept
            return
        with open_again() as movie:
            wanted = set(full)
            for number, frame in _in_order(movie, first, stop):
                if number in wanted:
                    yield frame

    return Loaded(tuple(full), empty, shape, read, total.astype(np.float32))


def seed_of(movie: Path | str) -> int:
    """Return the seed of all that is drawn for a movie: the same in every run."""
    return zlib.crc32(Path(movie).name.encode())


class Frames:
    """Frames of a movie, ready for use on a device.

    Parameters
    ----------
    loaded
        The movie.
    gain
        ``(y, x)``, what frames are multiplied by; None for none.
    how
        Repair of bad pixels; may be set later.
    device
        Where frames are wanted.
    """

    def __init__(
        self, loaded: Loaded, gain: Float[Tensor, "y x"] | None, device: torch.device
    ) -> None:
        self._loaded, self._gain = loaded, gain
        self.shape, self.device = loaded.shape, device
        self.how: repair.Repair | None = None
        self._buffer = torch.empty(loaded.shape, device=device)

    def __iter__(self) -> Iterator[Float[Tensor, "y x"]]:
        """Give frame after frame, each in the same memory as the last."""
        for place, raw in enumerate(self._loaded.read()):
            counts = to_tensor(raw).to(self.device, non_blocking=True)
            frames.fill_(self._buffer, counts, self._gain)
            if self.how is not None:
                repair.repair_(self._buffer, self.how, self._loaded.numbers[place])
            yield self._buffer

    def total(self) -> Float[Tensor, "y x"]:
        """Return the sum of all frames with the gain applied and no pixel repaired."""
        total = torch.from_numpy(self._loaded.total).to(self.device)
        return total if self._gain is None else total * self._gain


def to_tensor(raw: Raw) -> Tensor:
    """Return pixels of a file as a tensor; in their type, where torch can multiply it."""
    if raw.dtype.str[1:] not in _TORCH_TYPES:
        raw = raw.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(raw))


def _in_order(movie: Movie, first: int, stop: int) -> Iterator[tuple[int, Raw]]:
    for start in range(first, stop, _READ_TOGETHER):
        part = movie.frames(start, min(start + _READ_TOGETHER, stop))
        yield from enumerate(part, start=start)


def _added(total: Raw, frame: Raw, path: Path, number: int) -> bool:
    """Add a frame that is not empty; refuse one with pixels that are no numbers."""
    if frame.dtype.kind != "f":
        return frames.add_counts_(total, frame)
    if not np.isfinite(frame.sum(dtype=np.float64)):
        n_bad = int((~np.isfinite(frame)).sum())
        raise FormatError(
            f"{path}, frame {number + 1}: {n_bad:,} pixels are NaN or infinite. Copy or write the "
            "movie again."
        )
    np.add(total, frame, out=total, casting="unsafe")
    return bool(frame.any())
