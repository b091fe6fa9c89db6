"""Sharpening of a map: detector, FSC weight, Guinier plot, B-factor (postprocessing.md section 4).

What is done to a map depends on the length of the frequency only: each step is a curve, given as a
table by the squared length in whole numbers (``q``, float64, to the corners), and curves are
multiplied before the map is touched once. It does not matter where a transform has its origin.
Guinier plot, weight by the FSC and the fit of a B-factor: Rosenthal & Henderson, J. Mol. Biol. 333,
721 (2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine import aberrations, filtering
from vitreous.engine.kernels import shells

LEAST_FSC = 1e-4
EMPTY_SHELL = -99.0


@dataclass(frozen=True)
class Line:
    """A straight line through a Guinier plot.

    Parameters
    ----------
    slope
        Of the logarithm of the amplitude over 1/d², in Å²; a quarter of the B-factor.
    intercept
        At 1/d² = 0.
    correlation
        Square of the correlation coefficient of the points.
    n_points
        Shells that it rests on.
    """

    slope: float
    intercept: float
    correlation: float
    n_points: int

    @property
    def b_factor_A2(self) -> float:
        """What flattens the plot; negative sharpens."""
        return 4 * self.slope


def flat(size: int) -> Float[Tensor, " q"]:
    """Return the curve that changes nothing in a map of a size."""
    return torch.ones(shells.squares_of(size, 3), dtype=torch.float64)


def mtf_curve(
    size: int,
    resolution_per_px: Float[Tensor, " m"],
    value: Float[Tensor, " m"],
    detector_px_per_px: float,
) -> Float[Tensor, " q"]:
    """Return what divides by the modulation transfer function of the detector, below Nyquist.

    Parameters
    ----------
    size
        Side of the map.
    resolution_per_px, value
        The table; see `aberrations.mtf`.
    detector_px_per_px
        Pixel size of the detector over that of the map.
    """
    k = _radius(size)
    curve = aberrations.mtf(resolution_per_px.to(k), value.to(k), k * detector_px_per_px)
    return torch.where(k < filtering.NYQUIST, 1 / curve, 1.0)


def fsc_curve(size: int, fsc: Float[Tensor, " s"]) -> Float[Tensor, " q"]:
    """Return ``sqrt(2 FSC / (1 + FSC))`` of each shell, as two halves make one map.

    Zero from the first shell whose correlation is below 0.0001, and beyond Nyquist.
    """
    weight = fsc_weights(fsc.to(torch.float64))
    shell = (_radius(size) * size + 0.5).floor().to(torch.int64)
    return torch.cat([weight, weight.new_zeros(1)])[shell.clamp(max=len(weight))]


def fsc_weights(fsc: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
    """Return the weights of `weight_by_fsc`."""
    lost = torch.cumsum(fsc < LEAST_FSC, 0) > 0
    positive = fsc.clamp(min=0)
    return torch.where(lost, 0.0, (2 * positive / (1 + positive)).sqrt())


def guinier(
    amplitudes: Float[Tensor, " inside"], size: int, curve: Float[Tensor, " q"] | None = None
) -> Float[Tensor, " s"]:
    """Return the logarithm of the mean amplitude of each shell up to Nyquist, float64.

    Parameters
    ----------
    amplitudes
        Of the transform of a map by squared length, from `shells.amplitudes`: one pass over the
        map serves all steps of the plot.
    size
        Side of the map.
    curve
        That the map is multiplied by; by default none.

    Returns
    -------
    Tensor
        -99 where a shell is empty.
    """
    sums = amplitudes.cpu()
    if curve is not None:
        sums = sums * curve[: len(sums)]
    mean = shells.by_shell(sums, size // 2 + 1) / shells.counts(size, 3)
    return torch.where(mean > 0, mean.clamp(min=1e-300).log(), EMPTY_SHELL)


def guinier_axis(box_px: int, pixel_size_A: float) -> Float[Tensor, " s"]:
    """Return 1/d² of each shell up to Nyquist in 1/Å², float64."""
    shells = torch.arange(box_px // 2 + 1, dtype=torch.float64)
    return (shells / (box_px * pixel_size_A)) ** 2


def fit_line(
    inverse_d2: Float[Tensor, " s"],
    log_amplitude: Float[Tensor, " s"],
    coarsest_A: float,
    finest_A: float = 0.0,
) -> Line | None:
    """Fit a line through the part of a Guinier plot between two resolutions.

    Returns
    -------
    Line or None
        None where fewer than two shells that are not empty lie there.
    """
    d = 1 / inverse_d2.clamp(min=1e-30).sqrt()
    # A resolution that lies on a shell includes it, however the shell is rounded.
    used = (d <= coarsest_A * (1 + 1e-6)) & (d >= finest_A * (1 - 1e-6))
    used &= log_amplitude > EMPTY_SHELL
    x, y = inverse_d2[used], log_amplitude[used]
    if len(x) < 2:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    slope = float((dx * dy).sum() / (dx * dx).sum())
    power = float((dx * dx).sum() * (dy * dy).sum())
    correlation = float((dx * dy).sum()) ** 2 / power if power > 0 else 1.0
    return Line(slope, float(y.mean() - slope * x.mean()), correlation, len(x))


def b_factor_curve(size: int, b_factor_A2: float, pixel_size_A: float) -> Float[Tensor, " q"]:
    """Return ``exp(-B k² / 4)`` up to Nyquist and 0 beyond; negative B sharpens."""
    k = _radius(size)
    curve = torch.exp(-b_factor_A2 / 4 * (k / pixel_size_A) ** 2)
    return torch.where(k <= filtering.NYQUIST, curve, 0.0)


def low_pass_curve(
    size: int, resolution_A: float, pixel_size_A: float, edge: int = filtering.EDGE_SHELLS
) -> Float[Tensor, " q"]:
    """Return what keeps all that is coarser than a resolution; see `filtering.low_pass`."""
    if not math.isfinite(resolution_A):
        return flat(size)
    return filtering.low_pass_curve(size, resolution_A, pixel_size_A, edge)(_radius(size))


def apply(
    transform: Complex[Tensor, "z y xh"], curve: Float[Tensor, " q"]
) -> Complex[Tensor, "z y xh"]:
    """Multiply the transform of a map by a curve."""
    return shells.multiply_(transform.clone(memory_format=torch.contiguous_format), curve)


def _radius(size: int) -> Float[Tensor, " q"]:
    """Return the length of each squared length in cycles per pixel, float64."""
    return torch.arange(shells.squares_of(size, 3), dtype=torch.float64).sqrt_() / size
