"""Signal subtraction: what a part of the references adds to images is taken off them.

The part is projected as the refinement that found the poses would (refinement.md sections 1.5,
1.8, 1.9 and 13.2): ``X' = X norm - s CTF plate MTF P(V (1 - keep))``. After Bai et al. (2015),
eLife 4, e11182, and Ilca et al. (2015), Nature Communications 6, 8843.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import ctf, fourier
from vitreous.engine.boxing import new_box
from vitreous.engine.projection import Projector, project, projector
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Image, Settings
from vitreous.engine.refinement.state import Model


@dataclass(frozen=True)
class Subtrahend:
    """What is subtracted: references without what is kept.

    Parameters
    ----------
    projectors
        Of each half (one where halves are not refined apart), of each class.
    side_A
        Side of the references' box.
    """

    projectors: tuple[tuple[Projector, ...], ...]
    side_A: float


@dataclass(frozen=True)
class Views:
    """How particles see the references; arrays of length n.

    Parameters
    ----------
    rotations
        ``n 3 3``, pose matrices.
    shift_px
        ``n 2``, the shift that centres each image, in its pixels.
    half, class_
        Which reference; halves are 0 where there is one model.
    scale
        Of the group of each particle.
    grey
        What an image is multiplied by: the mean of all norm corrections over its own.
    """

    rotations: Float[Tensor, "n 3 3"]
    shift_px: Float[Tensor, "n 2"]
    half: NDArray[np.int64]
    class_: NDArray[np.int64]
    scale: Float[Tensor, " n"]
    grey: Float[Tensor, " n"]

    def select(self, rows: NDArray[np.int64]) -> Views:
        """Return some of them."""
        at = torch.from_numpy(rows)
        return Views(
            self.rotations[at], self.shift_px[at], self.half[rows], self.class_[rows],
            self.scale[at], self.grey[at],
        )  # fmt: skip


def subtrahend(
    models: Sequence[Model], keep: Float[Tensor, "z y x"] | None, settings: Settings
) -> Subtrahend:
    """Prepare what is subtracted.

    Parameters
    ----------
    models
        Of one refinement: one, or one of each half.
    keep
        1 where density stays in the images, 0 where it is taken off; None takes off everything.
    settings
        Of the refinement.

    Returns
    -------
    Subtrahend
        Frequencies go as far as the refinement went.
    """
    kept = 1.0 if keep is None else 1 - keep.to(torch.float32)
    of_halves = tuple(
        tuple(
            projector(
                reference.to(torch.float32) * kept, settings.padding, model.current_size_px // 2
            )
            for reference in model.references
        )
        for model in models
    )
    return Subtrahend(of_halves, models[0].box_px * models[0].pixel_size_A)


def predicted(
    parts: Subtrahend, data: Data, rows: NDArray[np.int64], views: Views, image: Image
) -> Float[Tensor, "n y x"]:
    """Return the images of what is subtracted.

    Parameters
    ----------
    parts
        What is subtracted.
    data
        Optics of the particles.
    rows
        Particles of one optics group.
    views
        Of these particles.
    image
        How the refinement modelled images.
    """
    group = int(data.optics_group[rows[0]])
    box = int(data.optics.box_px[group])
    ratio = box * float(data.optics.pixel_size_A[group]) / parts.side_A
    magnification = data.optics.magnification[group].to(torch.float32)
    transforms = torch.zeros(len(rows), box, box // 2 + 1, dtype=torch.complex64)
    for half, class_ in sorted(set(zip(views.half.tolist(), views.class_.tolist(), strict=True))):
        chosen = torch.from_numpy((views.half == half) & (views.class_ == class_))
        transforms[chosen] = project(
            parts.projectors[half][class_],
            views.rotations[chosen].to(torch.float32),
            box,
            scale=ratio,
            magnification=magnification,
        )
    transforms *= (views.scale / ratio**2).to(torch.float32)[:, None, None]
    transforms *= fourier.shift_phases(-views.shift_px.to(torch.float32), box)
    transforms *= _transfer(data, rows, group, image)
    return fourier.inverse(transforms, 2, box)


def subtracted(
    images: Float[Tensor, "n y x"], removed: Float[Tensor, "n y x"], views: Views
) -> tuple[Float[Tensor, "n y x"], Float[Tensor, "n 3"]]:
    """Take predicted images off particle images.

    Returns
    -------
    Tensor
        What is left, on the grey scale of the refinement.
    Tensor
        ``n 3``, float64: ``<X, P>``, ``<P, P>`` and ``var(X) <P, P>``, without the mean of P; see
        `strength`.
    """
    scaled = images * views.grey.to(images.dtype)[:, None, None]
    varying = (removed - removed.mean((-1, -2), keepdim=True)).double()
    power = (varying**2).sum((-1, -2))
    product = (scaled * varying).sum((-1, -2))
    spread = scaled.double().var((-1, -2)) * power
    return scaled - removed, torch.stack([product, power, spread], 1)


def strength(fit: Float[Tensor, " 3"]) -> tuple[float, float]:
    """Return how strong images have what is subtracted, over how strong the map has it.

    Least squares over all particles: 1 where the grey scale of the refinement is theirs.

    Parameters
    ----------
    fit
        Sums over particles of what `subtracted` returns.

    Returns
    -------
    float, float
        The strength, and its standard error where noise is white; infinite where nothing is
        subtracted.
    """
    product, power, spread = fit.tolist()
    if power <= 0:
        return 1.0, float("inf")
    return product / power, spread**0.5 / power


def place_of(
    views: Views, point_px: Float[Tensor, " 3"], magnification: Float[Tensor, "2 2"]
) -> Float[Tensor, "n 2"]:
    """Return where images show a point of the map, from where they show its centre.

    Parameters
    ----------
    point_px
        From the centre of the map, in pixels of the images.
    magnification
        Anisotropic magnification M of the images: a slice has frequency k at ``A^-1 M k``, so
        the point is seen at ``M^T A p``.
    """
    turned = (views.rotations.double() @ point_px.double())[:, :2]
    return turned @ magnification.double()


def recentred(
    images: Float[Tensor, "n y x"], shift_px: Float[Tensor, "n 2"]
) -> tuple[Float[Tensor, "n y x"], Float[Tensor, "n 2"]]:
    """Move images by the whole pixels of their shifts; what leaves comes in on the other side.

    Returns
    -------
    Tensor
        The moved images.
    Tensor
        ``n 2``, the whole pixels; halves are rounded away from zero.
    """
    whole = torch.trunc(shift_px + torch.copysign(torch.full_like(shift_px, 0.5), shift_px))
    moved = [
        image.roll((int(y), int(x)), (0, 1))
        for image, (x, y) in zip(images, whole.tolist(), strict=True)
    ]
    return (torch.stack(moved) if moved else images), whole


def boxed(images: Float[Tensor, "n y x"], box_px: int) -> Float[Tensor, "n b b"]:
    """Cut out the middle of images."""
    return new_box(images, box_px, 2) if images.shape[-1] != box_px else images


def _transfer(
    data: Data, rows: NDArray[np.int64], group: int, image: Image
) -> Complex[Tensor, "n y xh"] | Float[Tensor, "n y xh"]:
    """Return what the microscope does to projections (refinement.md sections 1.8 and 1.9)."""
    optics = data.optics
    box = int(optics.box_px[group])
    result: Tensor = torch.ones(len(rows), box, box // 2 + 1)
    if image.correct_ctf:
        treatment = ctf.Treatment(
            phase_flipped=image.phase_flipped,
            only_flip_phases=image.only_flip_phases,
            intact_first_peak=image.intact_first_peak,
            premultiplied=bool(data.premultiplied[group]),
            padded=image.padded_ctf,
        )
        defocus = data.defocus.select(torch.from_numpy(rows))
        groups = torch.full((len(rows),), group, dtype=torch.int64)
        result = ctf.ctf(optics, defocus, box, group=groups, treatment=treatment)
    if bool(optics.beam_tilt_mrad[group].any()) or bool(optics.odd_zernike[group].any()):
        result = result * ctf.odd_phase_plate(optics, box)[group]
    if data.mtf:
        detector = data.mtf[group]
        if detector is not None:
            result = result * detector.to(torch.float32)
    return result
