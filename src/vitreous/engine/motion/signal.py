"""The weight of each frequency that measures shifts best, from the frames themselves.

With S the power of what all n frames share and N that of the noise of one, the correlation of a
frame with the sum of the others is most exact with the weight ``S / (N (n S + N))``: the
maximum-likelihood one of Hannan & Thomson (1973, Proc. IEEE 61, 1520) for two noisy signals. Both
powers are measured on frames that are aligned nearly. A fixed B throws away what frames share at
high frequencies, and these tell shifts best.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int64
from torch import Tensor

from vitreous.engine import fourier
from vitreous.engine.kernels import frames
from vitreous.engine.motion import correlation
from vitreous.engine.motion.stacks import size_of

_SHELLS = 256
_HIGHEST = 0.5 * 2**0.5
_SIGNIFICANT = 3.0
_PATTERN = 2.0
_FRAMES_MEASURED = 8
_NEIGHBOURS = 2
_AXIS = 1  # lines of the transform that gaps between opposite edges and bad columns show up in


@dataclass(frozen=True)
class Curve:
    """A weight as a function of frequency.

    Parameters
    ----------
    weights
        ``(s,)``, of shells from 0 to the corner of the transform of a frame.
    """

    weights: Float[Tensor, " s"]

    def over(self, size: tuple[int, int], shape: tuple[int, int]) -> Float[Tensor, "y xh"]:
        """Return the weight of each pixel of the low frequencies ``size`` of images of a shape."""
        device = self.weights.device
        weight = self.weights[_shells(size, shape, device)]
        index = fourier.indices(size, 2, device).abs()
        return torch.where((index <= _AXIS).any(-1), 0.0, weight)


def measure(
    spectra: Complex[Tensor, "p f y xh"], shift_px: Float[Tensor, "p f 2"], shape: tuple[int, int]
) -> Curve | None:
    """Return the best weight, or None where frames share nothing that can be told from noise.

    A shell in which unmoved frames share more than aligned ones shows the detector, not the
    specimen, and gets no weight.

    Parameters
    ----------
    spectra
        Low frequencies of the frames of stacks that share one weight.
    shift_px
        What aligns them, nearly.
    shape
        ``(y, x)`` of the frames.
    """
    n_stacks, n = spectra.shape[:2]
    shells = _shells(size_of(spectra), shape, spectra.device).flatten()
    count = _smooth(torch.bincount(shells, minlength=_SHELLS).to(torch.float64))
    aligned, still, single = (torch.zeros_like(count) for _ in range(3))
    some = range(0, n, max(1, n // _FRAMES_MEASURED))
    for stack, shift in zip(spectra, shift_px, strict=True):
        aligned += _shell_mean(_total(stack, shift, shape), shells, count)
        still += _shell_mean(_total(stack, torch.zeros_like(shift), shape), shells, count)
        for number in some:
            single += _shell_mean(stack[number], shells, count) / len(some)
    signal = (aligned / n - single) / (n - 1)
    pattern = (still / n - single) / (n - 1)
    noise = (single - signal).clamp(min=1e-30)
    error = noise / ((n - 1) * (n_stacks * count).clamp(min=1).sqrt())
    certain = (signal > _SIGNIFICANT * error) & (pattern < _PATTERN * signal)
    certain[0] = False
    if not bool(certain.any()):
        return None
    weights = torch.where(certain, signal / (noise * (n * signal + noise)), 0.0)
    return Curve((weights / weights.max()).to(torch.float32))


def _total(stack: Tensor, shift_px: Tensor, shape: tuple[int, int]) -> Complex[Tensor, "y xh"]:
    along_y, along_x = correlation.ramps(shift_px, size_of(stack), shape)
    total = torch.zeros_like(stack[0])
    frames.add_moved_(stack, along_y, along_x, total)
    return total


def _shells(
    size: tuple[int, int], shape: tuple[int, int], device: torch.device
) -> Int64[Tensor, "y xh"]:
    """Return the shell of each pixel; shells have one width in cycles per pixel of the frame."""
    index = fourier.indices(size, 2, device)
    k = torch.hypot(index[..., 0] / shape[1], index[..., 1] / shape[0])
    return (k * (_SHELLS / _HIGHEST)).to(torch.int64).clamp(max=_SHELLS - 1)


def _shell_mean(wave: Tensor, shells: Tensor, count: Tensor) -> Tensor:
    power = (wave.real.square() + wave.imag.square()).flatten()
    total = torch.zeros(_SHELLS, dtype=torch.float64, device=wave.device)
    total.index_add_(0, shells, power.to(torch.float64))
    return _smooth(total) / count.clamp(min=1)


def _smooth(values: Float[Tensor, " s"]) -> Float[Tensor, " s"]:
    """Add up neighbouring shells; one alone is too uncertain."""
    summed = values.cumsum(0)
    reach = _NEIGHBOURS
    padded = torch.cat([summed.new_zeros(reach + 1), summed, summed[-1:].expand(reach)])
    return padded[2 * reach + 1 :] - padded[: -2 * reach - 1]
