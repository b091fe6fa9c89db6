"""Which pixels count, and which shell of the reference each belongs to (sections 1.2, 1.6, 5.1).

Images of a group with another box or pixel size have frequencies ``rho`` times finer than those of
the reference, ``rho = (n_g a_g) / (N a)``. Radii are rounded twice: the pixel to a shell of the
image, the shell to one of the reference, halves up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vitreous.engine import ctf, fourier
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State

DOUBLE = torch.float64


@dataclass(frozen=True)
class Group:
    """An optics group in one iteration.

    Parameters
    ----------
    row, box_px, pixel_size_A, rho
        Which, its full box, its sampling, and how much finer its frequencies are.
    size_px, scored_px, coarse_px
        Sides of the transforms: for sums, for the likelihood of the fine and of the coarse pass.
    n_shells
        Shells of the reference, ``N / 2 + 1``.
    sigma2
        ``s``, power of the noise on them.
    magnification, plate, mtf
        ``2 2``; odd aberrations and detector on the half transform of the full box.
    """

    row: int
    box_px: int
    pixel_size_A: float
    rho: float
    size_px: int
    scored_px: int
    coarse_px: int
    n_shells: int
    sigma2: Tensor
    magnification: Tensor
    plate: Tensor
    mtf: Tensor | None
    premultiplied: bool

    def model_shell(self, size: int) -> Tensor:
        """Return the shell of the reference of each pixel, ``y xh``; may lie beyond the last."""
        return model_shell(shells(size), self.rho)

    def noise(self, size: int) -> Tensor:
        """Return the power of the noise at each pixel; the last shell goes on outwards."""
        return self.sigma2[self.model_shell(size).clamp(max=self.n_shells - 1)]

    def likely(self, size: int) -> Tensor:
        """Return one over the noise at the pixels of the likelihood, 0 at all others.

        The half plane without zero frequency and without corners.
        """
        noise = self.noise(size)
        counts = half_plane(size) & (shells(size) > 0) & (noise > 0)
        return torch.where(counts, 1 / noise.clamp(min=1e-300), 0.0)


@cache
def shells(size: int) -> Tensor:
    """Return the shell of each pixel of an image, ``y xh``."""
    return fourier.shell_index(size, 2)


@cache
def half_plane(size: int) -> Tensor:
    """Tell which pixels count in a sum: one of each Friedel pair, no corners."""
    return fourier.half_plane_mask(size, 2)


def model_shell(image_shell: Tensor, rho: float) -> Tensor:
    """Return shells of the reference of shells of an image: halves up."""
    return torch.floor(image_shell.to(DOUBLE) / rho + 0.5).to(torch.int64)


def groups(data: Data, state: State, settings: Settings, model: Model) -> list[Group]:
    """Return all optics groups as this iteration sees them."""
    result = []
    for row in range(len(data.optics)):
        box = int(data.optics.box_px[row])
        pixel_size_A = float(data.optics.pixel_size_A[row])
        rho = box * pixel_size_A / (model.box_px * model.pixel_size_A)
        size = image_size(state.schedule.current_size_px or model.box_px, rho, box)
        coarse = image_size(state.schedule.coarse_size_px or model.box_px, rho, box)
        scored = size
        if settings.searching.finest_A > 0:  # section 5.1, in both passes
            finest = 2 * math.floor(box * pixel_size_A / settings.searching.finest_A + 0.5)
            coarse = scored = min(size, finest)
        result.append(
            Group(
                row=row,
                box_px=box,
                pixel_size_A=pixel_size_A,
                rho=rho,
                size_px=size,
                scored_px=scored,
                coarse_px=min(coarse, scored),
                n_shells=model.box_px // 2 + 1,
                sigma2=model.sigma2_noise[row].to(DOUBLE),
                magnification=data.optics.magnification[row].to(DOUBLE),
                plate=ctf.odd_phase_plate(data.optics, box, DOUBLE)[row],
                mtf=data.mtf[row] if data.mtf else None,
                premultiplied=bool(data.premultiplied[row]),
            )
        )
    return result


def image_size(reference_size: int, rho: float, box_px: int) -> int:
    """Return the even side of a group's transforms that reaches as far as the reference's."""
    return min(box_px, 2 * math.ceil(reference_size * rho / 2 - 1e-9))
