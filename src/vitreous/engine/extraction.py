"""Particles cut out of a micrograph (preprocessing.md section 7).

A box around the pixel c covers ``c - box // 2 ... c - box // 2 + box - 1``; outside the micrograph
its edge pixels are repeated. The steps: cut, correct for the CTF, scale, window, normalise, invert.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from vitreous.engine import background, boxing, ctf, fourier
from vitreous.engine.background import NO_DUST, Dust
from vitreous.engine.kernels import boxes, planes
from vitreous.engine.kernels.boxes import Plane

_IN_CACHE = 2**18  # pixels worked on at a time


@dataclass(frozen=True)
class Recipe:
    """What is done with every box.

    Parameters
    ----------
    box_px
        Side of the box that is cut; even.
    scaled_px
        Side after scaling in Fourier space; even.
    window_px
        Side that is cut out of the scaled box.
    normalise
        Whether the background gets mean 0 and standard deviation 1.
    radius_px
        Background is what lies farther from the centre, or from the axis of a filament, in pixels
        of the final image.
    ramp
        Whether a plane is subtracted, or only the mean.
    dust
        Pixels that are replaced by noise.
    invert
        Whether the contrast is inverted.
    """

    box_px: int
    scaled_px: int
    window_px: int
    normalise: bool = True
    radius_px: float = 0.0
    ramp: bool = True
    dust: Dust = NO_DUST
    invert: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether boxes are only normalised, at their size."""
        sizes = {self.box_px, self.scaled_px, self.window_px}
        return self.normalise and len(sizes) == 1 and not self.dust.is_on

    @property
    def sign(self) -> float:
        """Factor of the contrast."""
        return -1.0 if self.invert else 1.0


@dataclass(frozen=True)
class Correction:
    """CTF that boxes are multiplied by.

    Parameters
    ----------
    optics
        The groups; their box is the one that is multiplied, at least as large as the one kept.
    defocus
        ``n``, of each particle.
    group
        ``n``, row of `optics` of each particle.
    treatment
        The whole function, its sign, or only beyond the first peak.
    """

    optics: ctf.Optics
    defocus: ctf.Defocus
    group: Int64[Tensor, " n"]
    treatment: ctf.Treatment

    @property
    def box_px(self) -> int:
        """Side of the box that is multiplied."""
        return int(self.optics.box_px[0])


def extract(
    micrograph: Float[Tensor, "y x"],
    centres_px: Int64[Tensor, "n c"],
    recipe: Recipe,
    *,
    psi_rad: Float[Tensor, " n"] | None = None,
    correction: Correction | None = None,
    generator: torch.Generator | None = None,
    target: Float[Tensor, "n b b"] | None = None,
) -> tuple[Float[Tensor, "n b b"], Bool[Tensor, " n"]]:
    """Cut particles out of a micrograph and make them ready for refinement.

    Parameters
    ----------
    micrograph
        The image. The work is done in double precision, a few boxes at a time.
    centres_px
        Pixel that becomes the centre of each box, x y.
    recipe
        What is done.
    psi_rad
        In-plane angles of filaments; by default the particles are no filaments.
    correction
        CTF to multiply by.
    generator
        Of the noise that replaces dust; without it dust stays.
    target
        Takes the images, in single precision: memory that was used before is twice as fast.

    Returns
    -------
    Tensor
        The images, ``n b b``, in single precision.
    Tensor
        ``n``, where the background is constant, so that nothing could be divided by.
    """
    size = recipe.window_px
    images = target
    if images is None:
        images = micrograph.new_empty((len(centres_px), size, size), dtype=torch.float32)
    is_flat = torch.zeros(len(centres_px), dtype=torch.bool, device=micrograph.device)
    outside = background.outside_circle(size, recipe.radius_px, micrograph.device)
    plane = Plane.of(outside, ramp=recipe.ramp, sign=recipe.sign)
    if recipe.is_plain and correction is None and psi_rad is None:
        first = centres_px - size // 2
        found = boxes.cut_and_normalise(micrograph, first, plane, target=images)
        if found is not None:
            return found
    mean = None if correction is None else micrograph.mean(dtype=torch.float64)
    for rows in _chunks(len(centres_px), max(recipe.box_px, size)):
        if correction is None or mean is None:
            cut_out = _scaled(micrograph, centres_px[rows], recipe)
        else:
            cut_out = _corrected(
                micrograph, mean, centres_px[rows], recipe.box_px, correction, rows
            )
            if recipe.scaled_px != recipe.box_px:
                cut_out = boxing.rescale(cut_out, recipe.scaled_px, 2)
        if size != recipe.scaled_px:
            cut_out = boxing.new_box(cut_out, size, 2)
        if not recipe.normalise:
            images[rows] = cut_out * recipe.sign
            continue
        if psi_rad is not None:
            outside = background.outside_tubes(size, recipe.radius_px, psi_rad[rows])
            plane = Plane.of(outside, ramp=recipe.ramp, sign=recipe.sign)
        if generator is not None and recipe.dust.is_on:
            cut_out = background.replace_dust(cut_out, outside, recipe.dust, generator)
        images[rows], is_flat[rows] = boxes.normalise(cut_out, plane)
    return images, is_flat


def touches(
    centres_px: Int64[Tensor, "n c"], box_px: int, shape: tuple[int, int]
) -> Bool[Tensor, " n"]:
    """Tell which boxes have at least one pixel in a micrograph of shape ``y x``."""
    first = centres_px - box_px // 2
    size = torch.tensor(shape[::-1], device=centres_px.device)
    return ((first < size) & (first + box_px > 0)).all(1)


def cut(
    micrograph: Float[Tensor, "y x"], centres_px: Int64[Tensor, "n c"], box_px: int
) -> Float[Tensor, "n b b"]:
    """Cut boxes out, in float64; outside the micrograph its nearest edge pixel is repeated."""
    first = centres_px - box_px // 2
    height, width = micrograph.shape
    size = torch.tensor((width, height), device=first.device)
    if bool(((first >= 0) & (first + box_px <= size)).all()):
        windows = micrograph.unfold(0, box_px, 1).unfold(1, box_px, 1)
        boxes = micrograph.new_empty((len(first), box_px, box_px), dtype=torch.float64)
        for box, (x, y) in zip(boxes, first.tolist(), strict=True):
            box.copy_(windows[y, x])  # three times as fast as an index of all
        return boxes
    rows, columns = _places(centres_px, box_px)
    rows, columns = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    return micrograph[rows[:, :, None], columns[:, None, :]].double()


def _scaled(
    micrograph: Float[Tensor, "y x"], centres_px: Int64[Tensor, "n c"], recipe: Recipe
) -> Float[Tensor, "n b b"]:
    """Cut boxes out and scale them, in float64."""
    box_px, scaled_px = recipe.box_px, recipe.scaled_px
    if scaled_px < box_px:
        scaled = planes.rescaled_boxes(micrograph, centres_px - box_px // 2, box_px, scaled_px)
        if scaled is not None:
            return scaled
    boxes = cut(micrograph, centres_px, box_px)
    return boxes if scaled_px == box_px else boxing.rescale(boxes, scaled_px, 2)


def _chunks(n: int, box_px: int) -> Iterator[slice]:
    step = max(1, _IN_CACHE // box_px**2)
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def _places(centres_px: Tensor, box_px: int) -> tuple[Tensor, Tensor]:
    """Return the rows and columns of the micrograph that boxes cover, each ``n box``."""
    reach = torch.arange(box_px, device=centres_px.device) - box_px // 2
    return centres_px[:, 1:] + reach, centres_px[:, :1] + reach


def _corrected(
    micrograph: Tensor,
    mean: Tensor,
    centres_px: Tensor,
    box_px: int,
    correction: Correction,
    rows: slice,
) -> Tensor:
    """Cut boxes multiplied by their CTF.

    The CTF is applied in a larger box, so that what it spreads out of the small one is not lost.
    In it the outside of the micrograph is its mean; afterwards, the nearest edge pixel again.
    """
    wide = cut(micrograph, centres_px, correction.box_px)
    height, width = micrograph.shape
    at_y, at_x = _places(centres_px, correction.box_px)
    inside = ((at_y >= 0) & (at_y < height))[:, :, None] & ((at_x >= 0) & (at_x < width))[:, None]
    if not bool(inside.all()):
        wide = torch.where(inside, wide, mean)
    multiplied = fourier.inverse(fourier.forward(wide, 2) * _ctf(correction, rows), 2)
    boxes = boxing.new_box(multiplied, box_px, 2)
    at_y, at_x = _places(centres_px, box_px)
    first_y, first_x = at_y[:, :1], at_x[:, :1]
    number = torch.arange(len(boxes), device=boxes.device)[:, None, None]
    at_y, at_x = at_y.clamp(0, height - 1) - first_y, at_x.clamp(0, width - 1) - first_x
    return boxes[number, at_y[:, :, None], at_x[:, None, :]]


def _ctf(correction: Correction, rows: slice) -> Tensor:
    """Return the CTF of some particles; one for all of them where they are alike."""
    values = [*vars(correction.defocus).values(), correction.group]
    is_same = all(bool((one[rows] == one[rows][:1]).all()) for one in values)
    chosen = torch.arange(len(correction.group), device=correction.group.device)[rows]
    chosen = chosen[:1] if is_same else chosen
    return ctf.ctf(
        correction.optics,
        correction.defocus.select(chosen),
        correction.box_px,
        group=correction.group[chosen],
        treatment=correction.treatment,
        dtype=torch.float64,
    )
