"""Inks, and names and ticks of the axes of a panel; what data say of them is told in `pdf_log`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK: Final = "#172026"
INK_2: Final = "#435058"
INK_3: Final = "#5b6870"
GRID: Final = "#e4e9eb"
AXIS: Final = "#7d8b92"
_RESOLUTIONS_A: Final = (
    100, 50, 30, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.8, 2.6, 2.4, 2.2, 2, 1.8, 1.6,
    1.4, 1.2, 1,
)  # fmt: skip


def label_axes(axes: Axes, data: Mapping[str, Any]) -> None:
    """Name both axes and place their ticks as the data say."""
    both = data.get("axes") or {}
    x, y = both.get("x", {}), both.get("y", {})
    axes.set_xlabel(name_of(x), size=8, color=INK_2)
    axes.set_ylabel(name_of(y), size=8, color=INK_2)
    for axis, place in ((x, axes.set_xticks), (y, axes.set_yticks)):
        if "ticks" in axis:
            place(*zip(*axis["ticks"], strict=True))
    if x.get("unit") in ("1/Å", "1/A") and x.get("scale") != "log":
        _resolution_ticks(axes)
        axes.set_xlabel("Resolution (Å)", size=8, color=INK_2)


def _resolution_ticks(axes: Axes) -> None:
    """Write ticks of an axis in 1/Å as resolutions, no closer than one in 16 of the axis."""
    low, high = axes.get_xlim()
    kept: list[float] = []
    last = -math.inf
    for resolution_A in _RESOLUTIONS_A:
        at = 1 / resolution_A
        if low <= at <= high and at - last >= (high - low) / 16:
            kept.append(resolution_A)
            last = at
    axes.set_xticks([1 / one for one in kept], [f"{one:g}" for one in kept])
    axes.set_xlim(low, high)


def name_of(axis: Mapping[str, Any]) -> str:
    """Return what an axis shows, with its unit."""
    label, unit = str(axis.get("label", "")), str(axis.get("unit", ""))
    return f"{label} ({unit})" if label and unit else label or unit
