"""Sums of moved frames: plain, weighted by dose, of even and odd frames, and their spectra.

A frame comes with the shift of every pixel. Where that differs over the field it is moved in real
space by cubic B-splines and transformed once; where it does not, by phases, which are exact.
B-splines leave the part ``sinc^4(k)`` of a wave of frequency k (cycles per pixel, each axis) and
let in its alias with ``sinc^4(1 - k)``. The sums are divided by the root of the sum of both squares
in the end, after which white noise is white again.

Weighted sums are ``sum_f w_f F_f / sqrt(sum_f w_f^2)`` (Grant & Grigorieff 2015), so that their
noise too is that of a single frame at every frequency.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import dose, fourier
from vitreous.engine.kernels import frames
from vitreous.engine.motion import correlation

Curve = Callable[[Tensor, float], Tensor]
_TABLE = 8192


@dataclass(frozen=True)
class Wanted:
    """Which sums are made.

    Parameters
    ----------
    shape
        ``(y, x)`` of the frames.
    size
        ``(y, x)`` of the sums: `shape`, or less for binning.
    pixel_size_A
        Of the sums.
    voltage_kV
        For dose weighting.
    dose_e_per_A2
        What the sample has received when each frame ends, in the order in which frames will be
        added; empty for no dose weighting.
    plain
        Make the unweighted sum; it is always made without doses.
    halves
        Make sums of even and odd frames too.
    spectrum_groups
        Frames (from 0, as they are added) whose sums the amplitude spectra are taken of.
    local
        Shifts differ over the field.
    """

    shape: tuple[int, int]
    size: tuple[int, int]
    pixel_size_A: float
    voltage_kV: float = 300.0
    dose_e_per_A2: tuple[float, ...] = ()
    plain: bool = True
    halves: bool = False
    spectrum_groups: tuple[range, ...] = ()
    local: bool = False


@dataclass(frozen=True)
class Sums:
    """What is left of a movie; what was not wanted is None.

    Parameters
    ----------
    plain, weighted
        ``(y, x)``.
    odd, even
        ``(y, x)`` of frames 1, 3, 5, ... and 2, 4, 6, ..., weighted where doses are given.
    spectrum
        ``(y, xh)``, sum of the amplitudes of groups of frames.
    """

    plain: Float[Tensor, "y x"] | None
    weighted: Float[Tensor, "y x"] | None
    odd: Float[Tensor, "y x"] | None
    even: Float[Tensor, "y x"] | None
    spectrum: Float[Tensor, "y xh"] | None


class FrameSums:
    """Takes frame after frame and returns the sums.

    Parameters
    ----------
    wanted
        Which.
    device
        Where they are added up.
    """

    def __init__(self, wanted: Wanted, device: torch.device) -> None:
        self._wanted, self._device = wanted, device
        self._n = 0
        self._decay = _radial(wanted, device, _decay) if wanted.dose_e_per_A2 else None
        n_sides = 2 if wanted.halves else 1
        self._plain = [self._zeros(wanted.plain or self._decay is None) for _ in range(n_sides)]
        self._weighted = [self._zeros(self._decay is not None) for _ in range(n_sides)]
        self._group = self._zeros(bool(wanted.spectrum_groups))
        self._spectrum = None if self._group is None else torch.zeros_like(self._group.real)
        self._moved = torch.empty(wanted.shape, device=device) if wanted.local else None
        self._wave = self._empty()

    def add(self, frame: Float[Tensor, "y x"], field_px: Float[Tensor, "2 6"]) -> None:
        """Add the next frame.

        Parameters
        ----------
        frame
            As it was recorded, gain applied and bad pixels repaired.
        field_px
            Its shift as in `local.field`, in pixels of the frame.
        """
        wanted = self._wanted
        if self._moved is not None:
            frame = frames.warp(frame, field_px, out=self._moved)
        wave = fourier.forward_from_corner(frame, wanted.size, self._wave).contiguous()
        if self._moved is None:
            along_y, along_x = correlation.ramps(field_px[None, :, 0], wanted.size, wanted.shape)
            wave.mul_(along_y[0, :, None]).mul_(along_x[0])
        side = self._n % len(self._plain)
        dose_now = wanted.dose_e_per_A2[self._n] if wanted.dose_e_per_A2 else 0.0
        frames.add_(
            wave, self._decay, dose_now, self._weighted[side], self._plain[side], self._group
        )
        self._n += 1
        ends = any(self._n == group.stop for group in wanted.spectrum_groups)
        if ends and self._spectrum is not None and self._group is not None:
            frames.add_modulus_(self._group, self._spectrum)

    def finish(self) -> Sums:
        """Return the sums; call once, after all frames."""
        del self._moved, self._wave  # as large as what takes their place
        doses = self._wanted.dose_e_per_A2
        sharpen = self._envelope() if self._wanted.local else None
        for part in (*self._plain, *self._weighted, self._spectrum):
            if part is not None and sharpen is not None:
                part.mul_(sharpen[0][:, None]).mul_(sharpen[1])
        halves: list[Tensor | None] = [None, None]
        if self._wanted.halves:
            shown = self._weighted if doses else self._plain
            halves = [self._image([wave], doses[s::2]) for s, wave in enumerate(shown)]
        return Sums(
            self._image(self._plain, ()),
            self._image(self._weighted, doses),
            halves[0],
            halves[1],
            self._spectrum,
        )

    def _empty(self) -> Complex[Tensor, "y xh"]:
        ny, nx = self._wanted.size
        return torch.empty((ny, nx // 2 + 1), dtype=torch.complex64, device=self._device)

    def _zeros(self, needed: bool) -> Complex[Tensor, "y xh"] | None:
        return self._empty().zero_() if needed else None

    def _image(
        self, waves: list[Tensor | None], doses: tuple[float, ...]
    ) -> Float[Tensor, "y x"] | None:
        """Return the image of one sum that may be kept in two parts."""
        parts = [wave for wave in waves if wave is not None]
        if not parts:
            return None
        total = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        if doses:
            total = total * _radial(self._wanted, self._device, _inverse_root(doses))
        return fourier.inverse_to_corner(total, self._wanted.size)

    def _envelope(self) -> tuple[Tensor, Tensor]:
        """Return what undoes the blur of B-splines, along y and along x of a half transform."""
        index = fourier.indices(self._wanted.size, 2, self._device)
        ky = index[:, 0, 1] / self._wanted.shape[0]
        kx = index[0, :, 0] / self._wanted.shape[1]
        return _spline_inverse(ky), _spline_inverse(kx)


def _spline_inverse(k_per_px: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    k = k_per_px.abs()
    return (torch.sinc(k) ** 8 + torch.sinc(1 - k) ** 8).rsqrt()


def _decay(k_per_A: Tensor, voltage_kV: float) -> Tensor:
    """Return the logarithm of the weight for each unit of dose."""
    return -0.5 / dose.critical_dose(k_per_A, voltage_kV)


def _inverse_root(doses: tuple[float, ...]) -> Curve:
    """Return the curve ``1 / sqrt(sum_f w_f^2)``."""

    def curve(k_per_A: Tensor, voltage_kV: float) -> Tensor:
        course = torch.tensor(doses, dtype=k_per_A.dtype)
        return dose.weights(course, k_per_A, voltage_kV).square().sum(0).rsqrt()

    return curve


def _radial(wanted: Wanted, device: torch.device, curve: Curve) -> Float[Tensor, "y xh"]:
    """Return a smooth function of the frequency at every pixel of a half transform.

    It is computed at a few thousand frequencies and interpolated, for a power at each of millions
    of pixels would take as long as a frame.
    """
    ny, nx = wanted.size
    index = fourier.indices((ny, 2), 2, device)[:, 0, 1] / ny
    along_x = torch.arange(nx // 2 + 1, device=device) / nx
    farthest = 0.5 * 2**0.5
    table = torch.linspace(0, farthest / wanted.pixel_size_A, _TABLE, dtype=torch.float64)
    values = curve(table, wanted.voltage_kV).to(torch.float32).to(device)
    place = (index[:, None].square() + along_x.square()).sqrt_().mul_((_TABLE - 1) / farthest)
    below = place.to(torch.int32).clamp_(max=_TABLE - 2)
    step = values.diff()
    return values[below].add_(step[below].mul_(place.sub_(below)))
