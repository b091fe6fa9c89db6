"""Resolution of the references, and how much of the images an iteration uses.

Sections 5.1, 8.4 to 8.6 of refinement.md. Shells are those of the reference's box of N pixels;
shell s is at s / (N a) 1/A.
"""

from __future__ import annotations

from math import ceil, pi

import torch
from jaxtyping import Float
from torch import Tensor

FEWEST_SHELLS = 5
GAP = 3  # a peak of the signal so many shells beyond the first dip is no accident
HIGH_FSC = 0.2
SURE = 0.1  # mean Pmax above which sizes may grow by a quarter of Nyquist
STEPS_ACROSS = {2: 1.5, 3: 1.2}  # how much finer than Crowther's the coarse pass is, by dimension


def shell(resolution_A: float, box_px: int, pixel_size_A: float) -> int:
    """Return the shell of a resolution, rounded half up."""
    return int(box_px * pixel_size_A / resolution_A + 0.5)


def resolution_shell(ssnr: Float[Tensor, "k s"], *, beyond_gaps: bool) -> int:
    """Return the last shell whose signal exceeds its noise, in the best class.

    Parameters
    ----------
    ssnr
        Data versus prior; shells never measured hold 0.
    beyond_gaps
        Auto-refine: where a shell above 1 lies more than three shells beyond that, the highest
        such shell counts. A dip of the CTF or of the signal is no end.
    """
    return max(_class_shell(curve, beyond_gaps=beyond_gaps) for curve in ssnr)


def class_resolutions_A(
    ssnr: Float[Tensor, "k s"], box_px: int, pixel_size_A: float
) -> Float[Tensor, " k"]:
    """Return the estimated resolution of each class, on its own."""
    shells = [_class_shell(curve, beyond_gaps=False) for curve in ssnr]
    return box_px * pixel_size_A / torch.tensor(shells, dtype=torch.float64)


def resolves_beyond_a_gap(ssnr: Float[Tensor, "k s"]) -> bool:
    """Tell whether `resolution_shell` looks beyond a gap: worth a warning."""
    return resolution_shell(ssnr, beyond_gaps=True) > resolution_shell(ssnr, beyond_gaps=False)


def current_size_px(
    resolution_shell: int,
    box_px: int,
    *,
    increment: int = 10,
    may_leap: bool = False,
) -> int:
    """Return the side of the images that an iteration uses.

    Parameters
    ----------
    resolution_shell
        Of the references now.
    box_px
        N.
    increment
        Shells beyond the resolution that may show new signal.
    may_leap
        FSC at the limit of the last iterations was high and poses are certain: a quarter of
        Nyquist is added instead.
    """
    further = round_half_away(0.25 * (box_px // 2)) if may_leap else increment
    return min(box_px, 2 * (resolution_shell + further))


def coarse_size_px(
    step_deg: float, diameter_A: float, box_px: int, pixel_size_A: float, ndim: int
) -> int:
    """Return the side that holds what a coarse grid of orientations can tell apart.

    Parameters
    ----------
    step_deg
        Coarse angular step.
    diameter_A
        Of the particle.
    ndim
        Of the references.
    """
    resolution_A = step_deg / 360 * pi * diameter_A / STEPS_ACROSS[ndim]
    return 2 * ceil(box_px * pixel_size_A / resolution_A)


def limited_size_px(size_px: int, finest_A: float, side_A: float) -> int:
    """Return the side that holds what is not finer than a strict limit, `size_px` at most (5.1).

    Parameters
    ----------
    size_px
        Without the limit.
    finest_A
        The limit; 0 or less for none.
    side_A
        Of the box.
    """
    if finest_A <= 0:
        return size_px
    return max(2, min(size_px, 2 * round_half_away(side_A / finest_A)))


def group_size_px(size_px: int, group_box_px: int, group_pixel_A: float, box_A: float) -> int:
    """Return the side of an optics group's images for a size in the reference's box (section 1.6).

    Parameters
    ----------
    size_px
        In the box of the reference.
    group_box_px, group_pixel_A
        Full box and pixel size of the group.
    box_A
        Side of the reference's box in A.
    """
    ratio = group_box_px * group_pixel_A / box_A
    return min(group_box_px, 2 * ceil(size_px * ratio / 2 - 1e-9))


def size_increment(fsc: Float[Tensor, " s"], increment: int) -> int:
    """Return the increment, widened where the FSC falls slowly (section 8.4)."""
    low, high = _first_below(fsc, 0.143), _first_below(fsc, 0.5)
    if low is None or high is None:
        return increment
    return max(increment, low - high + 5)


def is_high_at_limit(fsc: Float[Tensor, " s"], size_px: int) -> bool:
    """Tell whether the FSC is above 0.2 at the last shell that the iteration used."""
    return bool(fsc[size_px // 2 - 1] > HIGH_FSC)


def round_half_away(value: float) -> int:
    """Round a number of at least 0 as C does."""
    return int(value + 0.5)


def _class_shell(curve: Tensor, *, beyond_gaps: bool) -> int:
    curve = curve[:-1]  # the shell of Nyquist never counts
    first = _first_below(curve, 1.0)
    found = max(FEWEST_SHELLS, (len(curve) if first is None else first) - 1)
    above = torch.nonzero(curve > 1)
    highest = int(above[-1, 0]) if len(above) else 0
    return highest if beyond_gaps and highest > found + GAP else found


def _first_below(curve: Tensor, threshold: float) -> int | None:
    below = torch.nonzero(curve[1:] < threshold)
    return int(below[0, 0]) + 1 if len(below) else None
