"""Whether particle images are what a refinement expects: measures, then verdicts.

A refinement expects white particles on a background of mean 0 and standard deviation 1
outside the particle's circle, with the noise of the camera at every frequency: the spectrum
of the noise is what weighs the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.dataset.findings import Finding
from vitreous.dataset.spectra import radial_power

LARGEST_BACKGROUND_MEAN = 0.2
BACKGROUND_SD = (0.8, 1.2)
FEWEST_IMAGES_FOR_CONTRAST = 10
CERTAIN_Z = 5.0
STEEP_DROP = 30.0
FADED_TO = 0.01
RAISED_TO = 4.0
EMPTIED_TO = 0.03
GONE_BELOW = 1e-5
LEAST_NOISE = 0.1


@dataclass(frozen=True)
class Measures:
    """What was measured on `n` images of one optics group.

    Parameters
    ----------
    background_mean, background_sd
        ``n``: over the pixels outside the circle that touches the edges.
    contrast
        ``n``: mean inside half of that circle minus `background_mean`, in units of
        `background_sd`; positive where the particle is white.
    power
        ``s``: mean power spectrum, of images scaled to a background deviation of 1.
    """

    background_mean: NDArray[np.float64]
    background_sd: NDArray[np.float64]
    contrast: NDArray[np.float64]
    power: NDArray[np.float64]


def measure(images: NDArray[np.floating]) -> Measures:
    """Measure background, contrast and spectrum.

    Parameters
    ----------
    images
        ``n y x``, finite, each with some variation (`usable` tells which have).
    """
    images = images.astype(np.float64)
    _, height, width = images.shape
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y - height // 2) / height, (x - width // 2) / width)
    outside = images[:, radius > 0.5]
    mean, sd = outside.mean(axis=1), outside.std(axis=1)
    scale = np.where(sd > 0, sd, 1.0)
    contrast = (images[:, radius < 0.25].mean(axis=1) - mean) / scale
    power = radial_power((images - mean[:, None, None]) / scale[:, None, None])
    return Measures(mean, sd, contrast, power.mean(axis=0))


def usable(images: NDArray[np.floating]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which images are finite, and which of all have any variation."""
    finite = np.isfinite(images).all(axis=(1, 2))
    varied = np.zeros(len(images), bool)
    varied[finite] = np.ptp(images[finite], axis=(1, 2)) > 0
    return finite, varied


def judge(measures: Measures, pixel_size_A: float, group: str) -> Iterator[Finding]:
    """Yield what is wrong with the images of optics group `group`."""
    for what in (
        _normalisation(measures),
        _contrast(measures.contrast),
        *_filtering(measures.power, pixel_size_A),
    ):
        if what:
            yield Finding(what, f"optics group {group}" if group else "")


def _normalisation(measures: Measures) -> str:
    mean = float(np.median(np.abs(measures.background_mean)))
    sd = float(np.median(measures.background_sd))
    low, high = BACKGROUND_SD
    if mean <= LARGEST_BACKGROUND_MEAN and low <= sd <= high:
        return ""
    return (
        f"The images are not normalised: outside the particle's circle their mean is "
        f"{np.median(measures.background_mean):.3g} and their standard deviation {sd:.3g}; 0 and "
        "1 were expected. Noise estimates and intensity scales start wrong, and RELION refuses "
        "such images. Extract the particles again with normalisation on."
    )


def _contrast(contrast: NDArray[np.float64]) -> str:
    if len(contrast) < FEWEST_IMAGES_FOR_CONTRAST:
        return ""
    middle = float(np.median(contrast))
    spread = 1.4826 * float(np.median(np.abs(contrast - middle)))
    z = middle / max(1.2533 * spread / np.sqrt(len(contrast)), 1e-12)
    if z > -CERTAIN_Z:
        return ""
    return (
        f"The particles look dark on a light background ({middle:.3f} standard deviations, "
        f"z = {z:.0f}); white particles were expected. Maps would come out inverted, or not at "
        "all where a reference is given. Invert the images and import again."
    )


def _filtering(power: NDArray[np.float64], pixel_size_A: float) -> Iterator[str]:
    """Yield what the spectrum says about earlier filtering; `power` ends in the corners."""
    nyquist = round((len(power) - 1) / np.sqrt(2))
    if nyquist < 12:
        return
    box_A = 2 * nyquist * pixel_size_A
    tiny = 1e-12 * float(power[1 : nyquist + 1].max())
    spectrum = np.maximum(power[: nyquist + 1], tiny)
    step = max(2, round(0.15 * nyquist))
    start = max(3, round(0.2 * nyquist))
    # Against all that follows, so that the zeros of a CTF are no edge.
    following = np.maximum.accumulate(spectrum[::-1])[::-1]
    drop = spectrum[start:-step] / following[start + step :]
    middle = float(np.median(spectrum[round(0.25 * nyquist) : round(0.55 * nyquist)]))
    end = float(np.median(spectrum[round(0.93 * nyquist) :]))
    # White noise of deviation 1 has this power in every shell; unfiltered images keep some of it.
    white = 1 / (2 * nyquist) ** 2
    has_lost_its_noise = float(spectrum[-step:].max()) < LEAST_NOISE * white
    falls = (
        end < GONE_BELOW * spectrum[1:4].max() or end < FADED_TO * middle or drop.max() > STEEP_DROP
    )
    if falls and has_lost_its_noise:
        edge = _edge(spectrum)
        yield (
            f"The images were low-pass filtered, band-limited or enlarged: their power falls away "
            f"at {box_A / edge:.1f} Å, noise included. Nothing finer can come out of them, and "
            "resolution estimates that lean on the noise will be too good. Import unfiltered "
            "particles."
        )
    elif end > RAISED_TO * middle:
        yield (
            f"The power of the images rises towards high frequency ({end / middle:.1f} times from "
            "half of Nyquist to Nyquist), as after sharpening or deconvolution. Noise will be "
            "taken for signal. Import particles as they were extracted."
        )
    if spectrum[1] < EMPTIED_TO * float(np.median(spectrum[3:9])):
        yield (
            f"The images were high-pass filtered: their power at {box_A:.0f} Å is "
            f"{spectrum[1] / np.median(spectrum[3:9]):.2g} of that at {box_A / 6:.0f} Å. Low-"
            "resolution shape and the mask around it will suffer. Import unfiltered particles."
        )


def _edge(spectrum: NDArray[np.float64]) -> int:
    """Return the shell where the power falls fastest: below a tenth of what it was shortly before.

    Where it nowhere falls so fast, it is the shell where it passes a tenth of its mean level.
    """
    near = max(2, round(0.06 * len(spectrum)))
    fall = spectrum[3:-near] / spectrum[3 + near :]
    steepest = 3 + int(fall.argmax())
    before = spectrum[steepest]
    if fall.max() < 10:
        steepest = len(spectrum) // 5
        before = float(np.median(spectrum[steepest : 2 * steepest]))
    below = np.flatnonzero(spectrum[steepest:] < before / 10)
    return steepest + int(below[0]) if below.size else len(spectrum) - 1
