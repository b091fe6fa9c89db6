"""Where the boxes and arrows of a flowchart stand."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

from vitreous.project import process_types
from vitreous.project.history import Chart, Source, Step
from vitreous.project.pipeline import Process, Status
from vitreous.project.scene import Arrow, Box, Picture, Text, text_width

_MARGIN: Final = 24.0
_BOX_HEIGHT: Final = 38.0
_ROW_GAP: Final = 40.0
_SIDE_GAP: Final = 96.0
_PARENT_GAP: Final = 62.0
_STACK_GAP: Final = 10.0
_TITLE: Final = 30.0
_NAME_SIZE: Final = 11.0
_SMALL_SIZE: Final = 9.0
_PER_LINE: Final = 5

# Fill and frame by stage of the work.
_COLOURS: Final = {
    "micrographs": ("#e3edf9", "#3a6ea5"),
    "particles": ("#e4f3e6", "#3b8a4f"),
    "classes": ("#fdf1d8", "#b8801e"),
    "maps": ("#f9e2dc", "#b4533a"),
    "other": ("#ece8f4", "#6b5b95"),
    "outside": ("#ffffff", "#8a94a0"),
}
_STAGES: Final = {
    "micrographs": {"Import", "MotionCorr", "CtfFind"},
    "particles": {
        "ManualPick",
        "AutoPick",
        "Extract",
        "Polish",
        "CtfRefine",
        "Subtract",
        "JoinStar",
    },
    "classes": {"Class2D", "Select", "Class3D"},
    "maps": {"InitialModel", "Refine3D", "MultiBody", "PostProcess", "LocalRes", "DynaMight"},
}
_STATE_NOTES: Final = {
    Status.RUNNING: "running",
    Status.SCHEDULED: "scheduled",
    Status.FAILED: "failed",
    Status.ABORTED: "aborted",
}


def draw_overview(names: list[str], job: str) -> Picture:
    """Draw the types of the jobs of a chain in reading order, five a line.

    Parameters
    ----------
    names
        Short names, last job first.
    job
        Whose history it is.
    """
    picture = Picture(0)
    width = max(text_width(name, _NAME_SIZE, is_bold=True) for name in names) + 26
    step = width + 34
    picture.texts.append(
        Text(_MARGIN, _MARGIN + 12, f"Overview: {job.rstrip('/')}", 13, is_bold=True)
    )
    ordered = names[::-1]
    places = []
    for index, name in enumerate(ordered):
        line, column = divmod(index, _PER_LINE)
        x = _MARGIN + width / 2 + column * step
        y = _MARGIN + _TITLE + 20 + line * (_BOX_HEIGHT + 22)
        fill, edge = _COLOURS[_stage(name)]
        is_last = index == len(ordered) - 1
        picture.boxes.append(Box(x, y, width, 30, (name,), fill, edge, 2.2 if is_last else 1.0))
        places.append((x, y))
    for (x0, y0), (x1, y1) in pairwise(places):
        if y0 == y1:
            picture.arrows.append(Arrow(x0 + width / 2, y0, x1 - width / 2, y1))
        else:
            _turn(picture, x0 + width / 2, y0, x1, y1 - 15)
    picture.width = (
        _MARGIN * 2 + min(len(names), _PER_LINE) * step - 34 + (20 if len(names) > _PER_LINE else 0)
    )
    picture.width = max(picture.width, _title_width(picture))
    picture.height = places[-1][1] + 15 + _MARGIN
    return picture


def draw_chart(chart: Chart, *, is_last_job: str) -> Picture:
    """Draw one chart: the last job at the bottom, its main inputs above one another.

    Parameters
    ----------
    chart
        What it shows.
    is_last_job
        The job whose history it is; its frame is thick.
    """
    picture = Picture(chart.number)
    links = dict(chart.links)
    left, right, main = _column_widths(chart)
    left_room = left + _SIDE_GAP if left else 0.0
    centre = _MARGIN + max(left_room + main / 2, _parents_width(chart) / 2)
    y = _MARGIN + _TITLE
    picture.texts.append(
        Text(_MARGIN, _MARGIN + 12, f"{chart.number}. {chart.title}", 13, is_bold=True)
    )
    y = _draw_top(picture, chart, links, centre, y)
    for index, step in enumerate(reversed(chart.steps)):
        height = _row_height(step)
        y += height / 2
        box = _job_box(step.job, centre, y, main, is_bold_frame=step.job.name == is_last_job)
        picture.boxes.append(box)
        _draw_sides(picture, step, links, box, (left, right))
        is_lowest = index == len(chart.steps) - 1
        if not is_lowest:
            below = chart.steps[len(chart.steps) - 2 - index]
            gap = _ROW_GAP + (height - box.height) / 2 + (_row_height(below) - box.height) / 2
            label = below.main.label if below.main else ""
            bottom = y + box.height / 2
            picture.arrows.append(Arrow(centre, bottom, centre, bottom + gap, label))
        y += height / 2 + (0 if is_lowest else _ROW_GAP)
    right_edge = centre + main / 2 + (_SIDE_GAP + right if right else 60)
    picture.width = (
        max(right_edge, centre + _parents_width(chart) / 2, _title_width(picture)) + _MARGIN
    )
    picture.height = y + _MARGIN
    return picture


def _draw_top(
    picture: Picture, chart: Chart, links: dict[str, int], centre: float, y: float
) -> float:
    """Draw what stands above the first job of a chart, and return where that job begins."""
    first = chart.steps[-1]
    if first.parents:
        return _draw_parents(picture, first, links, centre, y)
    if first.main is None:
        return y + 4
    source = first.main
    y += _BOX_HEIGHT / 2
    box = _source_box(source, centre, y, chart.above)
    picture.boxes.append(box)
    end = y + _BOX_HEIGHT / 2
    gap = _ROW_GAP + (_row_height(first) - _BOX_HEIGHT) / 2
    picture.arrows.append(
        Arrow(centre, end, centre, end + gap, source.label, is_dashed=source.job is None)
    )
    return end + _ROW_GAP


def _draw_parents(
    picture: Picture, step: Step, links: dict[str, int], centre: float, y: float
) -> float:
    """Draw the parents of a JoinStar job side by side, with arrows into it."""
    boxes = [_source_box(s, 0, 0, links.get(s.job.name) if s.job else None) for s in step.parents]
    widest = max(box.width for box in boxes)
    pitch = widest + 30
    x = centre - pitch * (len(boxes) - 1) / 2
    y += _BOX_HEIGHT / 2
    end = y + _BOX_HEIGHT / 2
    for source, box in zip(step.parents, boxes, strict=True):
        picture.boxes.append(replace(box, x=x, y=y))
        # Down first, with the count, then across: texts stay clear of slanted lines.
        picture.arrows.append(Arrow(x, end, x, end + 30, source.label, has_head=False))
        target = centre + (x - centre) * 0.12
        picture.arrows.append(Arrow(x, end + 30, target, end + _PARENT_GAP))
        x += pitch
    return end + _PARENT_GAP


def _draw_sides(
    picture: Picture, step: Step, links: dict[str, int], box: Box, widths: tuple[float, float]
) -> None:
    for side, sign, width in (("left", -1, widths[0]), ("right", 1, widths[1])):
        sources = [source for source in step.sides if source.side == side]
        pitch = _BOX_HEIGHT + _STACK_GAP
        y = box.y - pitch * (len(sources) - 1) / 2
        for index, source in enumerate(sources):
            x = box.x + sign * (box.width / 2 + _SIDE_GAP + width / 2)
            link = links.get(source.job.name) if source.job else None
            beside = _source_box(source, x, y, link)
            picture.boxes.append(beside)
            edge = box.x + sign * box.width / 2
            spread = (index - (len(sources) - 1) / 2) * 9
            _join(picture, x - sign * beside.width / 2, y, edge, box.y + spread, source)
            y += pitch


def _join(picture: Picture, x0: float, y0: float, x1: float, y1: float, source: Source) -> None:
    """Draw an arrow into the side of a job: level where its text is, then slanted if need be."""
    is_outside = source.job is None
    if y0 == y1:
        picture.arrows.append(Arrow(x0, y0, x1, y1, source.label, is_outside))
        return
    bend = x1 + (x0 - x1) * 0.3
    picture.arrows.append(Arrow(x0, y0, bend, y0, source.label, is_outside, has_head=False))
    picture.arrows.append(Arrow(bend, y0, x1, y1, "", is_outside))


def _turn(picture: Picture, x0: float, y0: float, x1: float, y1: float) -> None:
    """Draw the way from the end of one line of the overview to the start of the next."""
    middle = (y0 + y1) / 2 + 2
    corners = ((x0, y0), (x0 + 14, y0), (x0 + 14, middle), (x1, middle), (x1, y1))
    for (ax, ay), (bx, by) in pairwise(corners):
        picture.arrows.append(Arrow(ax, ay, bx, by, has_head=(bx, by) == corners[-1]))


def _job_box(job: Process, x: float, y: float, width: float, *, is_bold_frame: bool) -> Box:
    fill, edge = _COLOURS[_stage(process_types.to_folder(job.type_label))]
    edge_width = 2.4 if is_bold_frame else 1.1
    return Box(x, y, width, _BOX_HEIGHT, _job_lines(job), fill, edge, edge_width)


def _source_box(source: Source, x: float, y: float, link: int | None) -> Box:
    if source.job is None:
        lines: tuple[str, ...] = (PurePosixPath(source.node.name).name, "from outside")
        fill, edge = _COLOURS["outside"]
    else:
        name, *second = _job_lines(source.job)
        lines = (name, ", ".join([*second, f"see {link}"])) if link else (name, *second)
        fill, edge = _COLOURS[_stage(process_types.to_folder(source.job.type_label))]
    return Box(
        x, y, _lines_width(lines), _BOX_HEIGHT, lines, fill, edge, 1.0, source.job is None, link
    )


def _job_lines(job: Process) -> tuple[str, ...]:
    """Return the name of a job, and what more there is to say: alias, variant, state."""
    base = process_types.base_label(job.type_label)
    variant = job.type_label.removeprefix(base).strip(".").replace(".", ", ")
    alias = job.alias.rstrip("/").rpartition("/")[2] if job.alias else ""
    more = [word for word in (alias or variant, _STATE_NOTES.get(job.status)) if word]
    name = job.name.rstrip("/")
    return (name, ", ".join(more)) if more else (name,)


def _lines_width(lines: tuple[str, ...]) -> float:
    first = text_width(lines[0], _NAME_SIZE, is_bold=True)
    return max([first, *(text_width(line, _SMALL_SIZE) for line in lines[1:])]) + 22


def _row_height(step: Step) -> float:
    most = max(sum(source.side == side for source in step.sides) for side in ("left", "right"))
    return max(most, 1) * (_BOX_HEIGHT + _STACK_GAP) - _STACK_GAP


def _column_widths(chart: Chart) -> tuple[float, float, float]:
    """Return the widths of the left, right and main columns; 0 for one that is empty."""
    widths = {"left": 0.0, "right": 0.0}
    main = 150.0
    links = dict(chart.links)
    for step in chart.steps:
        main = max(main, _lines_width(_job_lines(step.job)))
        for source in step.sides:
            link = links.get(source.job.name) if source.job else None
            widths[source.side] = max(widths[source.side], _source_box(source, 0, 0, link).width)
    return widths["left"], widths["right"], main


def _parents_width(chart: Chart) -> float:
    parents = chart.steps[-1].parents
    links = dict(chart.links)
    widths = [_source_box(s, 0, 0, links.get(s.job.name) if s.job else None).width for s in parents]
    return len(widths) * (max(widths) + 30) - 30 if widths else 0.0


def _title_width(picture: Picture) -> float:
    return _MARGIN + max(text_width(text.text, text.size, is_bold=True) for text in picture.texts)


def _stage(folder: str) -> str:
    return next((stage for stage, folders in _STAGES.items() if folder in folders), "other")
