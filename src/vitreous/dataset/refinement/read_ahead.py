"""Images read by a thread while those before them are worked on (refinement.md section 16)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.refinement.data import Data

_MOST_BYTES: Final = 512 << 20
_LEAST_TOGETHER: Final = 64


class ReadAhead:
    """Reads what was planned before it is asked for; anything else when it is asked for.

    Parameters
    ----------
    data
        Particles, with their slow way to read images.
    n_together
        Images that are asked of the disk at a time, 64 at the least; never affects results.
    most_bytes
        Room for images that nobody has asked for yet.
    """

    def __init__(
        self, data: Data, n_together: int = _LEAST_TOGETHER, *, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._data, self._slow_read = data, data.read
        self._n_together, self._most_bytes = max(_LEAST_TOGETHER, n_together), most_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reads ahead")
        self._planned = np.empty(0, np.int64)
        self._pieces: Iterator[NDArray[np.int64]] = iter(())
        self._coming: deque[Future[Tensor]] = deque()
        self._rest: Tensor | None = None
        self._n_bytes = 0

    def plan(self, rows: NDArray[np.int64]) -> None:
        """Begin to read.

        Parameters
        ----------
        rows
            What will be asked for: one optics group after the other, each in this order.
        """
        self.forget()
        group = self._data.optics_group[rows]
        parts = [rows[group == one] for one in np.unique(group)]
        self._planned = np.concatenate([*parts, np.empty(0, np.int64)])
        self._pieces = (
            part[start : start + self._n_together]
            for part in parts
            for start in range(0, len(part), self._n_together)
        )
        self._fill()

    def forget(self) -> None:
        """Read nothing more of what was planned."""
        for one in self._coming:
            one.cancel()
        self._coming.clear()
        self._planned, self._pieces = np.empty(0, np.int64), iter(())
        self._rest, self._n_bytes = None, 0

    def close(self) -> None:
        """Stop the thread."""
        self.forget()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def read(self, rows: NDArray[np.int64]) -> Float[Tensor, "n y x"]:
        """Return images of one optics group."""
        if len(rows) == 0 or not np.array_equal(self._planned[: len(rows)], rows):
            return self._slow_read(rows)
        self._planned = self._planned[len(rows) :]
        box = int(self._data.optics.box_px[int(self._data.optics_group[rows[0]])])
        found, at = torch.empty(len(rows), box, box), 0
        while at < len(rows):
            images = self._next()[: len(rows) - at]
            found[at : at + len(images)] = images
            self._keep_rest(len(images))
            at += len(images)
        return found

    def _next(self) -> Tensor:
        """Return the first images that are left, of the present request or the next."""
        if self._rest is None:
            self._rest = self._coming.popleft().result()
        return self._rest

    def _keep_rest(self, used: int) -> None:
        rest = self._next()
        self._n_bytes -= used * rest[0].numel() * rest.element_size()
        self._rest = rest[used:] if used < len(rest) else None
        self._fill()

    def _fill(self) -> None:
        while self._n_bytes < self._most_bytes:
            piece = next(self._pieces, None)
            if piece is None:
                return
            box = int(self._data.optics.box_px[int(self._data.optics_group[piece[0]])])
            self._n_bytes += 4 * box * box * len(piece)
            self._coming.append(self._thread.submit(self._slow_read, piece))
