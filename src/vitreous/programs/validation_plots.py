"""What the plots of a validation hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import healpix, resolution
from vitreous.engine.geometry import view_direction
from vitreous.engine.validation import directional
from vitreous.engine.validation.tightness import InMask
from vitreous.engine.validation.views import ORDER

_DISC_PX = 121


def line(
    curves: Mapping[str, tuple[Tensor, str]],
    side_A: float,
    note: str,
    *,
    label: str = "Correlation",
    thresholds: Sequence[tuple[float, str]] = ((resolution.THRESHOLD, "0.143"),),
) -> dict[str, object]:
    """Return curves by shell.

    Parameters
    ----------
    curves
        By name: values, and the style of the line.
    side_A
        Side of the box whose shells they are.
    note
        Below the picture.
    """
    series = []
    for name, (curve, style) in curves.items():
        x = (torch.arange(len(curve)) / side_A).tolist()
        one: dict[str, object] = {"name": name, "x": x, "y": curve.tolist()}
        series.append(one | ({"style": style} if style else {}))
    return {
        "axes": {
            "x": {"label": "Resolution", "unit": "1/Å"},
            "y": {"label": label, "unit": "", "low": -0.1, "high": 1.05},
        },
        "series": series,
        "thresholds": [{"axis": "y", "value": v, "label": text} for v, text in thresholds],
        "note": note,
    }


def cones(curve: Tensor, curves: Tensor, chance: Tensor, side_A: float) -> dict[str, object]:
    """Return the curves of the worst and best tenth of the directions."""
    wanted = torch.tensor([0.1, 0.9], dtype=curves.dtype)
    low, high = torch.quantile(curves, wanted, dim=0)
    by_chance = torch.quantile(chance, wanted, dim=0)
    return line(
        {
            "all directions": (curve, ""),
            "best tenth": (high, ""),
            "worst tenth": (low, ""),
            "tenths of an isotropic map": (by_chance[1], "dashed"),
            "(by chance)": (by_chance[0], "dashed"),
        },
        side_A,
        f"Inside the mask, corrected; around each axis what lies within {directional.CONE_DEG:g}° "
        "of it.",
    )


def occupied(reached: Tensor, by_chance: Tensor, n_shells: int, side_A: float) -> dict[str, object]:
    """Return the share of resolved directions by shell."""
    curves = {
        "this map": (directional.occupancy(reached, n_shells), ""),
        "an isotropic map": (directional.occupancy(by_chance, n_shells), "dashed"),
    }
    levels = [
        (level, f"{level:g}") for level in (directional.MOST, directional.HALF, directional.LEAST)
    ]
    return line(
        curves, side_A, "Share of directions in which the FSC is above 0.143.",
        label="Occupancy", thresholds=levels,
    )  # fmt: skip


def in_masks(found: Sequence[InMask], expected: Tensor, side_A: float) -> dict[str, object]:
    """Return the curves inside the mask and wider ones."""
    given, widest = found[0], found[-1]
    curves: dict[str, tuple[Tensor, str]] = {"corrected, this mask": (given.corrected, "")}
    for one in found[1:]:
        curves[f"corrected, {one.wider_px:g} px wider"] = (one.corrected, "")
    curves[f"expected {widest.wider_px:g} px wider"] = (expected, "dashed")
    curves["masked, this mask"] = (given.masked, "pale")
    curves["phases randomised, this mask"] = (given.randomised, "pale")
    rows = ", ".join(
        f"{_in_A(one.shell, side_A)} "
        + (f"{one.wider_px:g} px wider" if one.wider_px else "inside")
        for one in found
    )
    return line(curves, side_A, rows)


def banded(curve: Tensor, error: Tensor, side_A: float, note: str) -> dict[str, object]:
    """Return a curve with two standard errors on both sides."""
    curves = {
        "FSC": (curve, ""),
        "two standard errors above": (curve + 2 * error, "pale"),
        "two standard errors below": (curve - 2 * error, "pale"),
    }
    return line(curves, side_A, note)


def disc(values: Tensor, unit: Tensor, *, below: bool = False) -> list[list[float | None]]:
    """Return an equal-area picture of half a sphere, seen from outside.

    Parameters
    ----------
    values
        ``d``
    unit
        ``d 3``, the directions they belong to, all around; each pixel takes the nearest.
    below
        The half with negative z, seen from there.

    Returns
    -------
    list
        Rows from y = -1 to 1, x to the right; None outside the disc.
    """
    line_ = torch.linspace(-1, 1, _DISC_PX, dtype=torch.float64)
    y, x = torch.meshgrid(line_, line_, indexing="ij")
    square = x * x + y * y
    inside = square <= 1
    # Lambert's equal-area projection of the half sphere: the rim is the equator.
    z = 1 - square
    scale = (2 - square).clamp(min=0).sqrt()
    vectors = torch.stack([x * scale, y * scale, z], -1)
    if below:
        vectors = vectors * torch.tensor([1.0, 1.0, -1.0], dtype=vectors.dtype)
    nearest = (vectors[inside] @ unit.T).argmax(1)
    picture = np.full(inside.shape, np.nan)
    picture[inside.numpy()] = values[nearest].numpy()
    return [[None if math.isnan(v) else v for v in row] for row in picture.tolist()]


def by_direction(resolutions_A: Tensor) -> dict[str, object]:
    """Return the picture of resolution by direction."""
    return _discs(
        [_panel("Resolution along each axis", resolutions_A, directional.axes())],
        "Resolution (Å)",
        "An axis in the middle is z, on the rim one at right angles to it, x to the right. "
        "Opposite directions are alike.",
    )  # fmt: skip


def by_view(views: Tensor, density: Tensor) -> dict[str, object]:
    """Return pictures of where views are, and of how they sample Fourier space."""
    order = 3
    towards = view_direction(healpix.directions(order, torch.arange(healpix.n_pixels(order))))
    counts = torch.zeros(len(towards), dtype=torch.float64)
    for part in torch.split(views.to(torch.float64), 8192):
        nearest = (part @ towards.T).argmax(1)
        counts += torch.bincount(nearest, minlength=len(towards))
    counts /= counts.mean()
    fine = view_direction(healpix.directions(ORDER, torch.arange(healpix.n_pixels(ORDER))))
    panels = [
        _panel("Views, tilt 0° to 90°", counts, towards),
        _panel("Views, tilt 180° to 90°", counts, towards, below=True),
        _panel("Sampling of Fourier space", density, fine),
    ]
    return _discs(
        panels,
        "Over the mean",
        "The middle is tilt 0° (180°), the rim tilt 90°; rot is the angle from the right, "
        "anticlockwise. 1 is the mean.",
    )


def _panel(title: str, values: Tensor, unit: Tensor, *, below: bool = False) -> dict[str, object]:
    return {
        "title": title,
        "image": disc(values, unit, below=below),
        "origin": "bottom",
        "bar": True,
    }


def _discs(panels: list[dict[str, object]], label: str, note: str) -> dict[str, object]:
    panels[-1]["note"] = note
    ticks = _angle_ticks()
    return {
        "axes": {
            "x": {"label": "Angle to z, towards x", "unit": "", "ticks": ticks},
            "y": {"label": "Angle to z, towards y", "unit": "", "ticks": ticks},
            "c": {"label": label, "unit": ""},
        },
        "colour": "ramp",
        "panels": panels,
    }


def _angle_ticks() -> list[tuple[float, str]]:
    """Return where some angles to z lie on a `disc`, in pixels."""
    middle = (_DISC_PX - 1) / 2
    angles = (-90, -60, -30, 0, 30, 60, 90)
    places = (math.sqrt(2) * math.sin(math.radians(angle) / 2) for angle in angles)
    return [
        (middle * (1 + place), f"{abs(angle)}°")
        for angle, place in zip(angles, places, strict=True)
    ]


def _in_A(shell: float, side_A: float) -> str:
    return f"{side_A / shell:.2f} Å" if shell > 0 else "no resolution"
