"""The significant part of many lists of log weights at once, in plain torch on any device.

What `reference_poses.select` does list by list: a loop over images would leave a graphics card
waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vitreous.engine.kernels.reference_poses import LOST


@dataclass(frozen=True)
class Chosen:
    """Entries that are kept.

    Parameters
    ----------
    counts
        Of each list.
    index
        Places of the entries in all scores, in rising order.
    weight
        Part of the whole weight of its list.
    largest, log_sum
        Of the log weights of each list.
    """

    counts: Int64[Tensor, " n"]
    index: Int64[Tensor, " m"]
    weight: Float[Tensor, " m"]
    largest: Float[Tensor, " n"]
    log_sum: Float[Tensor, " n"]


def choose_in_segments(
    scores: Float[Tensor, " m"],
    begin: Int64[Tensor, " n_and_1"],
    fraction: float,
    most: int,
    *,
    only_best: bool,
) -> Chosen:
    """Choose the fewest entries of each list that hold a fraction of its weight.

    Parameters
    ----------
    scores
        Log weights of all lists, one after the other.
    begin
        List i is ``scores[begin[i] : begin[i + 1]]``; no list is empty.
    fraction, most
        What is to be held; how many at most, 0 for any number. Ties are kept together.
    only_best
        Keep the first of the largest, with all the weight.
    """
    n, device = len(begin) - 1, scores.device
    largest = torch.segment_reduce(scores, "max", offsets=begin)
    # What is lost has no part in the sum: of millions few are left to sort.
    lengths = begin[1:] - begin[:-1]
    floor = largest if only_best else largest - LOST
    # Nothing is kept of a list whose values overflow.
    floor = torch.where(torch.isfinite(largest), floor, torch.nan)
    limit = floor.repeat_interleave(lengths, output_size=len(scores))
    left = torch.nonzero(scores >= limit if only_best else scores > limit)[:, 0]
    image = torch.searchsorted(begin, left, right=True) - 1
    near = scores[left]
    counts = torch.bincount(image, minlength=n)
    first = torch.cumsum(counts, 0) - counts
    found = counts > 0
    if only_best or not len(left):
        best = left[first[found]]
        weight = torch.ones(len(best), device=device)
        return Chosen(found.to(torch.int64), best, weight, largest, largest)
    weight = (near - largest[image]).to(torch.float64).exp()
    total = torch.zeros(n, dtype=torch.float64, device=device).index_add_(0, image, weight)
    order = torch.argsort(near, descending=True, stable=True)
    order = order[torch.argsort(image[order], stable=True)]
    held = torch.cumsum(weight[order] / total[image[order]], 0)
    # Each list starts anew; before it lie whole lists of weight one.
    held = held - (torch.cumsum(found, 0) - found.to(torch.int64))[image[order]]
    last = torch.zeros(n, dtype=torch.int64, device=device)
    last.index_add_(0, image[order], (held <= fraction).to(torch.int64))
    if most > 0:
        last = last.clamp(max=most - 1)
    last = torch.minimum(last, counts - 1)
    threshold = near[order][(first + last).clamp(min=0, max=len(near) - 1)]
    kept = near >= threshold[image]
    share = (weight / total[image])[kept]
    kept_counts = torch.bincount(image[kept], minlength=n)
    log_sum = largest + total.log().to(largest.dtype)
    return Chosen(kept_counts, left[kept], share.to(torch.float32), largest, log_sum)
