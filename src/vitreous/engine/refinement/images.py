"""Particle images as an expectation step sees them (refinement.md sections 2 and 1.9).

Each image exists twice: masked, for probabilities and noise, and unmasked, for the map. What the
comparison with a reference P needs of an image X with scale s, CTF C and noise sigma2 is three
numbers a pixel, ``b = s C X / sigma2`` and ``c = (s C)^2 / sigma2``, for then
``|X - s C P|^2 / 2 sigma2 = const - Re(b conj P) + c |P|^2 / 2``. What goes into the map is
``u = s C U / sigma2`` and ``m = s^2 C^2 / sigma2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.disc import Disc, disc
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, State


@dataclass(frozen=True)
class View:
    """What the images of an optics group share in an iteration.

    Parameters
    ----------
    group
        Row of the optics record.
    box_px, pixel_size_A
        Of the images.
    scale
        ``(box x pixel size) / (that of the reference)``, rho of section 1.6.
    disc
        Pixels that are summed.
    scored
        Pixels that are scored; the same unless a resolution limit says otherwise.
    coarse_radius, fine_radius
        Of the pixels that the first and the second pass compare.
    sigma2
        ``s``, noise power per component, by shells of the images; never 0.
    model_shell
        ``s``, shell of the reference for each shell of the images.
    in_halves
        Slices in half precision are good enough (`reach.rounding_nat`).
    """

    group: int
    box_px: int
    pixel_size_A: float
    scale: float
    disc: Disc
    scored: Disc
    coarse_radius: int
    fine_radius: int
    sigma2: Float[Tensor, " s"]
    model_shell: Int64[Tensor, " s"]
    in_halves: bool = False


@dataclass(frozen=True)
class Prepared:
    """Images of one optics group, packed (`disc.Disc`).

    Parameters
    ----------
    rows
        Of the particle table.
    view
        What the group shares.
    b_re, b_im, c
        ``n m`` on `View.scored`; without the division by sigma2 where poses are scored by
        correlation.
    u_re, u_im, m
        ``n m`` on `View.disc`.
    full_b_re, full_b_im, full_c
        As b and c, on `View.disc` and always divided by sigma2.
    power
        ``n s``, float64: |X|^2 summed over the half plane by shells of the full box.
    moved_px
        ``n 2``, whole pixels that images were shifted by.
    ctf2
        ``n s``: sum of s CTF^2 per shell, of premultiplied images only.
    bad
        ``n``, whether an image has values that are not finite; it is all zero here.
    """

    rows: NDArray[np.int64]
    view: View
    b_re: Float[Tensor, "n m"]
    b_im: Float[Tensor, "n m"]
    c: Float[Tensor, "n m"]
    u_re: Float[Tensor, "n p"]
    u_im: Float[Tensor, "n p"]
    m: Float[Tensor, "n p"]
    full_b_re: Float[Tensor, "n p"]
    full_b_im: Float[Tensor, "n p"]
    full_c: Float[Tensor, "n p"]
    power: Float[Tensor, "n s"]
    moved_px: Float[Tensor, "n 2"]
    ctf2: Float[Tensor, "n s"]
    bad: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    def to(self, device: torch.device) -> Prepared:
        """Return the same with the packed images on another device; small tables stay."""
        full_b_re, full_b_im = self.full_b_re.to(device), self.full_b_im.to(device)
        full_c = self.full_c.to(device)
        b_re, b_im, c = full_b_re, full_b_im, full_c
        if self.b_re is not self.full_b_re:
            b_re, b_im, c = self.b_re.to(device), self.b_im.to(device), self.c.to(device)
        return replace(
            self, b_re=b_re, b_im=b_im, c=c, u_re=self.u_re.to(device), u_im=self.u_im.to(device),
            m=self.m.to(device), full_b_re=full_b_re, full_b_im=full_b_im, full_c=full_c,
        )  # fmt: skip

    def select(self, which: slice | Int64[Tensor, " k"]) -> Prepared:
        """Return some of the images."""
        if isinstance(which, slice) and which.indices(len(self)) == (0, len(self), 1):
            return self
        same = self.b_re is self.full_b_re
        rows = self.rows[which] if isinstance(which, slice) else self.rows[which.numpy()]
        full = [array[which] for array in (self.full_b_re, self.full_b_im, self.full_c)]
        scored = full if same else [array[which] for array in (self.b_re, self.b_im, self.c)]
        return Prepared(
            rows, self.view, scored[0], scored[1], scored[2], self.u_re[which], self.u_im[which],
            self.m[which], full[0], full[1], full[2], self.power[which], self.moved_px[which],
            self.ctf2[which], self.bad[which],
        )  # fmt: skip


def moved_wholly(prepared: Prepared, assignments: Assignments) -> Prepared:
    """Move images by what rounding left of their shifts, where shifts are not searched."""
    seen = prepared.view
    wanted = torch.from_numpy(assignments.origin_A[prepared.rows]) / seen.pixel_size_A
    rest = wanted - prepared.moved_px

    def moved(real: Tensor, imaginary: Tensor, packing: Disc) -> tuple[Tensor, Tensor]:
        k = torch.stack([packing.kx, packing.ky]).to(torch.float64)
        turns = -2 * torch.pi * (rest @ k) / seen.box_px
        values = torch.complex(real, imaginary) * torch.polar(torch.ones_like(turns), turns).to(
            torch.complex64
        )
        return values.real.contiguous(), values.imag.contiguous()

    scored = moved(prepared.b_re, prepared.b_im, seen.scored)
    full = moved(prepared.full_b_re, prepared.full_b_im, seen.disc)
    into = moved(prepared.u_re, prepared.u_im, seen.disc)
    return replace(
        prepared, b_re=scored[0], b_im=scored[1], full_b_re=full[0], full_b_im=full[1],
        u_re=into[0], u_im=into[1], moved_px=wanted,
    )  # fmt: skip


def view(data: Data, state: State, settings: Settings, model: Model, group: int) -> View:
    """Return what an optics group shares in the iteration that `state` describes."""
    box, pixel_A = int(data.optics.box_px[group]), float(data.optics.pixel_size_A[group])
    scale = box * pixel_A / (model.box_px * model.pixel_size_A)
    size = min(box, 2 * math.ceil(0.5 * scale * state.schedule.current_size_px - 1e-9))
    likely = sizes.limited_size_px(size, settings.searching.finest_A, box * pixel_A)
    coarse = likely  # a limit set by the user holds in both passes
    limited = settings.searching.finest_A > 0
    if not limited and state.sampling.oversampling > 0 and state.schedule.coarse_size_px > 0:
        wanted = 2 * math.ceil(0.5 * scale * state.schedule.coarse_size_px - 1e-9)
        coarse = max(2, min(likely, wanted))
    shells = torch.arange(box // 2 + 1, dtype=torch.float64)
    model_shell = torch.floor(shells / scale + 0.5).to(torch.int64)
    inside = model_shell.clamp(max=model.sigma2_noise.shape[1] - 1)
    sigma2 = model.sigma2_noise[group].to(torch.float64)[inside]
    least = float(sigma2[sigma2 > 0].min()) if bool((sigma2 > 0).any()) else 1.0
    sigma2 = sigma2.clamp(min=least)
    return View(
        group, box, pixel_A, scale, disc(size // 2), disc(likely // 2), coarse // 2, likely // 2,
        sigma2, model_shell,
    )  # fmt: skip
