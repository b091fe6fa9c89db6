"""Where jobs stand in a picture of the whole project: in layers, with few crossings.

Sugiyama, Tagawa & Toda, IEEE Trans. SMC 11, 109 (1981): a job stands below all that it reads
(longest path), and within its layer near the middle of its neighbours (barycentre sweeps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vitreous.gui.models.jobs import Graph
from vitreous.project.scene import Arrow, Box, Picture, Text

BOX_WIDTH: Final = 168.0
BOX_HEIGHT: Final = 44.0
_GAP_X: Final = 28.0
_GAP_Y: Final = 46.0
_MARGIN: Final = 24.0
_SWEEPS: Final = 6
_FILLS: Final = {
    "micrographs": ("#e3edf9", "#3a76b8"),
    "particles": ("#f6f2d6", "#8a7a00"),
    "2d": ("#fae6d8", "#b8591a"),
    "3d": ("#f6e0f0", "#a03c84"),
    "improve": ("#dcf2ed", "#12866f"),
    "map": ("#e8ebed", "#67737a"),
}


@dataclass(frozen=True)
class Place:
    """Layer of a job, and the centre of its box in points."""

    layer: int
    x: float
    y: float


def places(jobs: Sequence[int], edges: Sequence[tuple[int, int]]) -> dict[int, Place]:
    """Return a place for each job.

    Parameters
    ----------
    jobs
        Their numbers.
    edges
        Pairs of numbers: from, to.
    """
    parents: dict[int, list[int]] = {n: [] for n in jobs}
    children: dict[int, list[int]] = {n: [] for n in jobs}
    for source, target in edges:
        if source in parents and target in parents and source != target:
            parents[target].append(source)
            children[source].append(target)
    layer_of = _layers(jobs, parents, children)
    layers: list[list[int]] = [[] for _ in range(max(layer_of.values(), default=-1) + 1)]
    for n in jobs:
        layers[layer_of[n]].append(n)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        _order(layers if down else layers[::-1], parents if down else children)
    widest = max((len(layer) for layer in layers), default=0)
    found = {}
    for depth, layer in enumerate(layers):
        left = _MARGIN + (widest - len(layer)) * (BOX_WIDTH + _GAP_X) / 2
        for place, n in enumerate(layer):
            x = left + place * (BOX_WIDTH + _GAP_X) + BOX_WIDTH / 2
            y = _MARGIN + depth * (BOX_HEIGHT + _GAP_Y) + BOX_HEIGHT / 2
            found[n] = Place(depth, x, y)
    return found


def size(found: Mapping[int, Place]) -> tuple[float, float]:
    """Return width and height of a picture of these places."""
    width = max((place.x for place in found.values()), default=0.0) + BOX_WIDTH / 2 + _MARGIN
    height = max((place.y for place in found.values()), default=0.0) + BOX_HEIGHT / 2 + _MARGIN
    return width, height


def picture(graph: Graph, title: str) -> Picture:
    """Draw a graph whose jobs have places."""
    made = Picture(0, graph.width or 0.0, (graph.height or 0.0) + 30)
    made.texts.append(Text(_MARGIN, 20, title, 13, is_bold=True))
    at = {job.n: (job.x or 0.0, (job.y or 0.0) + 30) for job in graph.jobs}
    for edge in graph.edges:
        (x0, y0), (x1, y1) = at[edge.source], at[edge.target]
        made.arrows.append(Arrow(x0, y0 + BOX_HEIGHT / 2, x1, y1 - BOX_HEIGHT / 2))
    for job in graph.jobs:
        fill, frame = _FILLS[job.family]
        state = "" if job.status == "Succeeded" else f", {job.status.lower()}"
        lines = (job.alias or job.name.rstrip("/"), f"{job.n}: {job.gui_name}{state}")
        x, y = at[job.n]
        dashed = job.status == "Scheduled"
        made.boxes.append(Box(x, y, BOX_WIDTH, BOX_HEIGHT, lines, fill, frame, is_dashed=dashed))
    return made


def _layers(
    jobs: Sequence[int], parents: Mapping[int, list[int]], children: Mapping[int, list[int]]
) -> dict[int, int]:
    """Return the layer of each job; a circle, which no project should have, is cut."""
    waiting = {n: len(parents[n]) for n in jobs}
    layer = dict.fromkeys(jobs, 0)
    ready = [n for n in jobs if not waiting[n]]
    done: set[int] = set()
    while len(done) < len(jobs):
        if not ready:
            ready = [min(n for n in jobs if n not in done)]
        n = ready.pop()
        if n in done:
            continue
        done.add(n)
        for child in children[n]:
            if child in done:
                continue
            layer[child] = max(layer[child], layer[n] + 1)
            waiting[child] -= 1
            if waiting[child] <= 0:
                ready.append(child)
    return layer


def _order(layers: Sequence[list[int]], neighbours: Mapping[int, list[int]]) -> None:
    """Sort each layer by the mean place of its neighbours in the layers before."""
    place: dict[int, float] = {}
    for layer in layers:
        means = {}
        for index, n in enumerate(layer):
            before = [place[one] for one in neighbours[n] if one in place]
            means[n] = sum(before) / len(before) if before else index / max(1, len(layer))
        layer.sort(key=lambda n: means[n])
        for index, n in enumerate(layer):
            place[n] = (index + 0.5) / len(layer)
