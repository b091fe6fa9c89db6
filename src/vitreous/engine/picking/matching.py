"""Template matching: a figure of merit for every place (preprocessing.md section 6).

With A a masked, turned, CTF-multiplied, low-passed reference, n the pixels of its mask, mu and
sigma mean and deviation of the micrograph X between the mask and the edge of the box::

    difference = (-2 (A * X) / n + 2 mu S1) / sigma + S2
    merit      = (exp(-difference / 2) - 1) / (exp(S2 / 2) - 1)

S1 and S2 are the mean of A and of its square inside the mask (over n + 1, at the first angle). Only
A * X depends on the angle, and merit grows with it: its largest value is all that is needed.

On request the merit is the correlation coefficient inside the mask instead (Roseman 2003,
Ultramicroscopy 94, 225), which compares with the contrast of the place itself: crystals of ice and
edges of carbon, which are strong but look like nothing in the references, do not reach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import fourier, masking
from vitreous.engine.picking.preparation import Coarse
from vitreous.engine.picking.templates import Basis, References, sums_inside
from vitreous.errors import InputError

_SMALLEST_VARIANCE = 1e-10
_IN_CACHE = 2**18  # correlations worked on at a time


@dataclass(frozen=True)
class Background:
    """Mean and deviation of the micrograph around every place; ``v u`` on the work grid."""

    mean: Float[Tensor, "v u"]
    sigma: Float[Tensor, "v u"]


@dataclass(frozen=True)
class Merits:
    """What template matching found.

    Parameters
    ----------
    merit
        ``n v u``: figure of merit of each reference at its best angle, at every place of the work
        grid; a place is where the centre of the reference lies.
    maps
        ``w pixels``: correlation with each wave of the basis, the even ones first.
    background
        See `Background`.
    """

    merit: Float[Tensor, "n v u"]
    maps: Float[Tensor, "w p"]
    background: Background


def surroundings(
    at: Coarse, box_px: int, radius_px: int, device: torch.device, *, is_round: bool = False
) -> Complex[Tensor, "v uh"]:
    """Return what a micrograph is multiplied by to be averaged between mask and edge of the box.

    Parameters
    ----------
    is_round
        Average up to a circle inside the box instead of its edge.

    Raises
    ------
    InputError
        The box does not fit into the micrograph.
    """
    if box_px > min(at.full):
        raise InputError(
            f"The references are {box_px} pixels wide at the sampling of the micrograph, which has "
            f"{at.full[1]} x {at.full[0]} pixels."
        )
    distance = masking.radius(box_px, 2, device=device)
    window = (distance >= radius_px).to(torch.float32)
    if is_round:
        window = window * (distance < box_px / 2)
    return _averaging(window, at)


def _averaging(window: Float[Tensor, "y x"], at: Coarse) -> Complex[Tensor, "v uh"]:
    """Return what a micrograph is multiplied by to be averaged in a window."""
    frame = torch.zeros(at.full, device=window.device)
    box_px = len(window)
    top, left = (side // 2 - box_px // 2 for side in at.full)
    frame[top : top + box_px, left : left + box_px] = window / window.sum()
    n_pixels = at.full[0] * at.full[1]
    return fourier.crop(fourier.forward(frame, 2), at.work, 2).conj() * n_pixels


def background(
    micrograph: Complex[Tensor, "v uh"],
    squared: Complex[Tensor, "v uh"],
    averaging: Complex[Tensor, "v uh"],
    at: Coarse,
) -> Background:
    """Average a micrograph around every place.

    Parameters
    ----------
    micrograph, squared
        Half transforms of the normalised micrograph and of its square, on the work grid.
    averaging
        From `surroundings`.
    """
    both = torch.stack([micrograph * averaging, squared * averaging])
    mean, mean_square = fourier.inverse(both, 2, at.work)
    variance = mean_square - mean.square()
    sigma = torch.where(variance > _SMALLEST_VARIANCE, variance, 1.0).sqrt()
    return Background(mean, sigma)


def inside(
    micrograph: Complex[Tensor, "v uh"], low_pass: Float[Tensor, "v uh"], radius_px: int, at: Coarse
) -> Background:
    """Return mean and deviation inside the mask at every place, of what the low-pass lets through.

    Parameters
    ----------
    micrograph
        Half transform on the work grid.
    low_pass
        Curve of the filter of the references, on the work grid.
    """
    box_px = min(2 * radius_px + 2, *at.full)
    window = (masking.radius(box_px, 2, device=micrograph.device) < radius_px).to(torch.float32)
    seen = fourier.inverse(micrograph * low_pass, 2, at.work)
    both = fourier.forward(torch.stack([seen, seen.square()]), 2)
    averaging = _averaging(window, at)
    return background(both[0], both[1], averaging, at)


def match(
    micrograph: Complex[Tensor, "v uh"],
    around: Background,
    refs: References,
    waves: Basis,
    at: Coarse,
    ctf: Float[Tensor, "v uh"] | None = None,
    of_place: Background | None = None,
) -> Merits:
    """Correlate a micrograph with all references at all angles.

    Parameters
    ----------
    micrograph
        Half transform of the normalised micrograph on the work grid.
    around
        Its background.
    refs, waves
        From `templates`.
    ctf
        What references are multiplied by; on the work grid.
    of_place
        From `inside`: the merit is then the correlation coefficient inside the mask.

    Raises
    ------
    InputError
        Nothing of a reference is left after masking, filtering and the CTF.
    """
    seen = micrograph if ctf is None else micrograph * ctf
    maps = correlations(seen, waves, at)
    upright = waves.upright if ctf is None else waves.upright * ctf
    sums, squares, n_inside = sums_inside(upright, at, refs.radius_px)
    s1, s2 = sums / (n_inside + 1), squares / (n_inside + 1)
    empty = torch.nonzero(~(s2 > 1e-12))[:, 0]
    if len(empty):
        raise InputError(
            f"Reference {int(empty[0]) + 1} is empty after masking: nothing of it is left "
            f"({len(empty)} of {len(refs)} are). Take it out, or choose another mask diameter or "
            "low-pass filter."
        )
    merit = []
    n_even = waves.n_even if waves.has_pairs else None
    every = best_correlations(maps, waves.weights, n_even).reshape(-1, *at.work)
    for number, best in enumerate(every):
        if of_place is None:
            mean, sigma = around.mean, around.sigma
            difference = (2 * mean * s1[number] - best * (2 / n_inside)) / sigma + s2[number]
            merit.append(torch.expm1(-difference / 2) / torch.expm1(s2[number] / 2))
        else:
            mean = sums[number] / n_inside
            spread = (squares[number] / n_inside - mean.square()).clamp(min=1e-12).sqrt()
            merit.append((best / n_inside - of_place.mean * mean) / (of_place.sigma * spread))
    return Merits(torch.stack(merit), maps, around)


def correlations(
    micrograph: Complex[Tensor, "v uh"], waves: Basis, at: Coarse
) -> Float[Tensor, "w p"]:
    """Correlate with every wave: sums over the pixels of the micrograph."""
    n_pixels = at.full[0] * at.full[1]
    n_odd = waves.weights.shape[-1] - waves.n_even
    maps = micrograph.real.new_empty((waves.n_even + n_odd, at.work[0] * at.work[1]))
    images = maps.view(-1, *at.work)
    # Signs that move the origin to the centre (the sides are even) are put in once for all.
    signs = 1 - 2 * (fourier.indices(at.work, 2, micrograph.device).sum(-1) % 2)
    plane = fourier.whole_plane(micrograph * (n_pixels * signs), at.work)
    even, odd = images[: waves.n_even], images[waves.n_even :]
    fourier.products_to_corner(waves.waves, plane, even, odd)
    return maps


def best_correlations(
    maps: Float[Tensor, "w p"], weights: Float[Tensor, "n t w"], n_even: int | None = None
) -> Float[Tensor, "n p"]:
    """Return the correlation at the best angle of each place, mixing the maps in the cache.

    With the number of even waves, half of the angles are enough: half a turn changes the sign of
    the part that is odd, and the better of both is the even part and the size of the odd one.
    """
    n, t, _ = weights.shape
    best = maps.new_empty((n, maps.shape[1]))
    rows = weights[:, : t if n_even is None else t // 2].flatten(0, 1)
    step = max(256, _IN_CACHE // max(1, 2 * len(rows)))
    for start in range(0, maps.shape[1], step):
        part = slice(start, start + step)
        if n_even is None:
            mixed = rows @ maps[:, part]
        else:
            mixed = (rows[:, n_even:] @ maps[n_even:, part]).abs_()
            mixed.addmm_(rows[:, :n_even], maps[:n_even, part])
        torch.amax(mixed.reshape(n, -1, mixed.shape[1]), 1, out=best[:, part])
    return best


def best_angles(
    maps: Float[Tensor, "w p"], weights: Float[Tensor, "t w"], pixels: Tensor
) -> Tensor:
    """Return the number of the best angle at some pixels."""
    return (weights @ maps[:, pixels]).argmax(0)
