"""Correlation of each frame of a stack with the sum of all others, at a few shifts.

With the shift ``s_f`` that a frame has so far, R the weighted sum of all frames thus moved, and t
a step further (preprocessing.md section 3)::

    CC_f(t) = sum_k W(k) [R(k) - F_f(k) moved] conj(F_f(k) moved) exp(2 pi i k t)

Only a few values of t are ever needed, so that two thin matrix products take the place of an
inverse transform, and the shift of a frame enters them as phases: frames are never rewritten.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from vitreous.engine.kernels import frames
from vitreous.engine.motion import correlation


@dataclass(frozen=True)
class Window:
    """The steps at which correlations are wanted.

    Parameters
    ----------
    step
        Their distance, in pixels of the correlation map.
    reach
        How many there are to either side along x and y, and one more for parabolas.
    """

    step: float
    reach: tuple[int, int]


class Stacks:
    """Low frequencies of frames, several stacks of them, to be aligned each in itself.

    Parameters
    ----------
    spectra
        ``p f y xh``: low frequencies, origin at the first pixel.
    shape
        ``(y, x)`` of the frames that they were cropped from.
    weight
        ``y xh``, W.
    """

    def __init__(
        self,
        spectra: Complex[Tensor, "p f y xh"],
        shape: tuple[int, int],
        weight: Float[Tensor, "y xh"],
    ) -> None:
        self.spectra, self.shape = spectra, shape
        self.size = size_of(spectra)
        self._weight = weight.clone()
        self._weight[:, 1:-1] *= 2  # the half that is not stored
        self._own: dict[Window, Tensor] = {}

    def __len__(self) -> int:
        """Return the number of stacks."""
        return len(self.spectra)

    @property
    def n_frames(self) -> int:
        """Frames in each stack."""
        return self.spectra.shape[1]

    def scale(self) -> Float[Tensor, 2]:
        """Return the pixels of a frame in one pixel of the correlation map, x y."""
        sizes = [self.shape[1] / self.size[1], self.shape[0] / self.size[0]]
        return torch.tensor(sizes, dtype=torch.float64, device=self.spectra.device)

    def window(self, step: float, reach_px: float) -> Window:
        """Return a window that reaches `reach_px` pixels of a frame to either side."""
        ratios = [n / size for n, size in zip(self.shape, self.size, strict=True)]
        reach = [
            max(1, min(int(reach_px / (ratio * step)), int(size / (2 * step)) - 2))
            for ratio, size in zip(ratios, self.size, strict=True)
        ]
        return Window(step, (reach[1], reach[0]))

    def maps(self, shift_px: Float[Tensor, "p f 2"], window: Window) -> Float[Tensor, "p f wy wx"]:
        """Return the correlation of every frame at the steps of a window.

        Parameters
        ----------
        shift_px
            What moves each frame so far, x y.
        window
            Steps from there.
        """
        flat_y, flat_x = correlation.ramps(shift_px.flatten(0, 1), self.size, self.shape)
        along_y = flat_y.reshape(*shift_px.shape[:2], -1)
        along_x = flat_x.reshape(*shift_px.shape[:2], -1)
        window_y, window_x = self._ramps(window, shift_px)
        maps = torch.empty(
            *shift_px.shape[:2], len(window_y), len(window_x), device=self.spectra.device
        )
        for number, stack in enumerate(self.spectra):
            total = torch.zeros_like(stack[0])
            frames.add_moved_(stack, along_y[number], along_x[number], total)
            reference = (total.conj() * self._weight).resolve_conj()
            rows = window_y * along_y[number, :, None]
            columns = window_x * along_x[number, :, None]
            summed = frames.correlate(stack, reference, rows)
            maps[number] = (summed @ columns.mT).real
        return maps - self._autocorrelation(window, window_y, window_x)

    def _ramps(self, window: Window, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the phases of the steps of a window, ``(wy, y)`` and ``(wx, xh)``."""
        scale = self.scale() * window.step
        steps = []
        for axis, reach in enumerate(window.reach):
            count = torch.arange(-reach - 1, reach + 2, dtype=torch.float64, device=like.device)
            shift = torch.zeros(len(count), 2, dtype=torch.float64, device=like.device)
            shift[:, axis] = count * scale[axis]
            steps.append(correlation.ramps(shift, self.size, self.shape)[1 - axis])
        return steps[1], steps[0]

    def _autocorrelation(
        self, window: Window, window_y: Tensor, window_x: Tensor
    ) -> Float[Tensor, "p f wy wx"]:
        """Return what a frame adds to its own correlation; no shift changes that."""
        if window not in self._own:
            own = torch.empty(
                len(self), self.n_frames, len(window_y), len(window_x), device=window_y.device
            )
            for number, stack in enumerate(self.spectra):
                summed = frames.correlate_own(stack, self._weight, window_y)
                own[number] = (summed @ window_x.mT).real
            self._own[window] = own
        return self._own[window]


def size_of(spectra: Complex[Tensor, "*b y xh"]) -> tuple[int, int]:
    """Return ``(y, x)`` of the images behind half transforms; x is even."""
    return spectra.shape[-2], 2 * (spectra.shape[-1] - 1)
