"""What the correlation of half-maps makes on its way and validation would have to make again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.validation import cells, tightness, window
from vitreous.engine.validation.cells import CellSums


class Evidence:
    """A `resolution.Watch` that keeps what validation needs.

    Parameters
    ----------
    mask
        ``z y x``, 0 to 1.
    wider_px
        By how much wider masks go further; maps are kept as far as the widest reaches.

    Attributes
    ----------
    window
        The part of the box that the widest mask fills.
    edge_px
        Soft edge of wider masks.
    randomised
        That part of both maps with random phases.
    masked, masked_randomised
        Sums by direction and shell inside the mask.
    """

    def __init__(self, mask: Float[Tensor, "z y x"], wider_px: Sequence[float]) -> None:
        self.edge_px = tightness.wanted_edge_px(mask)
        self.window = window.around(mask, math.ceil(wider_px[-1] + self.edge_px))
        self.randomised: list[Tensor] = []
        self.masked: CellSums | None = None
        self.masked_randomised: CellSums | None = None

    @property
    def part(self) -> tuple[slice, slice, slice]:
        """Where maps are kept."""
        return self.window.slices

    def see_randomised(self, part: Float[Tensor, "z y x"]) -> None:
        """Keep the part of a map with random phases, half 1 first."""
        self.randomised.append(part)

    def see_masked(
        self,
        first: Complex[Tensor, "z y xh"],
        second: Complex[Tensor, "z y xh"],
        *,
        random: bool,
    ) -> None:
        """Add up by direction what both maps have inside the mask."""
        sums = cells.cell_sums(first, second)
        if random:
            self.masked_randomised = sums
        else:
            self.masked = sums
