"""The Wiener map of one reference, and the share of each shell that its data decide (7.4, 7.5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import grids, reconstruction
from vitreous.engine.kernels import half_shells
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement.weights import Weights, wiener_tables

GRIDDING_ITERATIONS = 10


@dataclass(frozen=True)
class Solution:
    """A map, and how far its data reach.

    Parameters
    ----------
    volume
        ``z y x`` or ``y x``.
    reached
        ``h``: number of points of each half shell with ``weight p^d tau2 >= 1``.
    """

    volume: Float[Tensor, "*zyx"]
    reached: Float[Tensor, " h"]


def solve(
    sums: Accumulator,
    weights: Weights,
    tau2: Float[Tensor, " s"] | None,
    *,
    gridding_iterations: int = 0,
) -> Solution:
    """Return ``data / (weight + 1 / (p^d tau2))`` as a map.

    Parameters
    ----------
    sums
        Finished accumulator.
    weights
        Its sums over half shells.
    tau2
        Power of the signal per shell times T; None for a map that is not regularised.
    gridding_iterations
        See `reconstruction.reconstruct`; 0 divides by the weights.
    """
    tables, grid = wiener_tables(weights, tau2), sums.grid
    covered = torch.zeros_like(weights.total, device=grid.device)

    def solved(rows: slice) -> Complex[Tensor, "*rows"]:
        return half_shells.wiener_rows(grid, sums.padding, rows, tables, covered)

    if gridding_iterations:
        for rows in grids.rows_of(sums.weight):
            solved(rows)
        volume = reconstruction.reconstruct(
            sums,
            tau2=None if tau2 is None else tau2.to(grid.device),
            gridding_iterations=gridding_iterations,
        )
    else:
        # Sums may be in double precision; the map is in single.
        like = torch.empty(1, device=grid.device).expand(grid.shape[:-1])
        volume = reconstruction.from_transform(like, solved, sums.box_px, sums.padding)
    return Solution(volume, covered.cpu())
