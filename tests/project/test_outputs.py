"""What happens to outputs when a job ends, is marked, or was made by another program."""

from __future__ import annotations

from pathlib import Path

import pytest
from projects import DONE, chain, files, write

from vitreous.errors import FormatError, ProjectError
from vitreous.project import markers
from vitreous.project import node_types as types
from vitreous.project.discovery import discover, find_unlisted
from vitreous.project.folder import ProjectFolder
from vitreous.project.output_nodes import read_output_nodes, write_output_nodes
from vitreous.project.outputs import check_completion, drop_missing_outputs, mark
from vitreous.project.pipeline import Node, Status

BY_NUMBER = """
data_output_nodes
loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeType #2
{job}coords_suffix_topaz.star            2
"""
BY_LABEL = """
data_output_nodes
loop_
_rlnPipeLineNodeName #1
_rlnPipeLineNodeTypeLabel #2
{job}autopick.star  MicrographsCoords.star.relion.autopick
"""


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        job = pipeline.add_process("External", "relion.external", Status.RUNNING)
        pipeline.add_output(job.name, f"{job.name}expected.star", types.PARTICLES)
    return folder


@pytest.mark.parametrize(
    ("text", "label"),
    [(BY_NUMBER, types.COORDINATES), (BY_LABEL, f"{types.COORDINATES}.autopick")],
)
def test_listed_outputs_are_added_by_number_and_by_label(
    folder: ProjectFolder, text: str, label: str
) -> None:
    job = "External/job001/"
    write(folder.root, [f"{job}RELION_OUTPUT_NODES.star"], text.format(job=job))
    markers.write_marker(folder.job_dir(job), DONE)
    (done,) = check_completion(folder)
    assert done.process.status is DONE
    assert done.missing == (f"{job}expected.star", folder.read().outputs(job)[1].name)
    assert folder.read().outputs(job)[1].type_label == label


def test_a_list_that_cannot_be_read_is_told_and_the_job_still_ends(folder: ProjectFolder) -> None:
    write(folder.root, ["External/job001/RELION_OUTPUT_NODES.star"], "data_nodes\n\n_x 1\n")
    markers.write_marker(folder.job_dir("External/job001/"), DONE)
    (done,) = check_completion(folder)
    assert "data_output_nodes" in done.warnings[0]
    assert folder.read().find(1).status is DONE
    with pytest.raises(FormatError, match="wanted is a block"):
        read_output_nodes(folder.job_dir("External/job001/"))


@pytest.mark.parametrize("form", ["3.1", "5.0"])
def test_our_own_list_has_both_columns(tmp_path: Path, form: str) -> None:
    nodes = [Node("a.star", f"{types.PARTICLES}.class2d"), Node("b.mrc", types.MASK)]
    write_output_nodes(tmp_path, nodes, form)  # type: ignore[arg-type] # parametrised
    text = (tmp_path / "RELION_OUTPUT_NODES.star").read_text()
    assert "_rlnPipeLineNodeType #2" in text
    assert "_rlnPipeLineNodeTypeLabel #3" in text
    assert read_output_nodes(tmp_path) == nodes


@pytest.mark.parametrize(
    ("present", "status"),
    [
        ([markers.SUCCESS, markers.FAILURE, markers.ABORTED], Status.SUCCEEDED),
        ([markers.FAILURE, markers.ABORTED], Status.FAILED),
        ([markers.ABORTED], Status.ABORTED),
        (["PIPELINER_JOB_EXIT_FAILED"], Status.FAILED),
        (["PIPELINER_JOB_EXIT_SUCCESS"], Status.SUCCEEDED),
        ([], None),
    ],
)
def test_markers_are_read_in_the_order_of_relion(
    tmp_path: Path, present: list[str], status: Status | None
) -> None:
    for name in [*present, markers.ABORT_NOW]:
        (tmp_path / name).touch()
    assert markers.read_marker(tmp_path) is status
    assert markers.abort_requested(tmp_path)
    markers.clear_markers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_locked_or_written_while_nothing_has_ended(folder: ProjectFolder) -> None:
    before = folder.file.stat().st_mtime_ns
    (folder.root / ".relion_lock").mkdir()
    assert check_completion(folder) == []
    assert folder.file.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("label", "word", "map_label"),
    [
        ("relion.refine3d", "refine3d", "DensityMap.mrc.relion.halfmap.refine3d"),
        ("relion.class3d.helical", "class3d", "DensityMap.mrc.relion.class3d"),
    ],
)
def test_a_refinement_marked_as_finished_offers_its_last_iteration(
    tmp_path: Path, label: str, word: str, map_label: str
) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        job = pipeline.add_process("Refine3D", label, Status.RUNNING)
        pipeline.add_output(job.name, f"{job.name}run_data.star", types.PARTICLES)
    made = [
        f"{job.name}{root}{end}"
        for root in ("run_it008", "run_ct8_it009")
        for end in (
            *("_optimiser.star", "_data.star", "_half1_class001.mrc", "_half2_class001.mrc"),
            *("_class001.mrc", "_half1_class001_unfil.mrc"),
        )
    ]
    write(tmp_path, made)
    done = mark(folder, 1, Status.SUCCEEDED)
    assert done.missing == (f"{job.name}run_data.star",)
    outputs = {n.name.rpartition("/")[2]: n.type_label for n in folder.read().outputs(job.name)}
    half = "_half1" if word == "refine3d" else ""
    assert outputs == {
        "run_ct8_it009_optimiser.star": f"{types.OPTIMISER}.{word}",
        "run_ct8_it009_data.star": f"{types.PARTICLES}.{word}",
        f"run_ct8_it009{half}_class001.mrc": map_label,
    }
    assert markers.read_marker(folder.job_dir(job.name)) is DONE


def test_a_refinement_without_an_iteration_is_not_marked(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    with folder.edit("x") as pipeline:
        pipeline.add_process("Class2D", "relion.class2d", Status.RUNNING)
    with pytest.raises(ProjectError, match=r"no finished iteration.*stays Running"):
        mark(folder, 1, Status.SUCCEEDED)
    assert folder.read().find(1).status is Status.RUNNING


def test_outputs_without_a_file_are_dropped_unless_somebody_reads_them(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    for name in ("CtfFind/job003/ctf.star", "Extract/job004/particles.star"):
        (tmp_path / name).unlink()
    with folder.edit("before continuing") as pipeline:
        assert drop_missing_outputs(folder, pipeline, "CtfFind/job003/") == []
        assert drop_missing_outputs(folder, pipeline, "Extract/job004/") == [
            "Extract/job004/particles.star"
        ]


# Jobs made elsewhere


def test_a_job_run_from_the_shell_appears(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    job = "External/job009/"
    write(tmp_path, [f"{job}RELION_OUTPUT_NODES.star"], BY_NUMBER.format(job=job))
    write(tmp_path, [f"{job}RELION_JOB_EXIT_SUCCESS"], "")
    (tmp_path / "External/mine").symlink_to("../External/job009/")
    before = files(tmp_path)
    assert [f.process.name for f in find_unlisted(folder, folder.read())] == [job]
    assert files(tmp_path) == before
    (found,) = discover(folder)
    assert (found.name, found.type_label, found.status) == (job, "relion.external", DONE)
    assert found.alias == "External/mine/"
    assert folder.read().counter == 10
    assert folder.read().producer(f"{job}coords_suffix_topaz.star") == job
    assert discover(folder) == []


def test_a_job_that_lost_its_entry_comes_back_with_its_edges(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    before = folder.read().copy()
    with folder.edit("losing it") as pipeline:
        pipeline.remove("CtfFind/job003/")
    assert [process.number for process in discover(folder)] == [3]
    after = folder.read()
    assert after.find(3) == before.find(3)
    assert after.parents("CtfFind/job003/") == ["MotionCorr/job002/"]
    assert after.children("CtfFind/job003/") == ["Extract/job004/"]


def test_the_type_of_a_found_job_is_read_from_its_options(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    write(
        tmp_path,
        ["Class2D/job003/job.star"],
        "data_job\n\n_rlnJobTypeLabel relion.class2d.helical\n",
    )
    write(tmp_path, ["Class3D/job004/run.job"], "job_type == 9\nis_continue == false\n")
    write(tmp_path, ["Whatever/job005/note.txt", "Whatever/job006.txt", "Data/job7/note.txt"])
    write(tmp_path, ["Trash/Class2D/job008/note.txt", "Movies/job010/a.tif"])
    found = {process.number: process.type_label for process in discover(folder)}
    assert found == {3: "relion.class2d.helical", 4: "relion.class3d", 5: "relion.external"}
