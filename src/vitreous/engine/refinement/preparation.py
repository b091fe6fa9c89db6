"""Particle images made ready for an expectation step (refinement.md sections 2 and 1.9).

Images of the CPU pass through compiled loops before and after their transforms
(`kernels.particle_images`); plain torch does the same step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from jaxtyping import Complex, Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.engine import ctf, fourier, masking
from vitreous.engine.kernels import particle_images
from vitreous.engine.refinement.data import BEYOND_MEASURE, BRIGHTEST, Data, usable
from vitreous.engine.refinement.disc import Disc
from vitreous.engine.refinement.images import Prepared, View
from vitreous.engine.refinement.randomness import white_noise
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, Model

_BATCH_PIXELS = 2**20  # of images transformed together: what stays in the cache


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
    parts = 6 if _differ(settings, seen, data, first=first) else 5
    same = seen.scored.radius == seen.disc.radius and not correlation
    n, shells = len(rows), seen.box_px // 2 + 1
    full = torch.empty(parts, n, len(seen.disc))
    scored = torch.empty(3, 0 if same else n, len(seen.scored))
    power, ctf2 = torch.zeros(2, n, shells, dtype=torch.float64)
    moved = torch.from_numpy(_rounded(assignments.origin_A[rows] / seen.pixel_size_A))
    bad = torch.zeros(n, dtype=torch.bool)
    one_pass = same and seen.box_px % 2 == 0 and particle_images.compiled() is not None
    step = max(1, _BATCH_PIXELS // seen.box_px**2)
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        batch = _Batch(
            data, rows[part], moved[part], seen, model, assignments, settings,
            plain=_plain(settings, first=first),
        )  # fmt: skip
        if batch.premultiplied:
            squares = (batch.scale[:, None, None] * batch.transfer).double()
            ctf2[part, : seen.disc.radius + 1] = fourier.shell_sum(squares, 2)
        if one_pass:
            bad[part], power[part] = batch.prepare_in_passes(full, start)
        else:
            bad[part], power[part] = batch.prepare_by_steps(
                full[:, part], None if same else scored[:, part], correlation=correlation
            )
    b_re, b_im, c = full[:3] if same else scored
    return Prepared(
        rows, seen, b_re, b_im, c, full[3], full[4], full[5 if parts == 6 else 2], full[0],
        full[1], full[2], power, moved, ctf2, bad,
    )  # fmt: skip


def transfers(
    data: Data, rows: NDArray[np.int64], seen: View, settings: Settings
) -> Float[Tensor, "n y xh"]:
    """Return the CTF of images of one optics group, squared where they were multiplied by it.

    Parameters
    ----------
    data, rows
        The particles.
    seen, settings
        What the group shares, and what was asked for; without correction it is 1.
    """
    size, image = seen.disc.size, settings.image
    if not image.correct_ctf:
        return torch.ones(len(rows), size, size // 2 + 1)
    treatment = ctf.Treatment(
        phase_flipped=image.phase_flipped,
        only_flip_phases=image.only_flip_phases,
        intact_first_peak=image.intact_first_peak,
        premultiplied=bool(data.premultiplied[seen.group]),
        padded=image.padded_ctf,
    )
    defocus = data.defocus.select(torch.from_numpy(rows))
    groups = torch.full((len(rows),), seen.group, dtype=torch.int64)
    return ctf.ctf(data.optics, defocus, size, group=groups, treatment=treatment)


@dataclass(frozen=True)
class _Batch:
    """Images that are prepared together; `plain` where they are compared without CTF."""

    data: Data
    rows: NDArray[np.int64]
    shift_px: Tensor
    seen: View
    model: Model
    assignments: Assignments
    settings: Settings
    plain: bool

    @property
    def premultiplied(self) -> bool:
        """Tell whether the images have one CTF in them already; the model then has two."""
        return bool(self.data.premultiplied[self.seen.group])

    @cached_property
    def transfer(self) -> Float[Tensor, "n y xh"]:
        """Return the CTF of images, squared where they were multiplied by it; 1 without."""
        return transfers(self.data, self.rows, self.seen, self.settings)

    @cached_property
    def scale(self) -> Float[Tensor, " n"]:
        """Return the scale of each image, with what the reference is scaled by."""
        return group_scale(self.model, self.assignments, self.rows) / self.seen.scale**2

    @property
    def inverse(self) -> Float[Tensor, "y xh"]:
        """Return 1 / sigma2 of pixels."""
        shells = fourier.shell_index(self.seen.disc.size, 2).clamp(max=len(self.seen.sigma2) - 1)
        return (1 / self.seen.sigma2[shells]).to(torch.float32)

    def prepare_in_passes(self, full: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """Prepare images as `Prepared` has them on the whole disc, from number `first` on.

        Returns
        -------
        tuple
            Which images are bad, and the power of each shell.
        """
        images = self.data.read(self.rows)
        pixels = torch.empty(2, *images.shape)
        bad = particle_images.enter(
            images, self._factor(), self.shift_px, self._window(),
            particle_images.Limits(BEYOND_MEASURE, BRIGHTEST), pixels,
        )  # fmt: skip
        if not self.settings.solvent.zero_mask:
            pixels[0] = self._filled(pixels[1])
        return bad, particle_images.weigh(
            self._corrected(fourier.forward_from_corner(pixels)), self.transfer, self.scale,
            self.inverse, _narrow_shells(self.seen.box_px), (full, first),
            plain=self.plain, premultiplied=self.premultiplied,
        )  # fmt: skip

    def prepare_by_steps(
        self, full: Tensor, scored: Tensor | None, *, correlation: bool
    ) -> tuple[Tensor, Tensor]:
        """Do the same in plain torch, which is the reference; also what is scored apart."""
        images = self.data.read(self.rows) * self._factor()[:, None, None]
        bad = ~usable(images)
        images[bad] = 0
        images = translated(images, self.shift_px)
        if self.settings.solvent.zero_mask:
            masked = masking.fill_outside(images, self._window())
        else:
            masked = self._filled(images)
        seen_by = [self._corrected(fourier.forward(array, 2)) for array in (masked, images)]
        disc_, inverse = self.seen.disc, self.inverse
        of_masked, of_whole = (fourier.crop(one, disc_.size, 2) for one in seen_by)
        transfer = self.scale[:, None, None] * self.transfer
        compared = self.scale[:, None, None].expand_as(transfer) if self.plain else transfer
        into = torch.ones_like(transfer) if self.premultiplied else transfer
        full[0], full[1] = disc_.pack(of_masked * (compared * inverse))
        full[2] = disc_.pack_real(compared**2 * inverse)
        full[3], full[4] = disc_.pack(of_whole * (into * inverse))
        if len(full) == 6:
            full[5] = disc_.pack_real(transfer * into * inverse)
        if scored is not None:
            few, factor = self.seen.scored, _twins(disc_) if correlation else inverse
            weight = fourier.crop((compared**2 * factor).to(torch.complex64), few.size, 2).real
            values = fourier.crop(of_masked * (compared * factor), few.size, 2)
            scored[0], scored[1] = few.pack(values)
            scored[2] = few.pack_real(weight)
        return bad, shell_powers(seen_by[0])

    def _corrected(self, transforms: Tensor) -> Tensor:
        """Undo odd aberrations and the transfer function of the detector."""
        optics, group = self.data.optics, self.seen.group
        if bool(optics.beam_tilt_mrad[group].any()) or bool(optics.odd_zernike[group].any()):
            transforms = transforms * _plate(self.data, group).conj()
        if self.data.mtf:
            transfer = self.data.mtf[group]
            if transfer is not None:
                transforms = transforms / transfer.to(transforms.real.dtype)
        return transforms

    def _factor(self) -> Float[Tensor, " n"]:
        """Return what brings images to a common norm."""
        if not self.settings.image.correct_norm:
            return torch.ones(len(self.rows))
        norm = np.maximum(self.assignments.norm[self.rows], 1e-10)
        return torch.from_numpy((self.model.mean_norm / norm).astype(np.float32))

    def _window(self) -> Float[Tensor, "y x"]:
        radius_px = mask_radius_px(self.seen, self.model, self.settings)
        return _window(self.seen.box_px, radius_px, self.settings.solvent.edge_px)

    def _filled(self, images: Tensor) -> Tensor:
        """Fill images with noise outside of the mask."""
        seen, seed = self.seen, self.settings.seed
        noise = torch.stack(
            [white_noise(seed, int(self.data.identity[row]), seen.box_px) for row in self.rows]
        )
        shells = fourier.shell_index(seen.box_px, 2).clamp(max=len(seen.sigma2) - 1)
        deviation = (seen.box_px * (2 * seen.sigma2).sqrt())[shells].to(torch.float32)
        fill = fourier.inverse(fourier.forward(noise, 2) * deviation, 2, seen.box_px)
        return torch.lerp(fill, images, self._window())


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
def _narrow_shells(size: int) -> Tensor:
    return _shells(size).view(size, -1).to(torch.int16)


@lru_cache(maxsize=16)
def _window(side: int, radius_px: float, edge_px: float) -> Tensor:
    return masking.sphere(side, 2, radius_px, edge_px)


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round halves away from zero."""
    return np.trunc(values + np.copysign(0.5, values))


def mask_radius_px(seen: View, model: Model, settings: Settings) -> float:
    """Return the radius of the circular mask; without a diameter, all of the reference's box."""
    diameter_A = settings.solvent.diameter_A
    if diameter_A <= 0:
        diameter_A = (model.box_px - settings.solvent.edge_px) * model.pixel_size_A
    return diameter_A / (2 * seen.pixel_size_A)


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


def _differ(settings: Settings, seen: View, data: Data, *, first: bool) -> bool:
    """Tell whether images weigh differently in the map and in comparisons, beside the mask."""
    return _plain(settings, first=first) or bool(data.premultiplied[seen.group])


def _plain(settings: Settings, *, first: bool) -> bool:
    """Tell whether references are compared without CTF: they have not been corrected for it."""
    return first and not settings.image.ctf_corrected_references
