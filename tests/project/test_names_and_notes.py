"""Aliases, the `.Nodes` tree and notes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from projects import chain

from vitreous.errors import InputError
from vitreous.project import nodes_tree, notes
from vitreous.project.aliases import FORBIDDEN, set_alias
from vitreous.project.last_used import last_used_path
from vitreous.project.pipeline import Status


def test_an_alias_gets_its_symlink_and_loses_it(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    assert set_alias(folder, 2, "first try").alias == "MotionCorr/first_try/"
    link = tmp_path / "MotionCorr/first_try"
    assert str(link.readlink()) == "../MotionCorr/job002"
    assert set_alias(folder, "first_try", "MotionCorr/second/").alias == "MotionCorr/second/"
    assert not link.is_symlink()
    assert (tmp_path / "MotionCorr/second").resolve().name == "job002"
    assert set_alias(folder, 2, "").alias is None
    assert not (tmp_path / "MotionCorr/second").is_symlink()


@pytest.mark.parametrize("character", list(FORBIDDEN))
def test_forbidden_characters_are_refused(tmp_path: Path, character: str) -> None:
    folder = chain(tmp_path)
    text = folder.file.read_bytes()
    with pytest.raises(InputError, match="must not hold") as caught:
        set_alias(folder, 2, f"a{character}b")
    assert "'ab' would do" in str(caught.value)
    assert folder.file.read_bytes() == text


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    with pytest.raises(InputError) as caught:
        set_alias(folder, 2, "job*?")
    assert "start with 'job'" in str(caught.value)
    assert "* ?" in str(caught.value)
    with pytest.raises(InputError, match="at least 2"):
        set_alias(folder, 2, "x")
    with pytest.raises(InputError, match="dot"):
        set_alias(folder, 2, "..")


def test_an_alias_is_unique_in_its_folder_and_never_hides_a_folder(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    with folder.edit("x") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.RUNNING, "Import/mine/")
    with pytest.raises(InputError, match="Import/job006/ has it already"):
        set_alias(folder, 1, "mine")
    set_alias(folder, 2, "mine")
    (tmp_path / "Import/real").mkdir()
    with pytest.raises(InputError, match="file or folder of that name"):
        set_alias(folder, 1, "real")


def entries(root: Path) -> list[str]:
    tree = root / ".Nodes"
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())


@pytest.mark.parametrize(("form", "kind"), [("3.1", "1"), ("5.0", "MicrographGroupMetadata")])
def test_the_tree_follows_the_pipeline_and_uses_aliases(
    tmp_path: Path, form: str, kind: str
) -> None:
    folder = chain(tmp_path, form=form)  # type: ignore[arg-type] # parametrised
    set_alias(folder, 2, "mc")
    nodes_tree.remake(tmp_path, folder.read())
    listed = entries(tmp_path)
    assert f"{kind}/MotionCorr/mc/m.star" in listed
    assert f"{kind}/MotionCorr/job002/m.star" not in listed
    assert len(listed) == 5
    assert (tmp_path / ".Nodes").stat().st_mode & 0o777 == 0o777
    set_alias(folder, 2, None)
    assert f"{kind}/MotionCorr/job002/m.star" in entries(tmp_path)
    assert f"{kind}/MotionCorr/mc/m.star" not in entries(tmp_path)


def test_only_existing_files_and_outputs_of_scheduled_jobs_are_in_the_tree(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    with folder.edit("x") as pipeline:
        for status in (Status.SCHEDULED, Status.RUNNING):
            job = pipeline.add_process("Select", "relion.select", status)
            pipeline.add_output(job.name, f"{job.name}a.mrc", "DensityMap.mrc.relion.class3d", 3)
    assert [name for name in entries(tmp_path) if "a.mrc" in name] == [
        "DensityMap.mrc.relion/Select/job006/a.mrc",
        "DensityMap/Select/job006/a.mrc",
    ]


def test_a_note_is_appended_in_the_form_of_relion(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    job_dir = folder.job_dir("Import/job001/")
    notes.write_note(job_dir, "my words\n")
    notes.append_commands(job_dir, ["first --o x", "second"], time.gmtime(1_700_000_000))
    assert notes.read_note(job_dir) == (
        "my words\n\n ++++ Executing new job on Tue Nov 14 22:13:20 2023\n"
        " ++++ with the following command(s): \nfirst --o x\nsecond\n ++++ \n"
    )


def test_all_notes_are_joined_with_a_header_per_job(tmp_path: Path) -> None:
    folder = chain(tmp_path)
    set_alias(folder, 2, "mc")
    path = notes.write_all_notes(folder)
    text = path.read_text()
    assert path.name == "default_all_notes.txt"
    assert text.index(" Import/job001/") < text.index(" MotionCorr/job002/ (MotionCorr/mc/)")
    assert text.count("made by") == 5
    assert notes.read_project_note(folder) == ""
    notes.write_project_note(folder, "free text")
    assert (tmp_path / "project_note.txt").read_text() == "free text"


def test_the_last_used_options_have_the_name_that_relion_looks_for(tmp_path: Path) -> None:
    assert last_used_path(tmp_path, ".gui_import").name == ".gui_importjob.star"
    assert last_used_path(tmp_path, "class2d").name == ".gui_class2djob.star"
