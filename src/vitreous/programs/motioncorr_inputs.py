"""What all movies of a motion correction job share: gain reference and defects, read once."""

from __future__ import annotations

import threading
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.io import write_mrc
from vitreous.io.gain import read_defects, read_eer_gain, read_gain
from vitreous.io.image_refs import split_format
from vitreous.io.movies import EER_FORMATS, Movie, open_movie
from vitreous.jobs.motioncorr import MotionCorr
from vitreous.programs.motioncorr_settings import Extra, gain_turn


class Detector:
    """Opens movies, and gives their gain and defects on a device.

    Parameters
    ----------
    options, extra
        Of the job.
    folder
        The job folder, where a turned gain reference is kept.
    n_threads
        That decode frames.
    """

    def __init__(self, options: MotionCorr, extra: Extra, folder: str, n_threads: int) -> None:
        self._options, self._extra = options, extra
        self._n_threads = n_threads
        self._folder = folder
        self._lock = threading.Lock()
        self._gains: dict[tuple[bool, tuple[int, int], torch.device], Tensor] = {}
        self._defects: dict[tuple[int, int], Tensor] = {}

    def open(self, name: str) -> Movie:
        """Open a movie."""
        return open_movie(
            name,
            eer_grouping=self._options.eer_grouping,
            eer_upsampling=self._extra.eer_upsampling,
            n_threads=self._n_threads,
        )

    @property
    def gain_name(self) -> str:
        """The file with the gain as it is applied; empty without one."""
        is_turned = any(gain_turn(self._options))
        kept = f"{self._folder}gain.mrc" if is_turned else self._options.gain_reference
        return kept if self._options.gain_reference else ""

    def gain(
        self, movie: str, shape: tuple[int, int], device: torch.device
    ) -> Float[Tensor, "y x"] | None:
        """Return what frames of a movie are multiplied by; None for nothing."""
        if not self._options.gain_reference:
            return None
        key = (is_eer(movie), shape, device)
        with self._lock:
            if key not in self._gains:
                self._gains[key] = self._read_gain(*key)
            return self._gains[key]

    def _read_gain(
        self,
        eer: bool,
        shape: tuple[int, int],
        device: torch.device,
    ) -> Tensor:
        path = self._options.gain_reference
        if eer:
            values = read_eer_gain(path, shape)
        else:
            turn, flip = gain_turn(self._options)
            values = read_gain(path, shape, rotation=turn, flip=flip)
            if self.gain_name != path and not Path(self.gain_name).exists():
                write_mrc(self.gain_name, values, 0.0)
        return torch.from_numpy(values).to(device)

    def defects(self, shape: tuple[int, int]) -> Bool[Tensor, "y x"] | None:
        """Return which pixels the defect file calls bad; None without one."""
        if not self._options.defects:
            return None
        with self._lock:
            if shape not in self._defects:
                self._defects[shape] = torch.from_numpy(read_defects(self._options.defects, shape))
            return self._defects[shape]


def is_eer(movie: str) -> bool:
    """Tell an EER movie by its name."""
    return split_format(movie)[1] in EER_FORMATS
