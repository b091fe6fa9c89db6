"""A lost or corrupted pipeline file is made anew, and the report says from what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from projects import DONE, chain, files

from vitreous.errors import LockedError, ProjectError
from vitreous.project import lock, markers
from vitreous.project import node_types as types
from vitreous.project.aliases import set_alias
from vitreous.project.folder import ProjectFolder
from vitreous.project.lock import LockPolicy
from vitreous.project.output_nodes import write_output_nodes
from vitreous.project.pipeline import Node, Pipeline, Status
from vitreous.project.pipeline_file import read_pipeline
from vitreous.project.repair import newest_backup, repair
from vitreous.project.trash import delete, plan_delete
from vitreous.project.upgrade import lost_in_form, upgrade


def graph(pipeline: Pipeline) -> tuple[object, ...]:
    return (
        pipeline.processes,
        pipeline.nodes,
        set(pipeline.input_edges),
        set(pipeline.output_edges),
    )


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "missing", "garbage"])
def test_a_damaged_file_is_repaired_from_the_newest_backup(tmp_path: Path, damage: str) -> None:
    folder = chain(tmp_path)
    before, text = folder.read().copy(), folder.file.read_bytes()
    broken = {"cut": text[:700], "empty": b"", "zeros": b"\0" * 500, "garbage": b"\xff\x00data_x"}
    folder.file.unlink() if damage == "missing" else folder.file.write_bytes(broken[damage])
    with pytest.raises(ProjectError, match="vitreous repair"):
        folder.read()
    report = repair(folder)
    assert graph(folder.read()) == graph(before)
    assert report.source == "Select/job005/default_pipeline.star"
    assert report.restated == (("Select/job005/", Status.RUNNING, DONE),)
    assert (report.n_jobs, report.counter) == (5, 6)
    if damage == "missing":
        assert report.kept_broken is None
    else:
        assert (tmp_path / str(report.kept_broken)).read_bytes() == broken[damage]
    told = "\n".join(report.lines())
    assert "taken from Select/job005/default_pipeline.star" in told
    assert "It has 5 jobs and " in told
    one = dataclasses.replace(report, n_jobs=1, n_nodes=1).lines()
    assert "It has 1 job and 1 node; the next job is 6." in one
    assert "Select/job005/ Running -> Succeeded" in told


def test_a_damaged_backup_is_passed_over_and_what_it_had_is_read_from_the_folders(
    tmp_path: Path,
) -> None:
    folder = chain(tmp_path)
    before = folder.read().copy()
    (tmp_path / "Select/job005/default_pipeline.star").write_bytes(b"")
    (tmp_path / "Extract/job004/default_pipeline.star").write_text("data_nothing\n\n_a 1\n")
    folder.file.write_bytes(b"")
    report = repair(folder)
    assert report.source == "CtfFind/job003/default_pipeline.star"
    assert report.adopted == ("Extract/job004/", "Select/job005/")
    assert graph(folder.read()) == graph(before)


def test_deleted_jobs_do_not_come_back_and_their_numbers_are_not_given_again(
    tmp_path: Path,
) -> None:
    folder = chain(tmp_path)
    delete(folder, plan_delete(folder, [5]))
    delete(folder, plan_delete(folder, [3]))
    before = folder.read().copy()
    folder.file.unlink()
    report = repair(folder)
    assert graph(folder.read()) == graph(before)
    assert folder.read().counter == 6
    assert report.source == "MotionCorr/job002/default_pipeline.star"


def test_a_job_deleted_after_the_backup_is_reported(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    delete(folder, plan_delete(folder, [4]))
    folder.file.unlink()
    report = repair(folder)
    assert report.dropped == ("Extract/job004/",)
    assert [process.number for process in folder.read()] == [1, 2, 3, 5]


def test_everything_is_rebuilt_from_the_folders_alone(tmp_path: Path) -> None:
    folder = chain(tmp_path, form="3.1")
    before = ProjectFolder(tmp_path).read().copy()
    for path in tmp_path.glob("*/job*/default_pipeline.star"):
        path.unlink()
    (tmp_path / "Select/job005" / markers.SUCCESS).unlink()
    folder.file.unlink()
    report = repair(folder, "rebuild")
    after = folder.read()
    assert (report.source, after.form) == (None, "3.1")
    assert report.doubtful == ("Select/job005/",)
    with folder.edit("x") as pipeline:
        pipeline.set_status("Select/job005/", DONE)
    assert graph(folder.read()) == graph(before)
    assert "built anew" in report.lines()[0]


def test_a_project_without_anything_to_build_from_says_so(tmp_path: Path) -> None:
    folder = ProjectFolder.create(tmp_path)
    folder.file.unlink()
    before = files(tmp_path)
    with pytest.raises(ProjectError, match="vitreous init"):
        repair(folder)
    assert files(tmp_path) == before


def test_names_and_outputs_younger_than_the_backup_are_found_again(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    set_alias(folder, 2, "younger")
    found = Node("Select/job005/found.star", types.PARTICLES)
    write_output_nodes(folder.job_dir("Select/job005/"), [found], "5.0")
    folder.file.write_bytes(b"")
    report = repair(folder)
    assert report.renamed == ("MotionCorr/younger/",)
    assert folder.read().find("younger").number == 2
    assert folder.read().producer(found.name) == "Select/job005/"


def test_a_stale_lock_goes_and_a_living_one_stops_the_repair(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    folder.policy = LockPolicy(timeout_s=0.1)
    (tmp_path / lock.FOLDER).mkdir()
    (tmp_path / lock.FOLDER / "lock_default_pipeline.star").write_text("from relion\n")
    with pytest.raises(LockedError, match="from relion"):
        repair(folder)
    report = repair(folder, force=True)
    assert report.lock is not None
    assert report.lock.reason == "from relion"
    assert not (tmp_path / lock.FOLDER).exists()


def test_the_newest_backup_is_that_of_the_highest_number(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    path, pipeline = newest_backup(folder)
    assert path == tmp_path / "Select/job005/default_pipeline.star"
    assert pipeline is not None
    assert len(pipeline.processes) == 5


def test_a_change_of_form_keeps_a_copy_of_the_old_file(tmp_path: Path) -> None:
    folder = chain(tmp_path, form="3.1")
    old = folder.file.read_bytes()
    assert upgrade(folder, "3.1") is None
    copy = upgrade(folder, "5.0")
    assert copy is not None
    assert copy.read_bytes() == old
    assert read_pipeline(folder.file).form == "5.0"
    assert "_rlnPipeLineNodeTypeLabelDepth" in folder.file.read_text()
    assert lost_in_form(folder.read(), "3.1") == []
