"""Template matching: a figure of merit for every place (preprocessing.md section 6).

With A a masked, turned, CTF-multiplied, low-passed reference, n the pixels of its mask, mu and
sigma mean and deviation of the micrograph X between the mask and the edge of the box::

    difference = (-2 (A * X) / n + 2 mu S1) / sigma + S2
    merit      = (exp(-difference / 2) - 1) / (exp(S2 / 2) - 1)

S1 and S2 are the mean of A and of its square inside the mask (over n + 1, at the first angle). Only
A * X depends on the angle, and merit grows with it: its largest value is all that is needed.
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
_IN_CACHE = 2**20  # correlations worked on at a time


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
        ``b pixels``: correlation with each wave of the basis.
    background
        See `Background`.
    """

    merit: Float[Tensor, "n v u"]
    maps: Float[Tensor, "b p"]
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
    frame = torch.zeros(at.full, device=device)
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


def match(
    micrograph: Complex[Tensor, "v uh"],
    around: Background,
    refs: References,
    waves: Basis,
    at: Coarse,
    ctf: Float[Tensor, "v uh"] | None = None,
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

    Raises
    ------
    InputError
        Nothing of a reference is left after masking, filtering and the CTF.
    """
    seen = micrograph if ctf is None else micrograph * ctf
    maps = correlations(seen, waves, at)
    upright = waves.unturned()
    sums, squares, n_inside = sums_inside(
        upright if ctf is None else upright * ctf, at, refs.radius_px
    )
    s1, s2 = sums / (n_inside + 1), squares / (n_inside + 1)
    empty = torch.nonzero(~(s2 > 1e-12))[:, 0]
    if len(empty):
        raise InputError(
            f"Reference {int(empty[0]) + 1} is empty after masking: nothing of it is left "
            f"({len(empty)} of {len(refs)} are). Take it out, or choose another mask diameter or "
            "low-pass filter."
        )
    merit = []
    for number in range(len(refs)):
        best = best_correlation(maps, waves.weights[number])
        best = best.reshape(at.work)
        mean, sigma = around.mean, around.sigma
        difference = (2 * mean * s1[number] - best * (2 / n_inside)) / sigma + s2[number]
        merit.append(torch.expm1(-difference / 2) / torch.expm1(s2[number] / 2))
    return Merits(torch.stack(merit), maps, around)


def correlations(
    micrograph: Complex[Tensor, "v uh"], waves: Basis, at: Coarse
) -> Float[Tensor, "b p"]:
    """Correlate with every wave: sums over the pixels of the micrograph."""
    n_pixels = at.full[0] * at.full[1]
    maps = torch.empty(
        len(waves.waves), at.work[0] * at.work[1], dtype=torch.float32, device=micrograph.device
    )
    signed = micrograph * n_pixels
    for start in range(0, len(maps), 16):
        product = waves.waves[start : start + 16].conj() * signed
        maps[start : start + 16] = fourier.inverse(product, 2, at.work).flatten(1)
    return maps


def best_correlation(
    maps: Float[Tensor, "b p"], weights: Float[Tensor, "t b"]
) -> Float[Tensor, " p"]:
    """Return the correlation at the best angle of each place, mixing the maps in the cache."""
    best = torch.empty_like(maps[0])
    step = max(256, _IN_CACHE // max(1, len(weights)))
    for start in range(0, maps.shape[1], step):
        part = slice(start, start + step)
        torch.amax(weights @ maps[:, part], 0, out=best[part])
    return best


def best_angles(
    maps: Float[Tensor, "b p"], weights: Float[Tensor, "t b"], pixels: Tensor
) -> Tensor:
    """Return the number of the best angle at some pixels."""
    return (weights @ maps[:, pixels]).argmax(0)
