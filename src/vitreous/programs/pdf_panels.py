"""Pages and panels of ``logfile.pdf``; what the data of a kind look like is told in `pdf_log`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from vitreous.programs.pdf_axes import AXIS, GRID, INK, INK_2, INK_3, label_axes, name_of
from vitreous.programs.pdf_log import Panel

CURVES: Final = (
    "#0b6377", "#c2560c", "#6a41a5", "#8a7a00", "#3a76b8", "#b23a6b", "#2c7f4c", "#6f7a80",
)  # fmt: skip
RAMP: Final = LinearSegmentedColormap.from_list(
    "ramp", ["#eef4f8", "#9cc3dc", "#3a76b8", "#12305c"]
)
DIFFERENCE: Final = LinearSegmentedColormap.from_list(
    "difference", ["#2353c4", "#a9bfe8", "#ffffff", "#f0b58a", "#c2560c"]
)
_COLOURS: Final[Mapping[str, Any]] = {"grey": "gray", "ramp": RAMP, "difference": DIFFERENCE}
_DASHES: Final = ("-", "--", "-.", ":")
# A4, in inches.
_WIDTH, _HEIGHT = 8.27, 11.69
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.85, 0.45, 0.75, 0.55
_GAP = 0.75
_ROW = 8.9 / 49  # of a table
_TALL: Final[Mapping[str, float]] = {"image": 3.35, "vectors": 3.35, "table": 9.9, "nothing": 1.0}
_WIDE_PANEL, _SMALL_PANEL, _HEADING = 3.4, 2.55, 0.3


@dataclass(frozen=True)
class Placed:
    """A panel and where it lies on its page: left, bottom, width, height in inches."""

    panel: Panel
    box: tuple[float, float, float, float]


def fill_pages(panels: Sequence[Panel]) -> list[list[Placed]]:
    """Share the panels out over pages, two small ones side by side."""
    pages: list[list[Placed]] = [[]]
    y = _HEIGHT - _TOP
    for row in _rows(panels):
        above = _HEADING if row[0].heading else 0.0
        tall = min(max(_tall(panel) for panel in row), _HEIGHT - _TOP - _BOTTOM - above)
        if pages[-1] and y - tall - above < _BOTTOM:
            pages.append([])
            y = _HEIGHT - _TOP
        y -= tall + above
        width = _WIDTH - _LEFT - _RIGHT
        if row[0].is_small:
            width = (width - _GAP) / 2
        for column, panel in enumerate(row):
            left = _LEFT + column * (width + _GAP)
            pages[-1].append(Placed(panel, (left, y, width, tall)))
    return pages


def draw_page(page: Sequence[Placed], footer: str) -> Figure:
    """Draw one page."""
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    for placed in page:
        left, bottom, width, height = placed.box
        top = (bottom + height + 0.12) / _HEIGHT
        if placed.panel.heading:
            figure.text(
                _LEFT / _WIDTH, top, placed.panel.heading, size=11, color=INK, weight="bold"
            )
        axes = figure.add_axes(
            (
                left / _WIDTH,
                (bottom + 0.62) / _HEIGHT,
                width / _WIDTH,
                (height - 0.92) / _HEIGHT,
            )
        )
        draw(axes, placed.panel)
    figure.text(_LEFT / _WIDTH, 0.3 / _HEIGHT, footer, size=7, color=INK_3)
    return figure


def draw(axes: Axes, panel: Panel) -> None:
    """Draw one panel; data that do not fit their kind become a sentence."""
    size = 8.5 if panel.is_small else 11
    weight = "normal" if panel.is_small else "bold"
    # A place that is told (y) saves measuring every text of the panel.
    axes.set_title(_shortened(panel.title, 44 if panel.is_small else 90), size=size, color=INK,
                   weight=weight, loc="left", pad=6, y=1.0)  # fmt: skip
    painter = PAINTERS.get(panel.kind)
    if painter is None:
        _say(
            axes, panel.data.get("note") or f"Plots of the kind “{panel.kind}” are not drawn here."
        )
        return
    try:
        painter(axes, panel.data)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        axes.clear()
        _say(axes, f"“{panel.title}” cannot be drawn as {panel.kind}: {error!r}")
        return
    note = panel.data.get("note")
    if note:
        axes.text(0, -0.22, str(note), transform=axes.transAxes, size=7.5, color=INK_2, va="top")


def line(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw curves."""
    _frame(axes, data)
    for number, one in enumerate(data["series"]):
        style = one.get("style", "")
        x, y = _numbers(one["x"]), _numbers(one["y"])
        colour = CURVES[number % len(CURVES)]
        if style == "points":
            axes.plot(x, y, ".", color=colour, markersize=4, label=one.get("name", ""))
            continue
        dash = "--" if style == "dashed" else _DASHES[number // len(CURVES) % len(_DASHES)]
        axes.plot(x, y, dash, color=colour, linewidth=1.1, label=one.get("name", ""),
                  alpha=0.35 if style == "pale" else 1.0)  # fmt: skip
    _finish(axes, data)


def scatter(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw marks."""
    _frame(axes, data)
    for number, one in enumerate(data["series"]):
        x, y = _numbers(one["x"]), _numbers(one["y"])
        size = 12 if len(x) < 300 else 4
        if "c" in one:
            marks = axes.scatter(
                x,
                y,
                c=_numbers(one["c"]),
                cmap=RAMP,
                s=size,
                linewidths=0,
                label=one.get("name", ""),
            )
            _colour_bar(axes, marks, data)
        else:
            axes.scatter(x, y, color=CURVES[number % len(CURVES)], s=size, linewidths=0,
                         label=one.get("name", ""), alpha=0.8)  # fmt: skip
    _finish(axes, data)


def histogram(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw steps: filled where there is one series."""
    _frame(axes, data)
    for number, one in enumerate(data["series"]):
        colour = CURVES[number % len(CURVES)]
        edges, counts = _numbers(one["edges"]), np.nan_to_num(_numbers(one["counts"]))
        axes.stairs(counts, edges, color=colour, fill=True, alpha=0.25 if number == 0 else 0.12)
        axes.stairs(counts, edges, color=colour, linewidth=1.1, label=one.get("name", ""))
    _finish(axes, data)


def bar(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw bars with a text each."""
    _frame(axes, data)
    series = data["series"]
    labels = [str(label) for label in series[0]["labels"]]
    places, width = np.arange(len(labels)), 0.76 / len(series)
    for number, one in enumerate(series):
        left = places + (number - (len(series) - 1) / 2) * width
        axes.bar(left, np.nan_to_num(_numbers(one["values"])), width * 0.94,
                 color=CURVES[number % len(CURVES)], label=one.get("name", ""))  # fmt: skip
    _finish(axes, data)
    every = max(1, math.ceil(len(labels) / 24))
    is_long = max((len(label) for label in labels), default=0) * len(labels) / every > 80
    axes.set_xticks(places[::every], labels[::every])
    axes.tick_params(axis="x", length=0, rotation=30 if is_long else 0)
    axes.grid(visible=False, axis="x")


def image(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw an array as greys or colours, with marks on top."""
    array = np.asarray(data["image"], dtype=np.float64)
    if array.ndim != 2 or not array.size:
        message = f"wanted a 2D array, got the shape {array.shape}"
        raise ValueError(message)
    colour = str(data.get("colour", "grey"))
    low, high = _greys(array, data, symmetric=colour == "difference")
    rows, columns = array.shape
    width, height = float(data.get("width", columns)), float(data.get("height", rows))
    is_up = data.get("origin") == "bottom"
    half = width / columns / 2, height / rows / 2
    extent = (-half[0], width - half[0], -half[1], height - half[1])
    if not is_up:
        extent = (extent[0], extent[1], extent[3], extent[2])
    drawn = axes.imshow(array, cmap=_COLOURS[colour], vmin=low, vmax=high, extent=extent,
                        origin="lower" if is_up else "upper", interpolation="nearest")  # fmt: skip
    _plain_frame(axes)
    if {"x", "y"} & set(data.get("axes") or ()) or "width" in data:
        label_axes(axes, data)
    else:  # numbers of pixels of a picture made smaller tell nothing, and cost half of the page
        axes.set_xticks([])
        axes.set_yticks([])
    for number, one in enumerate(data.get("series", [])):
        _circles(axes, one, CURVES[(number + 1) % len(CURVES)], width)
    if data.get("series"):
        _legend(axes, [str(one.get("name", "")) for one in data["series"]])
    if data.get("bar"):
        _colour_bar(axes, drawn, data)


def vectors(axes: Axes, data: Mapping[str, Any]) -> None:
    """Draw paths, at their places where they have one."""
    scale = float(data.get("scale", 1.0))
    tracks = data["tracks"]
    has_places = any("at" in one for one in tracks)
    for number, one in enumerate(tracks):
        x, y = _numbers(one["x"]), _numbers(one["y"])
        if "at" in one:
            x = one["at"][0] + (x - x[0]) * scale
            y = one["at"][1] + (y - y[0]) * scale
        colour = CURVES[0] if has_places else CURVES[number % len(CURVES)]
        axes.plot(x, y, "-", color=colour, linewidth=1.0, label=one.get("name", ""))
        axes.plot(x[:1], y[:1], ".", color=CURVES[1], markersize=5)
    _plain_frame(axes)
    label_axes(axes, data)
    axes.set_aspect("equal", adjustable="datalim")
    if "width" in data:
        axes.set_xlim(0, float(data["width"]))
        axes.set_ylim(0, float(data["height"]))
        axes.set_aspect("equal", adjustable="box")
    elif not has_places:
        axes.grid(visible=True, color=GRID, linewidth=0.6)
        _legend(axes, [str(one.get("name", "")) for one in tracks])
    if scale != 1.0:
        axes.text(1, 1.02, f"paths {scale:g} × enlarged", transform=axes.transAxes, size=7,
                  color=INK_3, ha="right")  # fmt: skip


def table(axes: Axes, data: Mapping[str, Any]) -> None:
    """Write rows: texts left, numbers right, units in the head."""
    axes.set_axis_off()
    columns, rows = data["columns"], data["rows"]
    texts = [[_cell(value) for value in row] for row in rows]
    heads = [f"{c['name']} ({c['unit']})" if c.get("unit") else str(c["name"]) for c in columns]
    longest = [max([len(h), *(len(row[i]) for row in texts)]) for i, h in enumerate(heads)]
    edges = np.concatenate([[0.0], np.cumsum(longest) / max(1, sum(longest))])
    most = max(1, int(130 / max(1, sum(longest)) * max(longest, default=1)))
    step = _ROW / _table_tall(len(rows))
    for i, head in enumerate(heads):
        is_number = any(isinstance(row[i], int | float) for row in rows)
        at, side = (edges[i + 1] - 0.01, "right") if is_number else (edges[i], "left")
        axes.text(at, 1 - step / 2, head, size=7.5, color=INK_2, ha=side, weight="bold")
        for number, row in enumerate(texts):
            y = 1 - (number + 1.6) * step
            axes.text(at, y, _shortened(row[i], most), size=7.5, color=INK, ha=side)
    axes.plot([0, 1], [1 - 0.8 * step] * 2, color=AXIS, linewidth=0.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)


PAINTERS: Final[Mapping[str, Callable[[Axes, Mapping[str, Any]], None]]] = {
    "line": line,
    "scatter": scatter,
    "histogram": histogram,
    "bar": bar,
    "image": image,
    "vectors": vectors,
    "table": table,
}


def _rows(panels: Iterable[Panel]) -> list[list[Panel]]:
    """Put small panels that follow one another in pairs, unless a heading comes between."""
    rows: list[list[Panel]] = []
    for panel in panels:
        last = rows[-1] if rows else []
        if panel.is_small and not panel.heading and len(last) == 1 and last[0].is_small:
            last.append(panel)
        else:
            rows.append([panel])
    return rows


def _tall(panel: Panel) -> float:
    if panel.kind == "table":
        return _table_tall(len(panel.data.get("rows", [])))
    return _TALL.get(panel.kind, _SMALL_PANEL if panel.is_small else _WIDE_PANEL)


def _table_tall(n_rows: int) -> float:
    return 1.0 + _ROW * (n_rows + 1)


def _numbers(values: Iterable[Any]) -> NDArray[np.float64]:
    """Return numbers; what is missing becomes a gap."""
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _shortened(text: str, most: int) -> str:
    """Keep the end of a text that is too long: that is where file names differ."""
    return text if len(text) <= most else "…" + text[-(most - 1) :]


def _greys(
    array: NDArray[np.float64], data: Mapping[str, Any], *, symmetric: bool
) -> tuple[float, float]:
    finite = array[np.isfinite(array)]
    low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    low, high = float(data.get("low", low)), float(data.get("high", high))
    return low, high if high > low else low + 1.0


def _circles(axes: Axes, one: Mapping[str, Any], colour: str, width: float) -> None:
    across = 2 * float(one.get("radius", width / 100))
    places = np.stack([_numbers(one["x"]), _numbers(one["y"])], 1)
    circles = EllipseCollection(
        [across], [across], [0], units="xy", offsets=places, offset_transform=axes.transData,
        facecolors="none", edgecolors=colour, linewidths=0.7,
    )  # fmt: skip
    axes.add_collection(circles, autolim=False)
    axes.plot([], [], "o", markerfacecolor="none", color=colour, label=one.get("name", ""))


def _colour_bar(axes: Axes, drawn: Any, data: Mapping[str, Any]) -> None:  # noqa: ANN401
    inset = axes.inset_axes((1.02, 0.0, 0.025, 1.0))
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar_ = figure.colorbar(drawn, cax=inset)
    bar_.outline.set_visible(False)
    inset.tick_params(labelsize=6.5, colors=INK_3, width=0.5)
    inset.set_ylabel(name_of(data.get("axes", {}).get("c", {})), size=7, color=INK_2)


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.5, text, size=9, color=INK_2, va="center", wrap=True)


def _frame(axes: Axes, data: Mapping[str, Any]) -> None:
    """Put axes left and below, with a quiet grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(AXIS)
    axes.tick_params(colors=INK_3, labelsize=7.5, width=0.6, length=3)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("x", "y"):
        if data.get("axes", {}).get(side, {}).get("scale") == "log":
            (axes.set_xscale if side == "x" else axes.set_yscale)("log", nonpositive="mask")
            axis = axes.xaxis if side == "x" else axes.yaxis
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())


def _plain_frame(axes: Axes) -> None:
    axes.spines[:].set_color(AXIS)
    axes.spines[:].set_linewidth(0.5)
    axes.tick_params(colors=INK_3, labelsize=7, width=0.5, length=2.5)


def _finish(axes: Axes, data: Mapping[str, Any]) -> None:
    """Set limits, thresholds, ticks, labels and the legend."""
    for side, set_limits in (("x", axes.set_xlim), ("y", axes.set_ylim)):
        axis = data.get("axes", {}).get(side, {})
        set_limits(axis.get("low"), axis.get("high"))
    for mark in data.get("thresholds", []):
        _threshold(axes, mark)
    label_axes(axes, data)
    _legend(axes, [str(one.get("name", "")) for one in data["series"]])


def _threshold(axes: Axes, mark: Mapping[str, Any]) -> None:
    value, text = mark["value"], str(mark.get("label", ""))
    if value is None:
        return
    if mark.get("axis", "y") == "y":
        axes.axhline(value, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.annotate(text, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2),
                      textcoords="offset points", ha="right", size=7, color=INK)  # fmt: skip
    else:
        axes.axvline(value, color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.annotate(text, (value, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
                      textcoords="offset points", va="top", size=7, color=INK)  # fmt: skip


def _legend(axes: Axes, names: Sequence[str]) -> None:
    if len([name for name in names if name]) < 2 and not (len(names) == 1 and names[0]):
        return
    if len(names) > 12:
        return
    legend = axes.legend(fontsize=6.5, frameon=True, framealpha=0.85, edgecolor="none",
                         labelcolor=INK_2, handlelength=1.6, borderpad=0.3)  # fmt: skip
    legend.get_frame().set_linewidth(0)
