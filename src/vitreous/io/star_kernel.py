"""Which inner loop reads and writes rows: the compiled one, or the plain one where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import numpy as np

from vitreous.io import star_rows
from vitreous.io.star_rows import Rows

try:
    from vitreous.io import _star as compiled
except ImportError:
    compiled = None


class Kernel(Protocol):
    """Two functions; see `star_rows`."""

    def parse_rows(self, content: bytes, start: int, kinds: str, permissive: bool) -> Rows: ...  # noqa: D102

    def format_rows(  # noqa: D102
        self,
        columns: Sequence[np.ndarray],
        kinds: str,
        comments: np.ndarray | None,
        begin: int,
        end: int,
    ) -> bytes: ...


PLAIN = cast("Kernel", star_rows)
active: Kernel = PLAIN
