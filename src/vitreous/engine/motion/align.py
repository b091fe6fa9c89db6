"""Align stacks of frames, each with the sum of its others, by iteration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.engine.motion.stacks import Stacks, Window

FINE = Window(0.5, (1, 1))


@dataclass(frozen=True)
class Search:
    """How shifts are looked for.

    Parameters
    ----------
    reach_px
        Largest shift in one iteration.
    max_iterations
        Of the search on whole pixels of the correlation map.
    converged_px
        RMS shift of an iteration below which a stack counts as aligned.
    """

    reach_px: float = 50.0
    max_iterations: int = 5
    converged_px: float = 0.5


@dataclass(frozen=True)
class Alignment:
    """What moves each frame onto the first one.

    Parameters
    ----------
    shift_px
        ``(p, f, 2)``, x y in pixels of the frame, zero in the first frame; a positive shift moves
        the content to larger indices.
    converged
        ``(p,)``.
    rms_px
        ``(p, i)``, RMS shift in each iteration of the search, NaN where a stack had converged.
    """

    shift_px: Float[Tensor, "p f 2"]
    converged: Bool[Tensor, " p"]
    rms_px: Float[Tensor, "p i"]


def align(stacks: Stacks, search: Search) -> Alignment:
    """Align the frames of each stack.

    Parameters
    ----------
    stacks
        The frames.
    search
        How.
    """
    device = stacks.spectra.device
    shift = torch.zeros(len(stacks), stacks.n_frames, 2, dtype=torch.float64, device=device)
    active = torch.ones(len(stacks), dtype=torch.bool, device=device)
    window = stacks.window(1.0, search.reach_px)
    history = []
    for _ in range(search.max_iterations):
        move = _moves(stacks, shift, window) * active[:, None, None]
        shift = shift + move
        rms = move.square().sum(-1).mean(-1).sqrt()
        history.append(torch.where(active, rms, math.nan))
        active = active & (rms >= search.converged_px)
        if not active.any():
            break
    return Alignment(shift.to(torch.float32), ~active, torch.stack(history, 1).to(torch.float32))


def refine(
    stacks: Stacks, shift_px: Float[Tensor, "p f 2"], iterations: int, enough_px: float
) -> Float[Tensor, "p f 2"]:
    """Improve shifts in finer steps, which removes what parabolas get wrong.

    Parameters
    ----------
    stacks
        The frames, with the weight of the best measurement.
    shift_px
        What aligns them nearly.
    iterations
        How many at most.
    enough_px
        Largest change of an iteration below which it ends.
    """
    shift = shift_px.to(torch.float64)
    for _ in range(iterations):
        move = _moves(stacks, shift, FINE)
        shift = shift + move
        if move.abs().max() < enough_px:
            break
    return shift.to(torch.float32)


def highest(maps: Float[Tensor, "*n wy wx"]) -> Float[Tensor, "*n 2"]:
    """Return where each map is highest, x y from its middle, by parabolas along x and y.

    The outermost rows and columns serve the parabolas only. Maps have odd sides.
    """
    wy, wx = maps.shape[-2:]
    flat = maps.reshape(-1, wy, wx)
    place = flat[:, 1:-1, 1:-1].flatten(1).argmax(-1)
    iy, ix = place // (wx - 2) + 1, place % (wx - 2) + 1
    every = torch.arange(len(flat), device=maps.device)
    middle = flat[every, iy, ix]
    dx = _vertex(flat[every, iy, ix - 1], middle, flat[every, iy, ix + 1])
    dy = _vertex(flat[every, iy - 1, ix], middle, flat[every, iy + 1, ix])
    peaks = torch.stack([ix - wx // 2 + dx, iy - wy // 2 + dy], 1)
    return peaks.reshape(*maps.shape[:-2], 2)


def _moves(stacks: Stacks, shift_px: Tensor, window: Window) -> Tensor:
    """Return by how much each frame is to be moved further, the first frame by nothing."""
    peak = highest(stacks.maps(shift_px, window)) * window.step * stacks.scale()
    return peak - peak[:, :1]


def _vertex(before: Tensor, middle: Tensor, after: Tensor) -> Tensor:
    """Return where the parabola through three values is highest, at most one step away."""
    curvature = before - 2 * middle + after
    safe = torch.where(curvature < 0, curvature, -1.0)
    offset = torch.where(curvature < 0, 0.5 * (before - after) / safe, 0.0)
    return offset.clamp(-1, 1)
