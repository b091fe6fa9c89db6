"""Particle images made ready for an expectation step (refinement.md sections 2 and 1.9).

Each image exists twice: masked, for probabilities and noise, and unmasked, for the map. What the
comparison with a reference P needs of an image X with scale s, CTF C and noise sigma2 is three
numbers a pixel, ``b = s C X / sigma2`` and ``c = (s C)^2 / sigma2``, for then
``|X - s C P|^2 / 2 sigma2 = const - Re(b conj P) + c |P|^2 / 2``. What goes into the map is
``u = s C U / sigma2`` and ``m = s^2 C^2 / sigma2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import ctf, fourier, masking
from vitreous.engine.refinement import sizes
from vitreous.engine.refinement.data import Data, usable
from vitreous.engine.refinement.disc import Disc, disc
from vitreous.engine.refinement.randomness import white_noise
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model, State

_BATCH_PIXELS = 2**20  # of images transformed together: what stays in the cache


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


def prepare(
    data: Data,
    rows: NDArray[np.int64],
    seen: View,
    model: Model,
    assignments: Assignments,
    settings: Settings,
    *,
    correlation: bool = False,
    first: bool = False,
) -> Prepared:
    """Read, shift, mask, transform and weight images of one optics group.

    Parameters
    ----------
    data
        Where images come from.
    rows
        Particles, all of the group of `seen`.
    seen, model, assignments, settings
        The iteration.
    correlation
        Poses will be scored by cross-correlation.
    first
        The first iteration of all, in which references that are not CTF-corrected are compared
        without CTF.
    """
    n, m, p = len(rows), len(seen.scored), len(seen.disc)
    same = seen.scored.radius == seen.disc.radius and not correlation
    full = [torch.empty(n, p) for _ in range(6)]
    scored = full[:3] if same else [torch.empty(n, m) for _ in range(3)]
    power = torch.zeros(n, seen.box_px // 2 + 1, dtype=torch.float64)
    moved = torch.from_numpy(_rounded(assignments.origin_A[rows] / seen.pixel_size_A))
    premultiplied = bool(data.premultiplied[seen.group])
    ctf2 = torch.zeros(n, seen.box_px // 2 + 1, dtype=torch.float64)
    bad = torch.zeros(n, dtype=torch.bool)
    step = max(1, _BATCH_PIXELS // seen.box_px**2)
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        images = _scaled(data, rows[part], assignments, model, settings)
        bad[part] = ~usable(images)
        images[bad[part]] = 0
        images = translated(images, moved[part])
        masked = _masked(images, data, rows[part], seen, model, settings)
        seen_by = [_corrected(fourier.forward(array, 2), data, seen) for array in (masked, images)]
        power[part] = shell_powers(seen_by[0])
        scale = (group_scale(model, assignments, rows[part]) / seen.scale**2)[:, None, None]
        transfer = _transfer(data, rows[part], seen, settings)
        compared = torch.ones_like(transfer) if _plain(settings, first=first) else transfer
        if premultiplied:
            # The images have one CTF in them already: the model has two.
            m_values = scale * transfer
            into = torch.ones_like(transfer)
            ctf2[part, : seen.disc.radius + 1] = fourier.shell_sum(m_values.double(), 2)
        else:
            m_values = (scale * transfer) ** 2
            into = scale * transfer
        inverse = 1 / seen.sigma2[fourier.shell_index(seen.disc.size, 2).clamp(
            max=len(seen.sigma2) - 1)].to(torch.float32)  # fmt: skip
        cropped = [fourier.crop(t, seen.disc.size, 2) for t in seen_by]
        whitened = cropped[0] * (scale * compared * inverse)
        for target, values in zip(
            full,
            (
                *seen.disc.pack(whitened),
                seen.disc.pack_real((scale * compared) ** 2 * inverse),
                *seen.disc.pack(cropped[1] * (into * inverse)),
                seen.disc.pack_real(m_values * inverse),
            ),
            strict=True,
        ):
            target[part] = values
        if not same:
            factor = _twins(seen.disc) if correlation else inverse
            plain = fourier.crop(cropped[0] * (scale * compared * factor), seen.scored.size, 2)
            weight = fourier.crop(
                ((scale * compared) ** 2 * factor).to(torch.complex64), seen.scored.size, 2
            ).real
            packed = (*seen.scored.pack(plain), seen.scored.pack_real(weight))
            for target, value in zip(scored, packed, strict=True):
                target[part] = value
    b_re, b_im, c = scored
    full_b_re, full_b_im, full_c, u_re, u_im, m_all = full
    return Prepared(
        rows, seen, b_re, b_im, c, u_re, u_im, m_all, full_b_re, full_b_im, full_c, power, moved,
        ctf2, bad,
    )  # fmt: skip


def group_scale(
    model: Model, assignments: Assignments, rows: NDArray[np.int64]
) -> Float[Tensor, " n"]:
    """Return the scale factor of each particle's group, never below 0.001."""
    scale = model.group_scale[torch.from_numpy(assignments.scale_group[rows])]
    return scale.to(torch.float32).clamp(min=0.001)


def translated(
    images: Float[Tensor, "n y x"], shift_px: Float[Tensor, "n 2"]
) -> Float[Tensor, "n y x"]:
    """Move images by whole pixels; what comes in from outside is zero."""
    out = torch.zeros_like(images)
    side = images.shape[-1]
    for image, target, (x, y) in zip(images, out, shift_px.to(torch.int64).tolist(), strict=True):
        if abs(x) >= side or abs(y) >= side:
            continue
        target[max(y, 0) : side + min(y, 0), max(x, 0) : side + min(x, 0)] = image[
            max(-y, 0) : side - max(y, 0), max(-x, 0) : side - max(x, 0)
        ]
    return out


def shell_powers(transforms: Complex[Tensor, "n y xh"]) -> Float[Tensor, "n s"]:
    """Sum |F|^2 over the half plane by shells, in float64."""
    size = transforms.shape[-2]
    # Half the time of `view_as_real`: torch adds neighbours up slowly.
    squares = torch.addcmul(transforms.real.square(), transforms.imag, transforms.imag).flatten(1)
    sums = torch.zeros(len(squares), size // 2 + 2, dtype=torch.float64)
    return sums.index_add_(1, _shells(size), squares.to(torch.float64))[:, :-1]


@lru_cache(maxsize=16)
def _shells(size: int) -> Tensor:
    """Return the shell of each coefficient; those that do not count have one beyond the last."""
    counted = fourier.half_plane_mask(size, 2).flatten()
    return torch.where(counted, fourier.shell_index(size, 2).flatten(), size // 2 + 1)


@lru_cache(maxsize=16)
def _window(side: int, radius_px: float, edge_px: float) -> Tensor:
    return masking.sphere(side, 2, radius_px, edge_px)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round halves away from zero."""
    return np.trunc(values + np.copysign(0.5, values))


def _scaled(
    data: Data,
    rows: NDArray[np.int64],
    assignments: Assignments,
    model: Model,
    settings: Settings,
) -> Tensor:
    images = data.read(rows)
    if not settings.image.correct_norm:
        return images
    factor = model.mean_norm / np.maximum(assignments.norm[rows], 1e-10)
    return images * torch.from_numpy(factor.astype(np.float32))[:, None, None]


def mask_radius_px(seen: View, model: Model, settings: Settings) -> float:
    """Return the radius of the circular mask; without a diameter, all of the reference's box."""
    diameter_A = settings.solvent.diameter_A
    if diameter_A <= 0:
        diameter_A = (model.box_px - settings.solvent.edge_px) * model.pixel_size_A
    return diameter_A / (2 * seen.pixel_size_A)


def _masked(
    images: Tensor,
    data: Data,
    rows: NDArray[np.int64],
    seen: View,
    model: Model,
    settings: Settings,
) -> Tensor:
    window = _window(seen.box_px, mask_radius_px(seen, model, settings), settings.solvent.edge_px)
    if settings.solvent.zero_mask:
        return masking.fill_outside(images, window)
    noise = torch.stack(
        [white_noise(settings.seed, int(data.identity[row]), seen.box_px) for row in rows]
    )
    shells = fourier.shell_index(seen.box_px, 2).clamp(max=len(seen.sigma2) - 1)
    deviation = (seen.box_px * (2 * seen.sigma2).sqrt())[shells].to(torch.float32)
    fill = fourier.inverse(fourier.forward(noise, 2) * deviation, 2, seen.box_px)
    return torch.lerp(fill, images, window)


def _corrected(transforms: Tensor, data: Data, seen: View) -> Tensor:
    """Undo odd aberrations and the transfer function of the detector."""
    optics, group = data.optics, seen.group
    if bool(optics.beam_tilt_mrad[group].any()) or bool(optics.odd_zernike[group].any()):
        transforms = transforms * _plate(data, group).conj()
    if data.mtf:
        transfer = data.mtf[group]
        if transfer is not None:
            transforms = transforms / transfer.to(transforms.real.dtype)
    return transforms


def _twins(packing: Disc) -> Tensor:
    """Return how often a pixel is stored, which is how often it counts in a correlation."""
    size = packing.size
    ky = fourier.indices(size, 2)[..., 1]
    twice = (ky > 0) & (ky < size // 2)
    counts = torch.ones(size, size // 2 + 1)
    counts[twice[:, 0], 0] = 2
    return counts


_PLATES: dict[tuple[int, int], tuple[Data, Tensor]] = {}


def _plate(data: Data, group: int) -> Tensor:
    """Return the phase plate of a group, kept for as long as the same data are used."""
    key = (id(data), group)
    if key not in _PLATES:
        if len(_PLATES) > 64:
            _PLATES.clear()
        _PLATES[key] = (
            data,
            ctf.odd_phase_plate(data.optics, int(data.optics.box_px[group]))[group],
        )
    return _PLATES[key][1]


def _plain(settings: Settings, *, first: bool) -> bool:
    """Tell whether references are compared without CTF: they have not been corrected for it."""
    return first and not settings.image.ctf_corrected_references


def _transfer(data: Data, rows: NDArray[np.int64], seen: View, settings: Settings) -> Tensor:
    """Return the CTF of images, squared where they were multiplied by it; 1 without correction."""
    size = seen.disc.size
    if not settings.image.correct_ctf:
        return torch.ones(len(rows), size, size // 2 + 1)
    image = settings.image
    treatment = ctf.Treatment(
        phase_flipped=image.phase_flipped,
        only_flip_phases=image.only_flip_phases,
        intact_first_peak=image.intact_first_peak,
        premultiplied=bool(data.premultiplied[seen.group]),
        padded=image.padded_ctf,
    )
    chosen = torch.from_numpy(rows)
    group = torch.full((len(rows),), seen.group, dtype=torch.int64)
    return ctf.ctf(data.optics, data.defocus.select(chosen), size, group=group, treatment=treatment)
