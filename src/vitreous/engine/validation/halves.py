"""Random half splits made of blocks: slices are inserted once, maps of any split are then sums.

A reconstruction is linear up to its last division, so that particles dealt to 2 K blocks give
every split of the blocks into two halves of K. How curves of such splits scatter tells how far one
curve may be off by the luck of the draw (Penczek, Methods Enzymol. 482, 73 (2010)).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine import reconstruction
from vitreous.engine.projection import Accumulator

BLOCKS_OF_A_HALF = 4


def deal(
    halves: Int64[Tensor, " n"], generator: torch.Generator, n_blocks: int = BLOCKS_OF_A_HALF
) -> Int64[Tensor, " n"]:
    """Deal particles to blocks at random, evenly, so that each block is of one half.

    Parameters
    ----------
    halves
        0 or 1.
    n_blocks
        Blocks of each half.

    Returns
    -------
    Tensor
        Block 0 to ``2 n_blocks - 1``; those of half 1 are the last.
    """
    blocks = torch.empty_like(halves)
    for half in (0, 1):
        rows = torch.nonzero(halves == half)[:, 0]
        order = torch.randperm(len(rows), generator=generator)
        blocks[rows[order]] = torch.arange(len(rows)) % n_blocks + half * n_blocks
    return blocks


def splits(n: int, n_blocks: int, generator: torch.Generator) -> list[list[int]]:
    """Return `n` random choices of half of the blocks, none of them twice (nor its complement).

    The first blocks against the last (the halves themselves) are not among them. Fewer than `n`
    where there are not so many.
    """
    half = n_blocks // 2
    every = [tuple(one) for one in torch.combinations(torch.arange(n_blocks), half).tolist()]
    usable = [one for one in every if 0 in one and one != tuple(range(half))]
    order = torch.randperm(len(usable), generator=generator).tolist()
    return [list(usable[number]) for number in order[:n]]


def map_of(
    blocks: Iterable[Accumulator], operators: Float[Tensor, "g 3 3"]
) -> Float[Tensor, "z y x"]:
    """Reconstruct what several blocks hold together."""
    parts = list(blocks)
    total = Accumulator(parts[0].box_px, parts[0].padding, parts[0].r_max)
    for part in parts:
        total.merge_(part)
    total.finish_(operators)
    return reconstruction.reconstruct(total)
