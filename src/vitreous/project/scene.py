"""A picture as boxes, arrows and texts, before it becomes SVG or PDF.

Lengths are points, y runs down. Texts are measured by a table of average widths, so that
boxes fit without loading a font.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

_NARROW = set("iljtfrI.,:;'|!()[]/ ")
_WIDE = set("mwMWABCDEFGHKNOPQRSUVXYZ")


@dataclass(frozen=True)
class Box:
    """A rectangle with one or two lines of text.

    Parameters
    ----------
    x, y
        Its centre.
    width, height
        Its size.
    lines
        First line bold, second line small.
    fill, edge
        Colours.
    edge_width
        Thickness of its frame.
    is_dashed
        Whether the frame is dashed: a file from outside.
    link
        Number of the picture that it refers to.
    """

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    fill: str
    edge: str
    edge_width: float = 1.0
    is_dashed: bool = False
    link: int | None = None


@dataclass(frozen=True)
class Arrow:
    """A straight line, with a head at its end or none, and a text beside its middle."""

    x0: float
    y0: float
    x1: float
    y1: float
    label: str = ""
    is_dashed: bool = False
    has_head: bool = True


@dataclass(frozen=True)
class Text:
    """A line of text, `y` is its base line."""

    x: float
    y: float
    text: str
    size: float = 10.0
    anchor: Literal["start", "middle", "end"] = "start"
    is_bold: bool = False
    colour: str = "#1f2933"
    link: int | None = None


@dataclass
class Picture:
    """One drawing with its number and size."""

    number: int
    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def text_width(text: str, size: float, *, is_bold: bool = False) -> float:
    """Return the width of a text in points, near enough for a box around it."""
    widths = (0.34 if c in _NARROW else 0.78 if c in _WIDE else 0.60 for c in text)
    return sum(widths) * size * (1.06 if is_bold else 1.0)
