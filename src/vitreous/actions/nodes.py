"""Files between jobs, as a user meets them: short names, nouns, and which fit an input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from vitreous.errors import InputError
from vitreous.project.node_types import accepts
from vitreous.project.pipeline import Node, Pipeline

_SHOWN = 5
# First part of the type -> short name of an output, and what people call it.
_NAMES = {
    "MicrographMovieGroupMetadata": ("movies", "movies"),
    "MicrographGroupMetadata": ("micrographs", "micrographs"),
    "MicrographCoordsGroup": ("coordinates", "particle coordinates"),
    "ParticleGroupMetadata": ("particles", "particles"),
    "Image2DGroupMetadata": ("images", "2D images"),
    "OptimiserData": ("optimiser", "an optimiser file"),
    "ModelData": ("model_star", "a model file"),
    "DensityMap": ("map", "a map"),
    "Mask3D": ("mask", "a mask"),
    "Image3D": ("local_resolution", "a local-resolution map"),
    "ProcessData": ("postprocess", "a post-processing result"),
    "ParamsData": ("parameters", "polishing parameters"),
    "LogFile": ("log", "a PDF log"),
    "Sequence": ("sequences", "sequences"),
    "AtomCoords": ("model", "an atomic model"),
}
# A later part of the type that makes a name of its own, by first part.
_SPECIAL = {
    ("Image2DGroupMetadata", "classaverages"): "class_averages",
    ("DensityMap", "halfmap"): "half_map",
    ("DensityMap", "masked"): "masked_map",
    ("DensityMap", "localresfiltered"): "filtered_map",
}


def noun(node_type: str) -> str:
    """Return what people call a type of node: ``particles``, ``a map``."""
    stem = node_type.partition(".")[0]
    return _NAMES[stem][1] if stem in _NAMES else f"a file of type {stem}"


def short_name(node: Node) -> str:
    """Return the name that an output is asked for by: ``particles``, ``half_map``."""
    stem, *rest = node.type_label.split(".")
    for part in reversed(rest):
        if (stem, part) in _SPECIAL:
            return _SPECIAL[stem, part]
    return _NAMES[stem][0] if stem in _NAMES else PurePosixPath(node.name).stem


class Outputs(Mapping[str, Path]):
    """Output files of a job by short name.

    Where several have the same name they are numbered in the order of the graph
    (``map_1``, ``map_2``). The name of a file works too.
    """

    def __init__(self, root: Path, nodes: Iterable[Node]) -> None:
        nodes = list(nodes)
        count = Counter(map(short_name, nodes))
        seen: Counter[str] = Counter()
        self._paths: dict[str, Path] = {}
        self._files: dict[str, Path] = {}
        for node in nodes:
            name = short_name(node)
            seen[name] += 1
            key = f"{name}_{seen[name]}" if count[name] > 1 else name
            self._paths[key] = root / node.name
            self._files[PurePosixPath(node.name).name] = root / node.name

    def __getitem__(self, name: str) -> Path:
        if name in self._paths:
            return self._paths[name]
        if name in self._files:
            return self._files[name]
        have = ", ".join(self._paths) or "none"
        raise KeyError(f"no output {name!r}; this job has: {have}")

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __repr__(self) -> str:
        return (
            f"Outputs({', '.join(f'{name}={str(path)!r}' for name, path in self._paths.items())})"
        )


def one_output(outputs: Outputs, name: str) -> Path:
    """Return an output, or say which there are."""
    try:
        return outputs[name]
    except KeyError as error:
        raise InputError(str(error.args[0])) from None


def fitting(pipeline: Pipeline, root: Path, wanted: str) -> list[str]:
    """Return the nodes that an input of type `wanted` takes, those of the newest jobs first."""

    def age(name: str) -> int:
        producer = pipeline.producer(name)
        return -pipeline.processes[producer].number if producer else 0

    names = [node.name for node in pipeline.nodes.values() if accepts(wanted, node.type_label)]
    return [name for name in sorted(names, key=age) if (root / name).exists()]


def what_fits(pipeline: Pipeline, root: Path, wanted: str) -> str:
    """Return a sentence that lists the nodes that would fit."""
    names = fitting(pipeline, root, wanted)
    if not names:
        return f"This project has no {noun(wanted).removeprefix('a ').removeprefix('an ')} yet"
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"These would fit: {', '.join(names[:_SHOWN])}{rest}"
