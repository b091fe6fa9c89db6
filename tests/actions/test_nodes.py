"""Short names of outputs, and what the Python API keeps free of options."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from vitreous import Project
from vitreous.actions.nodes import Outputs, noun, short_name
from vitreous.jobs import registry
from vitreous.project.pipeline import Node


@pytest.mark.parametrize(
    ("node_type", "name"),
    [
        ("ParticleGroupMetadata.star.relion.class2d", "particles"),
        ("MicrographMovieGroupMetadata.star.relion", "movies"),
        ("MicrographGroupMetadata.star.relion.ctf", "micrographs"),
        ("MicrographCoordsGroup.star.relion.autopick", "coordinates"),
        ("Image2DGroupMetadata.star.relion.classaverages", "class_averages"),
        ("OptimiserData.star.relion.refine3d", "optimiser"),
        ("DensityMap.mrc.relion.refine3d", "map"),
        ("DensityMap.mrc.relion.halfmap.refine3d", "half_map"),
        ("DensityMap.mrc.relion.postprocess.masked", "masked_map"),
        ("Mask3D.mrc.relion", "mask"),
        ("LogFile.pdf.relion.ctffind", "log"),
        ("SomethingNew.xyz", "odd"),
    ],
)
def test_an_output_has_a_short_name(node_type, name):
    assert short_name(Node("Type/job001/odd.xyz", node_type)) == name


def test_outputs_of_one_kind_are_numbered_and_file_names_work():
    nodes = [
        Node(f"Class3D/job004/run_it025_class00{k}.mrc", "DensityMap.mrc.relion.class3d")
        for k in (1, 2)
    ]
    outputs = Outputs(Path("/p"), [*nodes, Node("Class3D/job004/run_it025_data.star", "Odd.star")])
    assert list(outputs) == ["map_1", "map_2", "run_it025_data"]
    assert outputs["map_2"] == Path("/p/Class3D/job004/run_it025_class002.mrc")
    assert outputs["run_it025_class001.mrc"] == outputs["map_1"]
    with pytest.raises(KeyError, match="map_1, map_2"):
        _ = outputs["map"]


def test_types_are_called_by_words():
    assert noun("DensityMap.mrc.halfmap") == "a map"
    assert noun("Sausage.star") == "a file of type Sausage"


def test_no_option_is_called_like_an_argument_of_run():
    arguments = set(inspect.signature(Project.run).parameters) - {"values"}
    for job_type in registry.all_types():
        assert not arguments & (set(job_type.options) | set(job_type.by_key)), job_type.word
