"""How the commands print: JSON, aligned columns, colour on a terminal."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitreous.running.progress import Report

_CLEAR = "\r\x1b[K"
_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


def print_json(value: object) -> None:
    """Print `value` as JSON; what JSON does not know (paths) becomes text."""
    print(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def has_colour() -> bool:
    """Tell whether colour is wanted on stdout (NO_COLOR and FORCE_COLOR are obeyed)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def paint(text: str, style: str) -> str:
    """Return `text` in a colour where the terminal shows colours, else as it is."""
    if not style or not text or not has_colour():
        return text
    codes = ";".join(_STYLES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def print_line(line: str) -> None:
    """Print a line; on a terminal over what `print_progress` left there."""
    clear_progress()
    print(line, flush=True)


def print_progress(report: Report) -> None:
    """Show how far a job is on one line, which the next takes the place of."""
    from vitreous.running.progress import mouse

    sys.stdout.write(_CLEAR + mouse(report, get_terminal_size().columns - 1))
    sys.stdout.flush()


def clear_progress() -> None:
    """Take away what `print_progress` left."""
    if sys.stdout.isatty():
        sys.stdout.write(_CLEAR)


def width(text: str) -> int:
    """Return how many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    beyond = [letter for letter in text if letter > "\x7f"]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in beyond)
    marks = sum(unicodedata.combining(letter) > 0 for letter in beyond)
    return len(text) + wide - marks


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    styles: Iterable[Sequence[str]] = (),
    right: Sequence[int] = (),
) -> None:
    """Print columns that are as wide as their widest cell.

    Parameters
    ----------
    headings
        One text a column; all empty leaves the heading line out.
    rows
        The cells. On a terminal the last column is cut at its edge.
    styles
        For each row one style a cell (see `paint`); none where absent.
    right
        The columns whose cells are aligned to the right.
    """
    rows = [list(map(str, row)) for row in rows]
    painted = [list(style) for style in styles] or [[""] * len(headings)] * len(rows)
    every = [list(headings), *rows] if any(headings) else rows
    widths = [
        max((width(row[column]) for row in every), default=0) for column in range(len(headings))
    ]
    if sys.stdout.isatty():
        room = get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(room, 20))
    if any(headings):
        print(_line(list(headings), widths, ["bold"] * len(headings), right))
    for row, style in zip(rows, painted, strict=True):
        print(_line(row, widths, style, right))


def _line(
    cells: Sequence[str], widths: Sequence[int], styles: Sequence[str], right: Sequence[int]
) -> str:
    parts = []
    for column, (cell, wanted, style) in enumerate(zip(cells, widths, styles, strict=True)):
        text = cell if width(cell) <= wanted else cell[: wanted - 1] + "…"
        space = " " * (wanted - width(text))
        parts.append(space + paint(text, style) if column in right else paint(text, style) + space)
    return "  ".join(parts).rstrip()


def warn(message: str) -> None:
    """Print a warning on stderr."""
    print(f"warning: {message}", file=sys.stderr)


def human_size(n_bytes: float) -> str:
    """Return a size such as `3.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def human_time(seconds: float) -> str:
    """Return a length of time such as `45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min" if minutes >= 10 else f"{minutes} min {rest:02d} s"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if days else f"{hours} h {minutes:02d} min"
