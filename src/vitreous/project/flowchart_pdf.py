"""A flowchart as PDF, one picture a page, drawn by matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from vitreous.project.flowchart_svg import arrow_label, placed_lines
from vitreous.project.scene import Arrow, Box, Picture, Text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS_PER_INCH = 72.0
_LINE = "#55606b"
_ALIGN = {"start": "left", "middle": "center", "end": "right"}


def to_pdf(pictures: list[Picture], *, title: str) -> bytes:
    """Return the pictures as a PDF file of one page each, as large as the picture is."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages

    target = io.BytesIO()
    about = {"Title": title, "Creator": "vitreous"}
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(target, metadata=about) as pages:
        for picture in pictures:
            figure = _page(picture)
            FigureCanvasPdf(figure)
            pages.savefig(figure)
    return target.getvalue()


def _page(picture: Picture) -> Figure:
    from matplotlib.figure import Figure

    size = (picture.width / _POINTS_PER_INCH, picture.height / _POINTS_PER_INCH)
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    axes.set_axis_off()
    for arrow in picture.arrows:
        _draw_arrow(axes, arrow)
    for box in picture.boxes:
        _draw_box(axes, box)
    for text in picture.texts:
        _draw_text(axes, text)
    return figure


def _draw_box(axes: Axes, box: Box) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (box.x - box.width / 2, box.y - box.height / 2),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=6",
            facecolor=box.fill,
            edgecolor=box.edge,
            linewidth=box.edge_width,
            linestyle="--" if box.is_dashed else "-",
        )
    )
    for line, y, size, is_bold, colour in placed_lines(box):
        _draw_text(axes, Text(box.x, y, line, size, "middle", is_bold, colour))


def _draw_arrow(axes: Axes, arrow: Arrow) -> None:
    from matplotlib.patches import FancyArrowPatch

    axes.add_patch(
        FancyArrowPatch(
            (arrow.x0, arrow.y0),
            (arrow.x1, arrow.y1),
            arrowstyle="-|>" if arrow.has_head else "-",
            mutation_scale=9,
            shrinkA=0,
            shrinkB=0,
            color=_LINE,
            linewidth=1.1,
            linestyle="--" if arrow.is_dashed else "-",
        )
    )
    if arrow.label:
        _draw_text(axes, arrow_label(arrow))


def _draw_text(axes: Axes, text: Text) -> None:
    axes.text(
        text.x,
        text.y,
        text.text,
        fontsize=text.size,
        ha=_ALIGN[text.anchor],
        va="baseline",
        color=text.colour,
        weight="bold" if text.is_bold else "normal",
        parse_math=False,
    )
