"""What surrounds the molecules: vitreous ice, and on request carbon and contamination.

The phase that ice makes is Gaussian noise with the power of its water molecules and their order.
Molecules of ice wander under the beam: McMullan et al. 2015 (Ultramicroscopy 158, 26) find a mean
square of about 1 Å² for each e/Å², so that the fine grain of one frame is forgotten by the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from vitreous.testing.simulate.scattering import (
    elastic_factor,
    ice_phase_power_A2,
    phase_per_amplitude_A,
)

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Waves = npt.NDArray[np.complex64]

_WANDER_A2_PER_E_PER_A2 = 1.0
_MEAN_FREE_PATH_A = 3000.0  # for all scattering that does not reach the image
_CARBON_ATOMS_PER_A3 = 0.1
_CARBON_PATH_A = 1600.0


@dataclass(frozen=True)
class Surroundings:
    """What there is besides molecules.

    Parameters
    ----------
    thickness_A
        Of the ice; 0 for none.
    variation
        Relative change of the thickness across the micrograph.
    carbon
        Share of the micrograph covered by a carbon film with a round edge, 0 to 1.
    carbon_thickness_A
        Of the film.
    n_contaminations
        Crystals of ice on top.
    """

    thickness_A: float = 400.0
    variation: float = 0.15
    carbon: float = 0.0
    carbon_thickness_A: float = 150.0
    n_contaminations: int = 0


def ice_frames(
    surroundings: Surroundings,
    shape: tuple[int, int],
    k_per_A: Array,
    pixel_size_A: float,
    voltage_kV: float,
    doses_e_per_A2: Array,
    rng: np.random.Generator,
) -> Iterator[Waves]:
    """Yield the transform of the ice of each frame: twice the phase, as white contrast.

    Parameters
    ----------
    surroundings
        Thickness of the ice.
    shape
        ``(y, x)`` of the frames.
    k_per_A
        ``(y, xh)`` of the half plane.
    pixel_size_A, voltage_kV
        Of the image.
    doses_e_per_A2
        ``(f,)`` dose of each frame; the ice wanders between their middles.
    rng
        Source of randomness.
    """
    power = ice_phase_power_A2(k_per_A, surroundings.thickness_A, voltage_kV)
    amplitude = (2 * np.sqrt(power) / pixel_size_A).astype(np.float32)
    waves = _white(shape, rng)
    for number, dose in enumerate(doses_e_per_A2):
        if number:
            between = (doses_e_per_A2[number - 1] + dose) / 2
            kept = remembered(k_per_A, between).astype(np.float32)
            fresh = np.sqrt(1 - kept**2) * _white(shape, rng)
            waves = np.asarray(kept * waves + fresh, np.complex64)
        # Within the frame the grain is blurred too.
        yield waves * amplitude * np.sqrt(blur_power(k_per_A, dose)).astype(np.float32)


def remembered(k_per_A: Array, dose_e_per_A2: float) -> Array:
    """Return the correlation of the ice with itself a dose earlier, 0 to 1."""
    variance_A2 = _WANDER_A2_PER_E_PER_A2 * dose_e_per_A2 / 3
    return np.asarray(np.exp(-2 * np.pi**2 * variance_A2 * k_per_A**2))


def blur_power(k_per_A: Array, dose_e_per_A2: float) -> Array:
    """Return the share of the power of the ice that is left in the mean over a dose.

    The mean of exp(-a |s - t|) over all pairs of times in an interval of length 1 is
    2 (a - 1 + exp(-a)) / a^2.
    """
    a = 2 * np.pi**2 * _WANDER_A2_PER_E_PER_A2 * dose_e_per_A2 / 3 * k_per_A**2
    safe = np.maximum(a, 1e-3)
    return np.where(a < 1e-3, 1 - a / 3, 2 * (safe - 1 + np.exp(-safe)) / safe**2)


@dataclass(frozen=True)
class Background:
    """What does not change from frame to frame but moves with the specimen.

    Parameters
    ----------
    transmission
        ``(y, x)``, share of the electrons that reach the image, about 1 where ice is even.
    grain
        ``(y, x)``, twice the phase of carbon and crystals, before the CTF; None where there is
        neither.
    """

    transmission: Floats
    grain: Floats | None


def background(
    surroundings: Surroundings,
    shape: tuple[int, int],
    pixel_size_A: float,
    voltage_kV: float,
    rng: np.random.Generator,
) -> Background:
    """Draw the slow changes of the ice, the carbon film and the contaminations of a micrograph."""
    slow = ndimage.zoom(rng.normal(size=(5, 5)), (shape[0] / 5, shape[1] / 5), order=3)
    slow = _fit(slow, shape) / max(float(np.std(slow)), 1e-9)
    ice_A = surroundings.thickness_A * surroundings.variation * slow
    lost = ice_A / _MEAN_FREE_PATH_A
    if surroundings.carbon <= 0 and surroundings.n_contaminations == 0:
        return Background(np.exp(-lost).astype(np.float32), None)
    film = _film(surroundings.carbon, shape, rng)
    crystals_A = _crystals(surroundings.n_contaminations, shape, pixel_size_A, rng)
    lost = lost + film * surroundings.carbon_thickness_A / _CARBON_PATH_A
    lost = lost + crystals_A / _MEAN_FREE_PATH_A
    thickness_A = film * surroundings.carbon_thickness_A + 0.15 * crystals_A
    grain = _carbon_grain(shape, pixel_size_A, voltage_kV, rng) * np.sqrt(thickness_A)
    return Background(np.exp(-lost).astype(np.float32), grain.astype(np.float32))


def moved(image: Floats, dx_px: Array, dy_px: Array) -> Floats:
    """Return an image whose content moves by a smooth field, interpolated with six points.

    Parameters
    ----------
    image
        ``(y, x)``.
    dx_px, dy_px
        Displacement of the content at each pixel; shapes broadcast to ``(y, x)``. The field is so
        smooth that the value where content arrives stands for that where it came from.
    """
    along_x = _slide(image, np.broadcast_to(dx_px, image.shape))
    turned = _slide(np.ascontiguousarray(along_x.T), np.broadcast_to(dy_px, image.shape).T)
    return np.ascontiguousarray(turned.T)


def _slide(image: Floats, by_px: Array) -> Floats:
    """Move the content of each row by amounts that change along it (windowed sinc of 6 points)."""
    rows, columns = image.shape
    source = np.arange(columns, dtype=np.float32) - by_px.astype(np.float32)
    first = np.floor(source)
    fraction = source - first
    start = first.astype(np.int32)
    result = np.zeros(image.shape, np.float32)
    offset = (np.arange(rows, dtype=np.int64) * columns)[:, None]
    flat = image.reshape(-1)
    table = _lanczos_table()
    step = (fraction * (len(table) - 1)).astype(np.int32)
    for tap in range(6):
        taken = np.clip(start + (tap - 2), 0, columns - 1) + offset
        result += table[step, tap] * flat[taken]
    return result


@lru_cache(maxsize=1)
def _lanczos_table() -> Floats:
    x = np.linspace(0, 1, 2049)[:, None] + 2 - np.arange(6)
    weights = np.sinc(x) * np.sinc(x / 3) * (np.abs(x) < 3)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _white(shape: tuple[int, int], rng: np.random.Generator) -> Waves:
    return np.asarray(fft.rfft2(rng.standard_normal(shape, np.float32)), np.complex64)


def _film(share: float, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return where there is carbon, 0 to 1: outside of a round hole larger than the micrograph."""
    if share <= 0:
        return np.zeros(shape)
    y, x = np.indices(shape, np.float64)
    side = float(max(shape))
    heading, radius = rng.uniform(0, 2 * np.pi), 2.0 * side
    along = (x - shape[1] / 2) * np.cos(heading) + (y - shape[0] / 2) * np.sin(heading)
    across = -(x - shape[1] / 2) * np.sin(heading) + (y - shape[0] / 2) * np.cos(heading)
    beyond = along + across**2 / (2 * radius)
    ragged = ndimage.gaussian_filter(rng.normal(size=shape), side / 150)
    beyond += ragged / max(float(ragged.std()), 1e-12) * side / 400
    limit = np.quantile(beyond, 1 - min(share, 1.0))
    return np.asarray(np.clip((beyond - limit) / 2 + 0.5, 0, 1))


def _crystals(
    n: int, shape: tuple[int, int], pixel_size_A: float, rng: np.random.Generator
) -> Array:
    """Return the thickness of crystals of ice in Å: rounded lumps of 100 to 400 Å radius."""
    total = np.zeros(shape)
    y, x = np.indices(shape, np.float64)
    for _ in range(n):
        radius = rng.uniform(100, 400) / pixel_size_A
        cx, cy = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        angle = np.arctan2(y - cy, x - cx)
        edge = np.full(shape, radius)
        for lobes, size, turn in zip(
            (2, 3, 4, 5), rng.normal(0, 0.06, 4), rng.random(4), strict=True
        ):
            edge += radius * size * np.cos(lobes * angle + 2 * np.pi * turn)
        inside = np.clip(1 - ((x - cx) ** 2 + (y - cy) ** 2) / edge**2, 0, None)
        total += np.sqrt(inside) * radius * pixel_size_A * 2
    return total


def _carbon_grain(
    shape: tuple[int, int], pixel_size_A: float, voltage_kV: float, rng: np.random.Generator
) -> Array:
    """Return twice the phase of carbon of 1 Å thickness: independent atoms, drawn as noise."""
    k = np.hypot(fft.fftfreq(shape[0], pixel_size_A)[:, None], fft.rfftfreq(shape[1], pixel_size_A))
    amplitude = phase_per_amplitude_A(voltage_kV) * elastic_factor("C", k)
    waves = _white(shape, rng) * (2 * amplitude * np.sqrt(_CARBON_ATOMS_PER_A3) / pixel_size_A)
    return np.asarray(fft.irfft2(waves, shape))


def _fit(array: Array, shape: tuple[int, int]) -> Array:
    rows = np.minimum(np.arange(shape[0]), array.shape[0] - 1)
    columns = np.minimum(np.arange(shape[1]), array.shape[1] - 1)
    return np.asarray(array[np.ix_(rows, columns)])
