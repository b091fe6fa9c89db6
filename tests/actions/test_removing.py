"""Deleting, cleaning and bringing back."""

from __future__ import annotations

import pytest

import small_project
from vitreous.errors import InputError

TYPES = {"Extract": "relion.extract", "Import": "relion.import.movies"}


@pytest.fixture
def extracted(project):
    """Return a project with a finished Extract job that has intermediate files."""
    with project.folder.edit("test") as pipeline:
        name = pipeline.add_process("Extract", "relion.extract", "Succeeded").name
        other = pipeline.add_process("Import", "relion.import.movies", "Succeeded").name
    for job in (name, other):
        folder = project.root / job / "Movies"
        folder.mkdir(parents=True)
        (folder / "a_extract.star").write_text("x" * 100)
        (folder / "a.mrcs").write_text("y" * 1000)
    return project


def test_gentle_cleaning_moves_intermediate_files_and_they_come_back(extracted):
    plan = extracted.plan_clean("Extract/job001")[0]
    assert plan.files == (("Extract/job001/Movies/a_extract.star", 100),)
    assert (extracted.root / "Extract/job001/Movies/a_extract.star").exists()
    done = extracted.clean("Extract/job001")
    assert done[0].n_bytes == 100
    assert not (extracted.root / "Extract/job001/Movies/a_extract.star").exists()
    assert (extracted.root / "Extract/job001/Movies/a.mrcs").exists()
    assert extracted.trash_size() == 100
    back = extracted.undelete("Extract/job001")
    assert back.files == ("Extract/job001/Movies/a_extract.star",)
    assert (extracted.root / "Extract/job001/Movies/a_extract.star").exists()


def test_harsh_cleaning_takes_more_and_obeys_the_protection(extracted):
    assert len(extracted.plan_clean(1, harsh=True)[0].files) == 2
    (extracted.root / "Extract/job001/NO_HARSH_CLEAN").touch()
    with pytest.raises(InputError, match="NO_HARSH_CLEAN"):
        extracted.clean(1, harsh=True)
    assert extracted.clean_all(harsh=True) == []


def test_cleaning_everything_passes_over_what_is_never_cleaned(extracted):
    done = extracted.clean_all()
    assert [plan.process.name for plan in done] == ["Extract/job001/"]
    assert (extracted.root / "Import/job002/Movies/a.mrcs").exists()
    with pytest.raises(InputError, match="never cleaned"):
        extracted.clean("Import/job002")


def test_the_trash_is_emptied_for_good(extracted):
    extracted.clean_all()
    assert extracted.empty_trash() == 100
    assert not (extracted.root / "Trash").exists()
    with pytest.raises(InputError, match="not deleted"):
        extracted.undelete(1)


def test_delete_takes_children_along_when_told_and_all_come_back(project):
    first = small_project.finished_external(project, alias="one")
    second = small_project.finished_external(project, reads=f"{first}particles.star")
    plan = project.plan_delete("one")
    assert [(job.process.name, job.because_of) for job in plan.jobs] == [
        (first, None),
        (second, first),
    ]
    project.delete("one", yes=True)
    assert {job.process.name for job in project.trashed()} == {first, second}
    project.undelete(first)
    assert [job.name for job in project.jobs] == [first]
    assert project.job("one").name == first
    project.undelete(second)
    assert project.pipeline.children(first) == [second]


def test_what_was_overwritten_is_pointed_at(project):
    small_project.finished_external(project)
    project.run("external", overwrite=1, schedule=True)
    with pytest.raises(InputError, match=r"was overwritten.*Trash/External/job001"):
        project.undelete(1)
