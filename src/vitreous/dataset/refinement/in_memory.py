"""Images kept in memory for the whole refinement (refinement.md section 16)."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.distributed.memory import available_bytes
from vitreous.engine.refinement.data import Data
from vitreous.errors import EnvironmentMissing

_BATCH_BYTES = 64 << 20
_GIB = 2**30
# What stays for the refinement itself, at the least.
_SHARE = 0.9


def preread_bytes(data: Data, rows: NDArray[np.int64] | None = None) -> int:
    """Return the memory that images take: 4 bytes a pixel.

    Parameters
    ----------
    data
        All particles.
    rows
        Those that this process works on; all where None.
    """
    boxes = data.optics.box_px.numpy().astype(np.int64)
    group = data.optics_group if rows is None else data.optics_group[rows]
    return int(4 * (boxes[group] ** 2).sum())


def preread(
    data: Data,
    rows: NDArray[np.int64] | None = None,
    *,
    each: Callable[[int], None] = lambda _: None,
    n_threads: int = 1,
    memory: Callable[[int], Tensor] = torch.empty,
    part: tuple[int, int] = (0, 1),
) -> Data:
    """Read images once and keep them.

    Parameters
    ----------
    data
        All particles.
    rows
        Those that this process works on; all where None. Others go on being read from the disk.
    each
        Called with the number of images read.
    n_threads
        Reads at a time.
    memory
        Gives room for so many numbers in float32; processes of one computer may share it.
    part
        Which part this process reads, of how many; others read the rest into shared memory.

    Raises
    ------
    EnvironmentMissing
        They do not fit into the memory that is free; the message has the formula.
    """
    chosen = np.arange(len(data)) if rows is None else np.asarray(rows, np.int64)
    needed = preread_bytes(data, chosen)
    free = available_bytes()
    if needed > _SHARE * free:
        boxes = sorted({int(box) for box in data.optics.box_px.tolist()})
        raise EnvironmentMissing(
            f"{len(chosen):,} particles of {' and '.join(map(str, boxes))} pixels take "
            f"{needed / _GIB:.1f} GiB (number x box² x 4 bytes), but {free / _GIB:.1f} GiB of "
            "memory are free. Read them from a scratch disk instead, or use more computers."
        )
    kept = _Kept(data, chosen, memory)
    kept.fill(each, n_threads, part)
    return replace(data, read=kept.read)


class _Kept:
    """Images by optics group, and where each particle is among them."""

    def __init__(
        self, data: Data, rows: NDArray[np.int64], memory: Callable[[int], Tensor]
    ) -> None:
        self._read = data.read
        self._group = data.optics_group
        self._number = np.full(len(data), -1, np.int64)
        self._rows: dict[int, NDArray[np.int64]] = {}
        self._images: dict[int, Tensor] = {}
        room, used = memory(preread_bytes(data, rows) // 4), 0
        for group in np.unique(data.optics_group[rows]).tolist():
            mine = np.sort(rows[data.optics_group[rows] == group])
            box = int(data.optics.box_px[group])
            self._number[mine] = np.arange(mine.size)
            self._rows[group] = mine
            n = mine.size * box * box
            self._images[group] = room[used : used + n].view(mine.size, box, box)
            used += n

    def fill(self, each: Callable[[int], None], n_threads: int, part: tuple[int, int]) -> None:
        first, n_parts = part
        with ThreadPoolExecutor(max(1, n_threads)) as readers:
            for n in readers.map(self._fill, self._parts()[first::n_parts]):
                each(n)

    def _parts(self) -> list[tuple[int, NDArray[np.int64]]]:
        parts = []
        for group, rows in self._rows.items():
            step = max(1, _BATCH_BYTES // (4 * self._images[group].shape[-1] ** 2))
            parts += [(group, rows[start : start + step]) for start in range(0, rows.size, step)]
        return parts

    def _fill(self, part: tuple[int, NDArray[np.int64]]) -> int:
        group, rows = part
        self._images[group][torch.from_numpy(self._number[rows])] = self._read(rows)
        return int(rows.size)

    def read(self, rows: NDArray[np.int64]) -> Float[Tensor, "n y x"]:
        number = self._number[rows]
        if (number < 0).any():
            return self._read(rows)
        return self._images[int(self._group[rows[0]])][torch.from_numpy(number)]
