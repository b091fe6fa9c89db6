"""The same sums in RELION's way: spectra of unmoved frames, and linear interpolation.

A frame is shifted as a whole and weighted in Fourier space, transformed back, and moved by the
local model between four pixels each (preprocessing.md section 3). It blurs high frequencies, and
costs two transforms for each frame and sum: it is there to be compared with.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import dose, fourier
from vitreous.engine.kernels import frames
from vitreous.engine.motion import correlation
from vitreous.engine.motion.sums import Sums, Wanted


class RelionSums:
    """Takes frame after frame and returns the sums, as `sums.FrameSums` does.

    Parameters
    ----------
    wanted
        Which.
    device
        Where they are added up.
    """

    def __init__(self, wanted: Wanted, device: torch.device) -> None:
        self._wanted, self._n = wanted, 0
        ny, nx = wanted.size
        self._doses = torch.tensor(wanted.dose_e_per_A2, device=device)
        k = dose.frequencies_per_A(wanted.size, wanted.pixel_size_A, device)
        self._k_per_A = k
        self._norms = [self._norm(self._doses)]
        if wanted.halves:
            self._norms = [self._norm(self._doses[side::2]) for side in range(2)] + self._norms
        self._images = {
            name: torch.zeros(ny, nx, device=device)
            for name, needed in (
                ("plain", wanted.plain or not wanted.dose_e_per_A2),
                ("weighted", bool(wanted.dose_e_per_A2)),
                ("odd", wanted.halves),
                ("even", wanted.halves),
            )
            if needed
        }
        self._group = torch.zeros(ny, nx // 2 + 1, dtype=torch.complex64, device=device)
        self._spectrum = torch.zeros(ny, nx // 2 + 1, device=device)

    def add(self, frame: Float[Tensor, "y x"], field_px: Float[Tensor, "2 6"]) -> None:
        """Add the next frame; see `sums.FrameSums.add`. The field holds the shift as a whole too.

        Parameters
        ----------
        frame
            As it was recorded, gain applied and bad pixels repaired.
        field_px
            Its shift in pixels of the frame.
        """
        wanted = self._wanted
        wave = fourier.forward_from_corner(frame, wanted.size).contiguous()
        self._group += wave
        whole, rest = field_px[:, :1], field_px.clone()
        rest[:, 0] = 0
        along_y, along_x = correlation.ramps(whole.T, wanted.size, wanted.shape)
        wave.mul_(along_y[0, :, None]).mul_(along_x[0])
        scale = torch.tensor(
            [[wanted.size[1] / wanted.shape[1]], [wanted.size[0] / wanted.shape[0]]],
            device=frame.device,
        )
        rest = rest * scale
        if "plain" in self._images:
            self._images["plain"] += self._moved(wave, rest)
        side = ("odd", "even")[self._n % 2]
        if "weighted" in self._images:
            weight = torch.exp(-0.5 * self._doses[self._n] / self._critical())
            self._images["weighted"] += self._moved(wave * weight * self._norms[-1], rest)
            if side in self._images:
                norm = self._norms[self._n % 2]
                self._images[side] += self._moved(wave * weight * norm, rest)
        elif side in self._images:
            self._images[side] += self._moved(wave, rest)
        self._n += 1
        if any(self._n == group.stop for group in wanted.spectrum_groups):
            frames.add_modulus_(self._group, self._spectrum)

    def finish(self) -> Sums:
        """Return the sums; call once, after all frames."""
        found = self._images
        return Sums(
            found.get("plain"),
            found.get("weighted"),
            found.get("odd"),
            found.get("even"),
            self._spectrum if self._wanted.spectrum_groups else None,
        )

    def _moved(self, wave: Tensor, field_px: Tensor) -> Float[Tensor, "y x"]:
        image = fourier.inverse_to_corner(wave, self._wanted.size)
        return frames.warp(image, field_px, cubic=False) if self._wanted.local else image

    def _critical(self) -> Tensor:
        return dose.critical_dose(self._k_per_A, self._wanted.voltage_kV)

    def _norm(self, doses: Tensor) -> Tensor:
        if not len(doses):
            return torch.ones((), device=doses.device)
        total = sum(torch.exp(-one / self._critical()) for one in doses)
        return torch.as_tensor(total).rsqrt()
