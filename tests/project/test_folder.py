"""A project on disk: made, opened, read, changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vitreous.errors import NotAProjectError, ProjectError
from vitreous.project import node_types as types
from vitreous.project.folder import ProjectFolder
from vitreous.project.job_files import JOB_PIPELINE
from vitreous.project.paths import check_inside, relative_path
from vitreous.project.pipeline import Status
from vitreous.project.pipeline_file import read_pipeline


@pytest.fixture
def folder(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder.create(tmp_path / "p")


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def test_a_new_project_has_the_marks_of_relion(folder: ProjectFolder) -> None:
    assert (folder.root / ".gui_projectdir").exists()
    assert folder.file.read_text().startswith("\n# version 50001\n\ndata_pipeline_general\n")
    assert folder.read().counter == 1
    assert not (folder.root / ".relion_lock").exists()
    before = folder.file.read_text()
    assert ProjectFolder.create(folder.root, form="3.1").file.read_text() == before


def test_a_folder_that_is_no_project_is_refused_with_the_nearest(folder: ProjectFolder) -> None:
    inside = folder.root / "Import"
    inside.mkdir()
    with pytest.raises(NotAProjectError, match=f"but {folder.root} is one"):
        ProjectFolder.open(inside)
    with pytest.raises(NotAProjectError, match="these folders in it are: p"):
        ProjectFolder.open(folder.root.parent)
    with pytest.raises(NotAProjectError, match="not a folder"):
        ProjectFolder.open(folder.root / "nowhere")


def test_a_file_cannot_become_a_project(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    with pytest.raises(ProjectError, match="is a file, wanted a folder"):
        ProjectFolder.create(tmp_path / "notes")


def test_a_change_is_written_and_leaves_backup_links_and_entries(folder: ProjectFolder) -> None:
    with folder.edit("adding a job") as pipeline:
        job = pipeline.add_process(
            "Import", "relion.import.movies", Status.SCHEDULED, "Import/mine/"
        )
        pipeline.add_output(job.name, "Import/job001/movies.star", types.MOVIES)
    again = ProjectFolder.open(folder.root).read()
    assert again == folder.read()
    job_dir = folder.job_dir(job.name)
    assert (job_dir / "default_pipeline.star").read_bytes() == folder.file.read_bytes()
    part = read_pipeline(job_dir / JOB_PIPELINE)
    assert part.processes == again.processes
    assert part.find(1).status is Status.SCHEDULED
    assert os.readlink(folder.root / "Import/mine") == "../Import/job001/"
    assert (folder.root / ".Nodes/MicrographMovieGroupMetadata/Import/mine/movies.star").exists()
    assert (folder.root / ".pipeline_has_changed").exists()


def test_a_block_that_raises_changes_nothing(folder: ProjectFolder) -> None:
    before = snapshot(folder.root)

    def change_and_fail() -> None:
        with folder.edit("x") as pipeline:
            pipeline.add_process("Import", "relion.import", Status.RUNNING)
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        change_and_fail()
    assert snapshot(folder.root) == before
    assert folder.read().processes == {}


def test_a_change_by_another_program_is_seen(folder: ProjectFolder) -> None:
    folder.read()
    with ProjectFolder.open(folder.root).edit("elsewhere") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.RUNNING)
    assert list(folder.read().processes) == ["Import/job001/"]


def test_reading_again_costs_nothing_while_the_file_is_the_same(folder: ProjectFolder) -> None:
    assert folder.read() is folder.read()


def test_missing_alias_links_are_made_again_on_reading(folder: ProjectFolder) -> None:
    with folder.edit("x") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.SUCCEEDED, "Import/mine/")
    (folder.root / "Import/mine").unlink()
    ProjectFolder.open(folder.root).read()
    assert (folder.root / "Import/mine").resolve() == folder.root / "Import/job001"


def test_read_only_use_never_writes(folder: ProjectFolder) -> None:
    with folder.edit("x") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.SUCCEEDED, "Import/mine/")
    (folder.root / "Import/mine").unlink()
    before = snapshot(folder.root)
    looking = ProjectFolder.open(folder.root, read_only=True)
    assert looking.read().find("mine").number == 1
    with pytest.raises(ProjectError, match="read-only"), looking.edit("x"):
        pass
    assert snapshot(folder.root) == before


def test_a_number_on_disk_is_not_given_again(folder: ProjectFolder) -> None:
    (folder.root / "Class2D/job001").mkdir(parents=True)
    with folder.edit("x") as pipeline:
        assert pipeline.add_process("Import", "relion.import", Status.RUNNING).number == 2


def test_a_missing_pipeline_file_names_the_repair_and_leaves_no_lock(folder: ProjectFolder) -> None:
    folder.file.unlink()
    with pytest.raises(ProjectError, match="vitreous repair"), folder.edit("x"):
        pass
    assert not (folder.root / ".relion_lock").exists()


@pytest.mark.parametrize("path", ["../other/job001/", "/etc/", "Import/../../x", ".."])
def test_a_path_out_of_the_project_is_refused(folder: ProjectFolder, path: str) -> None:
    with pytest.raises(ProjectError, match="outside the project"):
        folder.job_dir(path)
    with pytest.raises(ProjectError, match="outside the project"):
        check_inside(folder.root, path)


def test_an_absolute_path_into_the_project_is_made_relative(tmp_path: Path) -> None:
    link = tmp_path / "link"
    (tmp_path / "real").mkdir()
    link.symlink_to("real")
    assert relative_path(tmp_path / "real", f"{tmp_path}/real/Data/a.mrc") == "Data/a.mrc"
    assert relative_path(link, f"{tmp_path}/real/Data/") == "Data/"
    assert relative_path(link, "Data/a.mrc") == "Data/a.mrc"
    with pytest.raises(ProjectError, match="outside"):
        relative_path(link, str(tmp_path / "other/a.mrc"))


def test_a_folder_that_cannot_be_written_becomes_no_project(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(tmp_path / "new"))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ProjectError) as told:
        ProjectFolder.create(tmp_path / "new")
    assert str(told.value) == (
        f"{tmp_path}/new: cannot be written (Read-only file system). "
        "Make the project in another folder."
    )
