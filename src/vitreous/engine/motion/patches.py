"""Patches of the field of view, cut from frames that are aligned as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.kernels import frames
from vitreous.engine.motion import correlation

_TAPER = 1 / 8


@dataclass(frozen=True)
class Patches:
    """Low frequencies of patches of groups of frames.

    Parameters
    ----------
    spectra
        ``p g y xh``, mean taken off, edges tapered.
    side_px
        ``(y, x)`` of a patch in pixels of the frame.
    centre_px
        ``(p, 2)``, x y in the frame.
    time
        ``(g,)``, middle of each group, in frames from 0.
    shape
        ``(y, x)`` of the frame.
    """

    spectra: Complex[Tensor, "p g y xh"]
    side_px: tuple[int, int]
    centre_px: Float[Tensor, "p 2"]
    time: Float[Tensor, " g"]
    shape: tuple[int, int]


def frame_groups(n_frames: int, size: int) -> list[range]:
    """Deal frames out to groups; spare frames enlarge the last groups, one each, never the first.

    Parameters
    ----------
    n_frames
        How many frames.
    size
        Frames in a group.
    """
    size = min(size, n_frames)
    n_groups = n_frames // size
    lengths = [size] * n_groups
    for spare in range(n_frames - size * n_groups):
        lengths[n_groups - 1 - spare % max(1, n_groups - 1)] += 1
    groups, start = [], 0
    for length in lengths:
        groups.append(range(start, start + length))
        start += length
    return groups


def cut(
    spectra: Complex[Tensor, "f y xh"],
    shift_px: Float[Tensor, "f 2"],
    shape: tuple[int, int],
    groups: list[range],
    counts: tuple[int, int],
) -> Patches:
    """Cut the sum of each group of moved frames into patches that do not overlap.

    Parameters
    ----------
    spectra
        Low frequencies of the frames as they are.
    shift_px
        What aligns them as a whole.
    shape
        ``(y, x)`` of the frames.
    groups
        Frames that are summed.
    counts
        Patches along x and y.
    """
    size = (spectra.shape[-2], 2 * (spectra.shape[-1] - 1))
    rows, height = _along(size[0], counts[1])
    columns, width = _along(size[1], counts[0])
    places = [(y, x) for y in rows for x in columns]
    result = spectra.new_empty(len(places), len(groups), height, width // 2 + 1)
    taper = _taper(height, width, spectra.device)
    along_y, along_x = correlation.ramps(shift_px, size, shape)
    for number, group in enumerate(groups):
        total = torch.zeros_like(spectra[0])
        part = slice(group.start, group.stop)
        frames.add_moved_(spectra[part], along_y[part], along_x[part], total)
        image = fourier.inverse_to_corner(total, size)
        pieces = torch.stack([image[y : y + height, x : x + width] for y, x in places])
        pieces = (pieces - pieces.mean((-2, -1), keepdim=True)) * taper
        result[:, number] = fourier.forward_from_corner(pieces)
    scale = torch.tensor([shape[1] / size[1], shape[0] / size[0]], device=spectra.device)
    middles = [[x + width / 2, y + height / 2] for y, x in places]
    centre = torch.tensor(middles, device=spectra.device) * scale - 0.5
    side = (round(height * shape[0] / size[0]), round(width * shape[1] / size[1]))
    time = [(group.start + group.stop - 1) / 2 for group in groups]
    return Patches(result, side, centre, torch.tensor(time, device=spectra.device), shape)


def _along(side: int, count: int) -> tuple[list[int], int]:
    """Return where patches begin, and their even length."""
    return [number * side // count for number in range(count)], side // count // 2 * 2


def _taper(height: int, width: int, device: torch.device) -> Float[Tensor, "y x"]:
    """Return a window that falls to 0 at the edges, which would otherwise align by themselves."""
    curves = []
    for side in (height, width):
        place = torch.arange(side, device=device) + 0.5
        from_edge = torch.minimum(place, side - place) / (_TAPER * side)
        curves.append(0.5 - 0.5 * torch.cos(torch.pi * from_edge.clamp(max=1)))
    return curves[0][:, None] * curves[1]
