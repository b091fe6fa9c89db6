"""A flowchart as one SVG file, its pictures below one another."""

from __future__ import annotations

from html import escape

from vitreous.project.scene import Arrow, Box, Picture, Text

_FONT = 'font-family="DejaVu Sans, Helvetica, Arial, sans-serif"'
_LINE = "#55606b"
_GAP = 18.0


def to_svg(pictures: list[Picture]) -> str:
    """Return the pictures as the text of an SVG file; boxes link to the picture they name."""
    width = max(picture.width for picture in pictures)
    height = sum(picture.height + _GAP for picture in pictures) - _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" {_FONT}>',
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,1 L10,5 L0,9 z" fill="{_LINE}"/>'
        "</marker></defs>",
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="#ffffff"/>',
    ]
    top = 0.0
    for picture in pictures:
        parts.append(f'<g id="chart{picture.number}" transform="translate(0 {top:.1f})">')
        if top:
            rule = f'x1="0" x2="{width:.1f}" y1="-{_GAP / 2}" y2="-{_GAP / 2}" stroke="#d5dae0"'
            parts.append(f"<line {rule}/>")
        parts += [_arrow(arrow) for arrow in picture.arrows]
        parts += [_box(box) for box in picture.boxes]
        parts += [_text(text) for text in picture.texts]
        parts.append("</g>")
        top += picture.height + _GAP
    return "\n".join([*parts, "</svg>\n"])


def _box(box: Box) -> str:
    dash = ' stroke-dasharray="4 3"' if box.is_dashed else ""
    shape = (
        f'<rect x="{box.x - box.width / 2:.1f}" y="{box.y - box.height / 2:.1f}" '
        f'width="{box.width:.1f}" height="{box.height:.1f}" rx="6" fill="{box.fill}" '
        f'stroke="{box.edge}" stroke-width="{box.edge_width}"{dash}/>'
    )
    lines = [
        _text(Text(box.x, y, line, size, "middle", is_bold, colour))
        for line, y, size, is_bold, colour in placed_lines(box)
    ]
    inside = "".join([shape, *lines])
    return f'<a href="#chart{box.link}">{inside}</a>' if box.link else inside


def placed_lines(box: Box) -> list[tuple[str, float, float, bool, str]]:
    """Return text, base line, size, weight and colour of each line in a box."""
    if len(box.lines) == 1:
        return [(box.lines[0], box.y + 4, 11.0, True, "#1f2933")]
    return [
        (box.lines[0], box.y - 2.5, 11.0, True, "#1f2933"),
        (box.lines[1], box.y + 11, 9.0, False, "#52606d"),
    ]


def _arrow(arrow: Arrow) -> str:
    head = ' marker-end="url(#head)"' if arrow.has_head else ""
    dash = ' stroke-dasharray="4 3"' if arrow.is_dashed else ""
    line = (
        f'<line x1="{arrow.x0:.1f}" y1="{arrow.y0:.1f}" x2="{arrow.x1:.1f}" y2="{arrow.y1:.1f}" '
        f'stroke="{_LINE}" stroke-width="1.2"{head}{dash}/>'
    )
    return line + _text(arrow_label(arrow)) if arrow.label else line


def arrow_label(arrow: Arrow) -> Text:
    """Return the text of an arrow: right of a steep one, above a flat one."""
    x, y = (arrow.x0 + arrow.x1) / 2, (arrow.y0 + arrow.y1) / 2
    if abs(arrow.y1 - arrow.y0) > abs(arrow.x1 - arrow.x0):
        return Text(x + 7, y + 3, arrow.label, 9, "start", colour="#52606d")
    return Text(x, y - 5, arrow.label, 9, "middle", colour="#52606d")


def _text(text: Text) -> str:
    weight = ' font-weight="bold"' if text.is_bold else ""
    return (
        f'<text x="{text.x:.1f}" y="{text.y:.1f}" font-size="{text.size:g}" '
        f'text-anchor="{text.anchor}" fill="{text.colour}"{weight}>{escape(text.text)}</text>'
    )
