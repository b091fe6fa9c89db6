"""Helical references: symmetry of sums, of maps, and the search for twist and rise.

Conventions are those of `engine.helix`: the axis is z, unit h is turned by h times the twist and
moved by h times the rise. Sums are symmetrised over the new units that each image adds; the map
is then made helical in real space from its central part, where the data are best.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.engine import boxing, geometry, helix, masking
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement.settings import Helix, Settings
from vitreous.engine.refinement.state import Model

N_SAMPLES = 4000
LEAST_TWIST_DEG = 0.01
LEAST_RISE_A = 0.01
STEPS = 10
_PLANES = 16  # worked on at a time


@dataclass(frozen=True)
class Parameters:
    """Helical symmetry of one map.

    Parameters
    ----------
    twist_deg, rise_A
        From one unit to the next; positive twist with positive rise is right-handed.
    """

    twist_deg: float
    rise_A: float


@dataclass(frozen=True)
class Found:
    """What a search for helical symmetry found.

    Parameters
    ----------
    parameters
        The best twist and rise.
    deviation
        Share of the variance of the map's centre that the symmetry does not explain, 0 to 1.
    at_limit
        The best lies at the border of what was searched.
    """

    parameters: Parameters
    deviation: float
    at_limit: bool


def has_tubes(settings: Settings) -> bool:
    """Tell whether particles are segments whose neighbours tell of their tilt and psi."""
    return settings.ndim == 3 and settings.helix.is_helix and not settings.searching.skip_align


def is_imposed(settings: Settings) -> bool:
    """Tell whether maps are made helical."""
    return settings.ndim == 3 and settings.helix.is_helix and not settings.helix.ignore_symmetry


def limits_shifts(settings: Settings) -> bool:
    """Tell whether segments in 2D may move along their filament by half a rise only."""
    moves = settings.ndim == 2 and not settings.searching.skip_align
    return moves and settings.helix.is_helix and settings.helix.rise_A > 0


def units_to_impose(settings: Settings) -> int:
    """Return how many units of a filament each image is taken to show anew; 1 for none."""
    return settings.helix.n_units if is_imposed(settings) else 1


def helix_of(model: Model, class_: int, settings: Settings) -> Parameters:
    """Return the present twist and rise of a class; those of the settings at first."""
    if model.helical_twist_deg is None or model.helical_rise_A is None:
        return Parameters(settings.helix.twist_deg, settings.helix.rise_A)
    return Parameters(float(model.helical_twist_deg[class_]), float(model.helical_rise_A[class_]))


def symmetrise_(sums: Accumulator, found: Parameters, n_units: int, pixel_size_A: float) -> None:
    """Add up the sums over helical units, in Fourier space.

    A unit moved by d along z has its transform multiplied by ``exp(-2 pi i kz d / N)``, and turned
    by an angle its transform turns with it; kz stays, so only planes are interpolated.

    Parameters
    ----------
    sums
        A volume with its Friedel mates folded in.
    found
        Twist and rise.
    n_units
        How many units.
    pixel_size_A
        Of the reference.
    """
    grid = sums.grid
    rotations, shifts = helix.operators(found.twist_deg, found.rise_A / pixel_size_A, n_units)
    side = sums.padding * sums.box_px
    centre = grid.shape[-2] - 1
    total = torch.zeros_like(grid)
    for start in range(0, len(grid), _PLANES):
        planes = slice(start, min(start + _PLANES, len(grid)))
        whole = _both_halves(grid, planes)
        z = torch.arange(planes.start - centre, planes.stop - centre, dtype=torch.float64)
        for rotation, shift in zip(rotations, shifts, strict=True):
            mates = _turned_planes(whole, rotation)[..., centre:]
            # The mate of a pose A is A R, its image moved by -A t (`helix.mates`).
            turns = (2 * torch.pi / side * float(shift[2]) * z).to(mates)[:, None, None]
            real, imaginary, weight = mates[:, 0], mates[:, 1], mates[:, 2]
            total[planes, ..., 0] += real * turns.cos() - imaginary * turns.sin()
            total[planes, ..., 1] += real * turns.sin() + imaginary * turns.cos()
            total[planes, ..., 2] += weight
    grid.copy_(total)


def imposed(
    volume: Float[Tensor, "z y x"],
    found: Parameters,
    pixel_size_A: float,
    *,
    central_fraction: float = 0.3,
    radius_px: float | None = None,
) -> Float[Tensor, "z y x"]:
    """Make a map helical: every point becomes the mean of its mates in the central part.

    Parameters
    ----------
    volume
        A cube.
    found, pixel_size_A
        Symmetry, and what gives it in pixels.
    central_fraction
        Length along z, over that of the box, in which the map is good.
    radius_px
        Beyond this distance from the axis the map becomes 0; by default half the box.
    """
    size = volume.shape[-1]
    rise_px = found.rise_A / pixel_size_A
    if abs(rise_px) < 1e-3:
        return volume
    reach = central_fraction * size / 2
    line = torch.arange(size, device=volume.device, dtype=volume.dtype) - size // 2
    radius = size / 2 if radius_px is None else min(radius_px, size / 2)
    disc = masking.sphere(size, 2, radius - 1, 1, device=volume.device).to(volume)
    total, count = torch.zeros_like(volume), torch.zeros_like(line)
    last = math.ceil((size / 2 + reach) / abs(rise_px))
    for unit in range(-last, last + 1):
        source = line + unit * rise_px
        planes = torch.nonzero(source.abs() <= reach)[:, 0]
        if len(planes) == 0:
            continue
        total[planes] += _read_planes(volume, source[planes], unit * found.twist_deg)
        count[planes] += 1
    return total / count.clamp(min=1)[:, None, None] * disc


def searched(
    volume: Float[Tensor, "z y x"], start: Parameters, settings: Helix, pixel_size_A: float
) -> Found:
    """Refine twist and rise within their ranges: a grid, then ever smaller steps around its best.

    Parameters
    ----------
    volume
        A cube.
    start
        Present symmetry; returned where no range is given.
    settings
        Ranges and first steps; a step of 0 is chosen from the range.
    pixel_size_A
        Of the map.
    """
    points = _sample_points(volume, settings, pixel_size_A)
    twists = _axis(settings.twist_range_deg, start.twist_deg)
    rises = _axis(settings.rise_range_A, start.rise_A)
    twist_step, rise_step = _step(twists), _step(rises)
    best, lowest = start, deviation(volume, start, points, settings, pixel_size_A)
    for twist in twists:
        for rise in rises:
            best, lowest = _better(
                volume, Parameters(twist, rise), best, lowest, points, settings, pixel_size_A
            )
    while twist_step > LEAST_TWIST_DEG or rise_step > LEAST_RISE_A:
        twist_step, rise_step = twist_step / 2, rise_step / 2
        middle = best
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                trial = Parameters(
                    _within(middle.twist_deg + i * twist_step, twists),
                    _within(middle.rise_A + j * rise_step, rises),
                )
                best, lowest = _better(volume, trial, best, lowest, points, settings, pixel_size_A)
    at_limit = _at_end(best.twist_deg, twists) or _at_end(best.rise_A, rises)
    return Found(best, lowest, at_limit)


def deviation(
    volume: Float[Tensor, "z y x"],
    trial: Parameters,
    points_px: Float[Tensor, "n 3"],
    settings: Helix,
    pixel_size_A: float,
) -> float:
    """Return the share of the variance at points that differs from unit to unit.

    Parameters
    ----------
    points_px
        x y z, in the central part; mates are taken of all units inside it.
    """
    rise_px = trial.rise_A / pixel_size_A
    reach = settings.central_fraction * volume.shape[-1] / 2
    if abs(rise_px) < 1e-3:
        return 1.0
    n_units = int(2 * reach / abs(rise_px))
    if n_units < 1:
        return 1.0
    units = torch.arange(-n_units, n_units + 1, device=volume.device, dtype=volume.dtype)
    angles = torch.deg2rad(units * trial.twist_deg)
    x, y, z = points_px.unbind(-1)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    mates = torch.stack([cos * x - sin * y, sin * x + cos * y, z + units[:, None] * rise_px], -1)
    inside = mates[..., 2].abs() <= reach
    values = boxing.sample(volume, mates)
    count = inside.sum(0)
    mean = (values * inside).sum(0) / count.clamp(min=1)
    enough = count > 1
    spread = (((values - mean) ** 2 * inside).sum(0) / (count - 1).clamp(min=1))[enough]
    total = boxing.sample(volume, points_px)[enough].var(correction=0)
    return float(spread.mean() / total.clamp(min=1e-30)) if bool(enough.any()) else 1.0


def _better(
    volume: Tensor,
    trial: Parameters,
    best: Parameters,
    lowest: float,
    points: Tensor,
    settings: Helix,
    pixel_size_A: float,
) -> tuple[Parameters, float]:
    found = deviation(volume, trial, points, settings, pixel_size_A)
    return (trial, found) if found < lowest else (best, lowest)


def _both_halves(grid: Float[Tensor, "z y xh 4"], planes: slice) -> Float[Tensor, "m 3 y x"]:
    """Return some planes of a half-stored grid with the half ``x < 0``: conjugate Friedel mates."""
    last = len(grid) - 1
    right = grid[planes, ..., :3]
    mirrored = grid[last + 1 - planes.stop : last + 1 - planes.start, :, 1:, :3]
    sign = torch.tensor([1, -1, 1], dtype=grid.dtype, device=grid.device)
    left = mirrored.flip(0, 1, 2) * sign
    return torch.cat([left, right], 2).permute(0, 3, 1, 2)


def _turned_planes(
    planes: Float[Tensor, "z v y x"], rotation: Float[Tensor, "3 3"]
) -> Float[Tensor, "z v y x"]:
    """Read planes at R (x, y), linearly interpolated, 0 outside; origin in the middle pixel."""
    side = planes.shape[-1]
    line = torch.arange(side, device=planes.device, dtype=planes.dtype) - side // 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    places = torch.stack([x, y], -1) @ rotation[:2, :2].to(planes).T
    grid = ((places + side // 2) * (2 / (side - 1)) - 1).expand(len(planes), side, side, 2)
    return torch.nn.functional.grid_sample(
        planes, grid, mode="bilinear", padding_mode="zeros", align_corners=True
    )


def _read_planes(
    volume: Float[Tensor, "z y x"], z_px: Float[Tensor, " m"], twist_deg: float
) -> Float[Tensor, "m y x"]:
    """Read a volume in planes at heights from its centre, turned about z."""
    place = (z_px + volume.shape[0] // 2).clamp(0, volume.shape[0] - 1)
    lower = place.floor().clamp(max=volume.shape[0] - 2)
    share = (place - lower)[:, None, None]
    index = lower.to(torch.int64)
    planes = volume[index] * (1 - share) + volume[index + 1] * share
    rotation = geometry.rotation_about(
        torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64),
        torch.deg2rad(torch.tensor([twist_deg], dtype=torch.float64)),
    )[0]
    return _turned_planes(planes[:, None], rotation)[:, 0]


def _sample_points(
    volume: Float[Tensor, "z y x"], settings: Helix, pixel_size_A: float
) -> Float[Tensor, "n 3"]:
    """Return fixed points x y z, uniform in the central part of the tube."""
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(N_SAMPLES, 3, generator=generator, dtype=torch.float64)
    size = volume.shape[-1]
    outer = settings.outer_diameter_A / (2 * pixel_size_A)
    outer = min(outer, size / 2 - 1) if outer > 0 else size / 2 - 1
    inner = min(max(0.0, settings.inner_diameter_A / (2 * pixel_size_A)), outer - 1)
    radius = (inner**2 + u[:, 0] * (outer**2 - inner**2)).sqrt()
    angle = 2 * torch.pi * u[:, 1]
    z = (2 * u[:, 2] - 1) * settings.central_fraction * size / 2
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1).to(volume)


def _axis(bounds: tuple[float, float, float], start: float) -> list[float]:
    """Return the values that a search begins with, from the least to the largest."""
    low, high, step = bounds
    if high <= low:
        return [start]
    n = max(1, math.ceil((high - low) / step - 1e-6)) if step > 0 else STEPS
    return [low + (high - low) * i / n for i in range(n + 1)]


def _step(values: list[float]) -> float:
    return values[1] - values[0] if len(values) > 1 else 0.0


def _within(value: float, values: list[float]) -> float:
    return min(max(value, values[0]), values[-1])


def _at_end(value: float, values: list[float]) -> bool:
    return len(values) > 1 and value in (values[0], values[-1])
