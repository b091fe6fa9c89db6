"""Line plots as encapsulated PostScript, as RELION leaves them beside a post-processed map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitreous.io.atomic import write_text

_WIDTH, _HEIGHT = 500, 360  # points
_LEFT, _RIGHT, _BOTTOM, _TOP = 60, 20, 46, 34
_COLOURS = ("0 0 0", "0 0.45 0.7", "0.84 0.37 0", "0 0.62 0.45", "0.8 0.47 0.65")
_HEAD = """%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 {width} {height}
%%Title: {title}
%%EndComments
/Helvetica findfont 10 scalefont setfont
/centred {{ dup stringwidth pop 2 div neg 0 rmoveto show }} bind def
/right {{ dup stringwidth pop neg 0 rmoveto show }} bind def
"""


def write_eps(path: Path, title: str, plot: Mapping[str, Any]) -> None:
    """Draw the series of a line plot (`programs.pdf_log` tells its form) with axes and a legend."""
    series = [_finite(one) for one in plot["series"]]
    x_axis, y_axis = plot["axes"]["x"], plot["axes"]["y"]
    x_range = _range(x_axis, [x for points in series for x, _ in points])
    y_range = _range(y_axis, [y for points in series for _, y in points])
    parts = [_HEAD.format(width=_WIDTH, height=_HEIGHT, title=_text(title))]
    parts.append(f"{_WIDTH / 2:g} {_HEIGHT - 16} moveto ({_text(title)}) centred\n")
    parts += _frame(x_range, y_range, _label(x_axis), _label(y_axis))
    for threshold in plot.get("thresholds", ()):
        if threshold["axis"] == "y":
            level = [(x_range[0], threshold["value"]), (x_range[1], threshold["value"])]
            parts.append(_line(level, x_range, y_range, "0.6 0.6 0.6"))
    for number, (one, points) in enumerate(zip(plot["series"], series, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        parts.append(_line(points, x_range, y_range, colour))
        place = _HEIGHT - _TOP - 14 * (number + 1)
        parts.append(f"{colour} setrgbcolor {_WIDTH - _RIGHT - 6} {place} moveto\n")
        parts.append(f"({_text(one['name'])}) right\n")
    write_text(path, "".join([*parts, "showpage\n%%EOF\n"]))


def _finite(series: Mapping[str, Any]) -> list[tuple[float, float]]:
    pairs = zip(series["x"], series["y"], strict=True)
    return [(x, y) for x, y in pairs if y is not None and math.isfinite(y)]


def _range(axis: Mapping[str, Any], values: Sequence[float]) -> tuple[float, float]:
    low = float(axis.get("low", min(values, default=0.0)))
    high = float(axis.get("high", max(values, default=1.0)))
    return (low, high) if high > low else (low, low + 1.0)


def _frame(
    x_range: tuple[float, float], y_range: tuple[float, float], x_label: str, y_label: str
) -> list[str]:
    """Return the box, its ticks and what they mean."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _BOTTOM - _TOP
    parts = [f"0.5 setlinewidth {_LEFT} {_BOTTOM} {width} {height} rectstroke\n"]
    for value in _ticks(*x_range):
        x, _ = _place(value, y_range[0], x_range, y_range)
        parts.append(f"{x:.1f} {_BOTTOM} moveto 0 4 rlineto stroke\n")
        parts.append(f"{x:.1f} {_BOTTOM - 14} moveto ({value:.4g}) centred\n")
    for value in _ticks(*y_range):
        _, y = _place(x_range[0], value, x_range, y_range)
        parts.append(f"{_LEFT} {y:.1f} moveto 4 0 rlineto stroke\n")
        parts.append(f"{_LEFT - 5} {y - 3:.1f} moveto ({value:.4g}) right\n")
    parts.append(f"{_LEFT + width / 2:g} 10 moveto ({x_label}) centred\n")
    middle = _BOTTOM + height / 2
    parts.append(
        f"gsave 14 {middle:g} translate 90 rotate 0 0 moveto\n({y_label}) centred grestore\n"
    )
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Return some five round numbers within a range."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _place(
    x: float, y: float, x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[float, float]:
    across = (x - x_range[0]) / (x_range[1] - x_range[0])
    up = (y - y_range[0]) / (y_range[1] - y_range[0])
    inside = min(1.0, max(0.0, up))
    return (
        _LEFT + across * (_WIDTH - _LEFT - _RIGHT),
        _BOTTOM + inside * (_HEIGHT - _BOTTOM - _TOP),
    )


def _line(
    points: Sequence[tuple[float, float]],
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    colour: str,
) -> str:
    placed = [_place(x, y, x_range, y_range) for x, y in points]
    steps = [f"{x:.1f} {y:.1f} {'lineto' if i else 'moveto'}\n" for i, (x, y) in enumerate(placed)]
    return f"{colour} setrgbcolor\n{''.join(steps)}stroke\n0 setgray\n"


def _label(axis: Mapping[str, Any]) -> str:
    unit = f" ({axis['unit']})" if axis.get("unit") else ""
    return _text(f"{axis['label']}{unit}")


def _text(words: str) -> str:
    """Return words in the letters that every PostScript font has."""
    for letter, plain in (("Å", "A"), ("²", "^2"), ("\\", "\\\\"), ("(", "\\("), (")", "\\)")):
        words = words.replace(letter, plain)
    return words.encode("ascii", "replace").decode()
