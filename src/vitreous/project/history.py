"""The history of a job: what it was made from, as chains of jobs with their side inputs.

Each chain walks upwards from a job through its main input. A side input (mask, coordinates,
references) is a box beside the job, and its own history another chain (pipeline.md section 11).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from vitreous.project import node_types as types
from vitreous.project import process_types
from vitreous.project.pipeline import Node, Pipeline, Process
from vitreous.project.row_count import count_rows

STEPS_PER_CHART: Final = 10
_MOST_PARENTS: Final = 4
# The input that a job is mostly about, first one first.
_MAIN_FIRST: Final = (
    "ParticleGroupMetadata",
    "OptimiserData",
    "MicrographGroupMetadata",
    "MicrographMovieGroupMetadata",
    "ModelData",
    "Image2DGroupMetadata",
    "DensityMap",
    "ProcessData",
    "MicrographCoordsGroup",
)
_COUNTED: Final = {
    "MicrographMovieGroupMetadata": "movies",
    "MicrographGroupMetadata": "micrographs",
    "ParticleGroupMetadata": "particles",
    "Image2DGroupMetadata": "classes",
}
_REFERENCE_READERS: Final = {
    *("relion.class3d", "relion.refine3d", "relion.autopick", "relion.multibody"),
    *("relion.extract", "relion.subtract", "relion.external"),
}
_LEFT: Final = {"Mask3D", "MicrographCoordsGroup"}


@dataclass(frozen=True)
class Source:
    """One input of a job.

    Parameters
    ----------
    node
        The file.
    job
        Who made it, None for a file from outside.
    label
        What stands on the arrow: ``12,345 particles``, ``mask``.
    side
        Where its box stands beside the job.
    """

    node: Node
    job: Process | None
    label: str
    side: Literal["left", "right"]


@dataclass(frozen=True)
class Step:
    """One job of a chain.

    Parameters
    ----------
    job
        The job.
    main
        Its main input, None for one that reads nothing.
    sides
        The other inputs.
    parents
        For a JoinStar job up to four inputs side by side, instead of a main one.
    """

    job: Process
    main: Source | None = None
    sides: tuple[Source, ...] = ()
    parents: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Chart:
    """One picture: a part of a chain, from the last job up to the first.

    Parameters
    ----------
    number
        From 1 in the order of the pictures.
    title
        What it shows.
    steps
        The jobs, last one first.
    above
        Number of the chart that shows where its first job's main input came from.
    links
        Number of the chart where a job has its history, by name of the job.
    """

    number: int
    title: str
    steps: tuple[Step, ...]
    above: int | None = None
    links: tuple[tuple[str, int], ...] = ()


def history(root: Path, pipeline: Pipeline, job: Process) -> list[Chart]:
    """Return the charts of a job: its main chain first, then one per side branch.

    A chain that meets a job of an earlier chart ends there and refers to it; after ten
    steps a new chart begins.
    """
    charts: list[Chart] = []
    place: dict[str, int] = {}
    waiting = [job.name]
    while waiting:
        name = waiting.pop(0)
        if name in place:
            continue
        chain = _chain(root, pipeline, pipeline.processes[name], place)
        charts += _pictures(chain, len(charts) + 1, is_main=not charts)
        for chart in charts:
            place |= {step.job.name: chart.number for step in chart.steps}
        waiting += [
            source.job.name
            for step in chain
            for source in (*step.sides, *step.parents)
            if source.job
        ]
    return [
        replace(chart, links=_links(chart, place), above=_above(chart, place)) for chart in charts
    ]


def step_of(root: Path, pipeline: Pipeline, job: Process) -> Step:
    """Return one job with its inputs sorted into the main one and the others."""
    inputs = [node for node in pipeline.inputs(job.name) if _stem(node) != "LogFile"]
    ranked = sorted(inputs, key=_rank)
    sources = [_source(root, pipeline, node, job) for node in ranked]
    if process_types.base_label(job.type_label) == "relion.joinstar" and len(sources) > 1:
        return Step(job, parents=tuple(sources[:_MOST_PARENTS]))
    if not sources:
        return Step(job)
    # What another job made says more about the history than a file from outside.
    main = next(
        (s for s in sources if s.job and _rank(s.node) == _rank(sources[0].node)), sources[0]
    )
    return Step(job, main, tuple(source for source in sources if source is not main))


def _chain(root: Path, pipeline: Pipeline, job: Process, place: dict[str, int]) -> list[Step]:
    chain: list[Step] = []
    seen: set[str] = set()
    current: Process | None = job
    while current and current.name not in place and current.name not in seen:
        seen.add(current.name)
        chain.append(step_of(root, pipeline, current))
        current = chain[-1].main.job if chain[-1].main else None
    return chain


def _pictures(chain: list[Step], first: int, *, is_main: bool) -> list[Chart]:
    name = chain[0].job.name.rstrip("/")
    charts: list[Chart] = []
    for index in range(0, len(chain), STEPS_PER_CHART):
        title = f"History of {name}" if is_main else f"Branch: {name}"
        if index:
            title += f", part {index // STEPS_PER_CHART + 1}"
        steps = tuple(chain[index : index + STEPS_PER_CHART])
        charts.append(Chart(first + len(charts), title, steps))
    return charts


def _links(chart: Chart, place: dict[str, int]) -> tuple[tuple[str, int], ...]:
    sources = [s for step in chart.steps for s in (*step.sides, *step.parents) if s.job]
    names = dict.fromkeys(source.job.name for source in sources if source.job)
    return tuple(
        (name, place[name]) for name in names if place.get(name, chart.number) != chart.number
    )


def _above(chart: Chart, place: dict[str, int]) -> int | None:
    main = chart.steps[-1].main
    return place.get(main.job.name) if main and main.job else None


def _source(root: Path, pipeline: Pipeline, node: Node, reader: Process) -> Source:
    producer = pipeline.producer(node.name)
    job = pipeline.processes[producer] if producer else None
    side: Literal["left", "right"] = "left" if _stem(node) in _LEFT else "right"
    return Source(node, job, _arrow_label(root, node, reader), side)


def _arrow_label(root: Path, node: Node, reader: Process) -> str:
    stem = _stem(node)
    if stem in _COUNTED and node.name.endswith(".star"):
        count = count_rows(root / node.name)
        what = _COUNTED[stem]
        if count is not None:
            return f"{count:,} {what.removesuffix('s') if count == 1 else what}"
        return what
    if stem == "OptimiserData":
        reads_classes = process_types.base_label(reader.type_label) == "relion.select"
        return "classes" if reads_classes else "continue"
    if stem == "DensityMap":
        keywords = {10: "half-map", 11: "final map"}
        needs_map = process_types.base_label(reader.type_label) not in _REFERENCE_READERS
        plain = "map" if needs_map else "3D ref"
        return keywords.get(types.to_number(node.type_label), plain)
    return {
        "Image2DGroupMetadata": "2Drefs",
        "Image2DStack": "2Drefs",
        "Mask3D": "mask",
        "Image3D": "local-res map",
        "MicrographCoordsGroup": "coordinates",
        "ProcessData": "postprocess",
        "ModelData": "classes",
        "ParamsData": "parameters",
        "Sequence": "sequence",
        "AtomCoords": "model",
    }.get(stem, stem or "file")


def _stem(node: Node) -> str:
    return node.type_label.partition(".")[0]


def _rank(node: Node) -> int:
    stem = _stem(node)
    return _MAIN_FIRST.index(stem) if stem in _MAIN_FIRST else len(_MAIN_FIRST)
