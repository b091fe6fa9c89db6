"""``logfile.pdf`` of a job: every plot that it handed in, drawn from ``plots/*.json``.

A program hands its pictures in through ``run.plot(name, kind, title, data)`` and calls
`write_log` once at the end (and as often before as it likes). The pages follow the order in which
the plots came. The data of each kind are plain lists and texts; ``null`` is a gap.

All kinds
    ``axes``
        ``{"x": {"label", "unit"}, "y": {…}}``. Each may have ``"scale": "log"``, limits ``"low"``
        and ``"high"``. An axis in 1/Å has its ticks written in Å; ``"ticks"``:
        ``[[place, text], …]`` are written instead of numbers.
    ``thresholds``
        ``[{"axis": "y", "value": 0.143, "label": "0.143"}]``: thin lines across the panel.
    ``panels``
        Instead of one picture, one small picture a unit: a list of data of the same kind, each
        with a ``"title"``; what a panel does not say (axes, thresholds) is taken from outside.
    ``note``
        A sentence under the picture.

``line``
    ``series``: ``[{"name", "x": […], "y": […]}]``; a series may have ``"style"``: ``dashed``,
    ``points`` (marks instead of a line) or ``pale`` (earlier iterations).
``scatter``
    ``series`` as of ``line``; ``"c": […]`` colours the marks along one ramp (``axes.c`` names it).
``histogram``
    ``series``: ``[{"name", "edges": [n + 1], "counts": [n]}]``.
``bar``
    ``series``: ``[{"name", "labels": [texts], "values": […]}]``; several series stand side by side.
``image``
    ``image``: rows of a 2D array, the first row at the top (``"origin": "bottom"`` for y upwards);
    ``colour``: ``grey`` (default), ``ramp`` (pale to dark blue) or ``difference``
    (blue-white-orange about 0); ``low`` and ``high`` of the greys (default: all but 0.5 % at each
    end); ``bar``: true for a colour bar (``axes.c`` names it); ``width`` and ``height`` where the
    axes do not count pixels of the array; ``series`` of marks ``[{"name", "x", "y"}]`` on top,
    circles of ``"radius"`` (a length in units of the axes).
``vectors``
    ``tracks``: ``[{"name", "x": […], "y": […], "at": [x, y]}]``, a path each, drawn from its start
    (a dot). With ``at`` the path is drawn at that place, ``scale`` times as large; ``scale`` is
    told in the picture. Axes are equally scaled; ``width`` and ``height`` give the field.
``table``
    ``columns``: ``[{"name", "unit"}]``; ``rows``: lists of texts and numbers. Long tables go on.

A kind that is not known, or data that do not fit their kind, is told on the page and spoils
nothing else.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vitreous.io.atomic import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG: Final = "logfile.pdf"
MOST_PANELS: Final = 200  # of one plot: a log of thousands of micrographs must open
_TABLE_ROWS: Final = 48


@dataclass(frozen=True)
class Panel:
    """One picture on a page.

    Parameters
    ----------
    kind, title
        Of the plot; the title may be empty.
    data
        As told in `vitreous.programs.pdf_log`.
    is_small
        Whether two of them share the width of a page.
    heading
        Title of the plot that this is the first panel of; else empty.
    """

    kind: str
    title: str
    data: Mapping[str, Any]
    is_small: bool = False
    heading: str = ""


def write_log(job_folder: Path) -> Path:
    """Draw every plot of a job into its ``logfile.pdf``.

    Parameters
    ----------
    job_folder
        Folder with ``results.json`` and ``plots/*.json``. Without any plot the log says so.

    Returns
    -------
    Path
        The file. Equal plots make equal bytes.
    """
    _load_without_help()
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages

    target = io.BytesIO()
    about = {"Title": str(job_folder), "Creator": "vitreous", "CreationDate": None}
    with (
        mpl.rc_context({"pdf.fonttype": 3, "font.size": 8, "text.parse_math": False}),
        PdfPages(target, metadata=about) as pages,
    ):
        for figure in figures(job_folder):
            FigureCanvasPdf(figure)
            pages.savefig(figure)
    path = job_folder / LOG
    write_bytes(path, target.getvalue())
    return path


def _load_without_help() -> None:
    """Load matplotlib without the lists of properties that it writes for its help pages.

    They take a third of the time that it needs to load. Nor is there anything to collect meanwhile.
    """
    from matplotlib import artist

    list_properties = artist.kwdoc
    artist.kwdoc = lambda artist: ""
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        importlib.import_module("matplotlib.backends.backend_pdf")
    finally:
        artist.kwdoc = list_properties
        if was_collecting:
            gc.enable()


def figures(job_folder: Path) -> Iterator[Figure]:
    """Yield the pages of the log one after the other, as matplotlib figures."""
    from vitreous.programs.pdf_panels import draw_page, fill_pages

    name = "/".join(job_folder.parts[-2:])
    panels = [panel for plot in _plots(job_folder) for panel in _panels(plot)]
    if not panels:
        panels = [Panel("nothing", "", {"note": "This job has made no plots."})]
    pages = fill_pages(panels)
    for number, page in enumerate(pages, start=1):
        yield draw_page(page, f"{name}, page {number} of {len(pages)}")


def _plots(job_folder: Path) -> list[dict[str, Any]]:
    """Return kind, title and data of every plot; those that no list names come last."""
    listed = _read(job_folder / "results.json").get("plots", [])
    plots = [{**plot, "data": _read(job_folder / str(plot["data"]))} for plot in listed]
    known = {str(plot["data"]) for plot in listed}
    for path in sorted((job_folder / "plots").glob("*.json")):
        if f"plots/{path.name}" not in known:
            data = _read(path)
            plots.append({"kind": _guess(data), "title": path.stem, "data": data})
    return plots


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _guess(data: Mapping[str, Any]) -> str:
    """Return the kind of a plot that came without one."""
    panels = data.get("panels")
    one = {**data, **panels[0]} if panels else data
    for key, kind in (("image", "image"), ("tracks", "vectors"), ("rows", "table")):
        if key in one:
            return kind
    series = one.get("series") or [{}]
    if "edges" in series[0]:
        return "histogram"
    return "bar" if "values" in series[0] else "line"


def _panels(plot: Mapping[str, Any]) -> Iterator[Panel]:
    kind, title, data = str(plot["kind"]), str(plot["title"]), plot["data"]
    if kind == "table":
        yield from _tables(title, data)
        return
    if "panels" not in data:
        yield Panel(kind, title, data, is_small=kind in ("image", "vectors"))
        return
    shared = {key: value for key, value in data.items() if key not in ("panels", "note")}
    inner = data["panels"]
    heading = title
    if len(inner) > MOST_PANELS:
        heading = f"{title} (the first {MOST_PANELS:,} of {len(inner):,})"
    for panel in inner[:MOST_PANELS]:
        yield Panel(kind, str(panel.get("title", "")), {**shared, **panel}, True, heading)
        heading = ""


def _tables(title: str, data: Mapping[str, Any]) -> Iterator[Panel]:
    rows = data.get("rows", [])
    for start in range(0, max(1, len(rows)), _TABLE_ROWS):
        part = {**data, "rows": rows[start : start + _TABLE_ROWS]}
        yield Panel("table", title if start == 0 else f"{title}, from row {start + 1:,}", part)
