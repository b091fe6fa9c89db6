"""The detector: transfer, gain, defects, and counting (Vulovic et al. 2013, section 2.4).

Expected electrons are filtered with the square root of the DQE, counted (Poisson), and, where the
detector integrates, blurred with what is left of the MTF. A counting detector has white noise, so
that its MTF is the root of its DQE.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from vitreous.errors import FormatError, MissingFileError
from vitreous.io import read_star

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Transfer:
    """How sharply a detector sees.

    Parameters
    ----------
    mtf_file
        STAR file with rlnResolutionInversePixel and rlnMtfValue; empty for pixels that count
        every electron that hits them (MTF = sinc).
    perfect
        No blur at all: every frequency as strong as the lowest.
    """

    mtf_file: str = ""
    perfect: bool = False

    def root_dqe(self, k_per_px: Array) -> Array:
        """Return the amplitude that is transferred at frequencies in 1/pixel (Nyquist 0.5)."""
        if self.perfect:
            return np.ones_like(k_per_px)
        if not self.mtf_file:
            return np.asarray(np.sinc(k_per_px))
        k, value = read_mtf(self.mtf_file)
        return np.asarray(np.interp(k_per_px, k, value))


@dataclass(frozen=True)
class Detector:
    """One detector with its flaws.

    Parameters
    ----------
    gain
        ``(y, x)``, what frames are multiplied by; 0 where a pixel is dead.
    hot_rate
        ``(y, x)``, electrons counted in each frame besides those that arrived.
    defects
        Rectangles ``(x, y, width, height)`` that are listed in the defect file.
    hot_px
        ``(n, 2)``, x y of hot pixels, which are in no file.
    """

    gain: Floats
    hot_rate: Floats
    defects: tuple[tuple[int, int, int, int], ...]
    hot_px: npt.NDArray[np.int64]

    def expose(
        self, expected: Floats, transfer: Transfer, rng: np.random.Generator
    ) -> npt.NDArray[np.uint16]:
        """Return what the detector writes for one frame.

        Parameters
        ----------
        expected
            ``(y, x)``, mean number of electrons that arrive at each pixel.
        transfer
            Its sharpness.
        rng
            Source of randomness.
        """
        sharp = seen(expected, transfer)
        sensitivity = np.divide(1, self.gain, out=np.zeros_like(self.gain), where=self.gain > 0)
        rate = np.clip(sharp, 0, None) * sensitivity
        for x, y, width, height in self.defects:
            rate[y : y + height, x : x + width] = 0
        return rng.poisson(rate + self.hot_rate).astype(np.uint16)


def seen(expected: Floats, transfer: Transfer) -> Floats:
    """Return the expected counts after the blur of the detector; the mean is kept."""
    shape = expected.shape
    k = np.hypot(fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1]))
    waves = fft.rfft2(expected) * transfer.root_dqe(k).astype(np.float32)
    return np.asarray(fft.irfft2(waves, shape), np.float32)


def ideal_detector(shape: tuple[int, int]) -> Detector:
    """Return a detector without flaws."""
    flat, none = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    return Detector(flat, none, (), np.zeros((0, 2), np.int64))


def random_detector(
    shape: tuple[int, int],
    counts_per_frame: float,
    rng: np.random.Generator,
    *,
    n_dead: int = 8,
    n_hot: int = 6,
    spread: float = 0.04,
) -> Detector:
    """Draw a detector: uneven pixels and columns, dead pixels, a dead column, hot pixels.

    Parameters
    ----------
    shape
        ``(y, x)``.
    counts_per_frame
        Mean number of electrons in a pixel of a frame; hot pixels count far more.
    rng
        Source of randomness.
    n_dead, n_hot
        How many pixels never count, and how many always do.
    spread
        Relative deviation of the sensitivity from pixel to pixel.
    """
    rows, columns = shape
    sensitivity = rng.normal(1, spread, shape)
    sensitivity += rng.normal(0, spread / 2, columns)  # read-out columns
    bands = rng.normal(0, spread, max(1, columns // 256))
    sensitivity += np.repeat(bands, -(-columns // len(bands)))[:columns]
    slow = ndimage.zoom(rng.normal(0, spread, (4, 4)), (rows / 4, columns / 4), order=1)
    sensitivity += np.resize(slow, shape) if slow.shape != shape else slow
    sensitivity = np.clip(sensitivity, 0.3, 3)
    gain = (1 / sensitivity / (1 / sensitivity).mean()).astype(np.float32)
    places = rng.choice(rows * columns, n_dead + n_hot, replace=False)
    y, x = np.unravel_index(places, shape)
    gain[y[:n_dead], x[:n_dead]] = 0
    hot = np.zeros(shape, np.float32)
    hot[y[n_dead:], x[n_dead:]] = 3 * counts_per_frame + 15
    defects = ((int(rng.integers(columns)), 0, 1, rows),)
    return Detector(gain, hot, defects, np.stack([x[n_dead:], y[n_dead:]], 1))


def read_mtf(path: str) -> tuple[Array, Array]:
    """Return frequencies (1/pixel) and values of an MTF in a STAR file."""
    if not Path(path).is_file():
        raise MissingFileError(f"{path}: no such file; wanted a STAR file with an MTF.")
    labels = ("rlnResolutionInversePixel", "rlnMtfValue")
    for table in read_star(path).tables:
        if all(label in table for label in labels):
            k, value = (np.asarray(table[label], np.float64) for label in labels)
            if np.isfinite(value).all() and (value >= 0).all() and (np.diff(k) > 0).all():
                return k, value
            raise FormatError(f"{path}: an MTF needs rising frequencies and values from 0 up.")
    raise FormatError(f"{path}: no table with {labels[0]} and {labels[1]}; wanted an MTF.")
