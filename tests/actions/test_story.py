"""A project from its beginning, as somebody works on it in Python."""

from __future__ import annotations

import time

import numpy as np
import pytest

import small_project
import vitreous
from vitreous.io import write_mrc


@pytest.fixture
def movies(project):
    """Put two small movies into the project."""
    folder = project.root / "Movies"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        frames = rng.poisson(2.0, (3, 16, 16)).astype(np.float32)
        write_mrc(folder / f"{name}.mrcs", frames, 1.2)
    return project


def test_import_then_an_external_job_then_care(movies):
    project = movies
    imported = project.run("import", images="Movies/*.mrcs", pixel_size_A=1.2, optics_group="og-1")
    assert imported.status == "Succeeded", imported.log(err=True)
    assert imported.outputs["movies"] == project.root / "Import/job001/movies.star"
    table = vitreous.read_star(imported.outputs["movies"])["movies"]
    assert list(table["rlnMicrographMovieName"]) == ["Movies/a.mrcs", "Movies/b.mrcs"]
    assert imported.log(err=True) == ""

    lines = []
    picked = project.run(
        "external",
        fn_exe="./make_particles.sh",
        movies=imported.outputs["movies"],
        alias="picked",
        echo=lines.append,
    )
    assert picked.status == "Succeeded", picked.log(err=True)
    assert lines == ["working in External/job002/"]
    assert picked.alias == "External/picked/"
    assert picked.outputs["particles"].name == "particles.star"
    assert picked.inputs == (imported.outputs["movies"],)
    assert project.pipeline.children("Import/job001/") == ["External/job002/"]
    assert "make_particles.sh --o External/job002/ --in_movies Import/job001/movies.star" in (
        picked.note
    )
    for name in ("job.star", "job_pipeline.star", "default_pipeline.star", "run.out", "run.err"):
        assert (picked.path / name).exists(), name
    assert (project.root / ".gui_externaljob.star").exists()

    # A path through the alias is stored with the number.
    joined = project.run(
        "external",
        fn_exe="./make_particles.sh",
        particles="External/picked/particles.star",
        schedule=True,
    )
    assert joined.options["particles"] == "External/job002/particles.star"
    assert joined.status == "Scheduled"

    assert project.note("picked", "looks good").rstrip().endswith("looks good")
    project.alias("picked", None)
    assert not (project.root / "External" / "picked").exists()

    gone = project.delete("Import/job001", yes=True)
    assert gone.names == ["Import/job001/", "External/job002/", "External/job003/"]
    assert project.jobs == []
    back = project.undelete(1, whole_group=True)
    assert [(p.name, str(p.status)) for p in back.jobs] == [
        ("Import/job001/", "Succeeded"),
        ("External/job002/", "Succeeded"),
        ("External/job003/", "Scheduled"),
    ]
    assert project.job(2).outputs["particles"].exists()
    assert project.pipeline.children("Import/job001/") == ["External/job002/"]


def test_an_external_job_that_fails_says_so(project, monkeypatch):
    monkeypatch.setenv("ENDING", "FAILURE")
    job = project.run("external", fn_exe="./make_particles.sh")
    assert job.status == "Failed"
    assert project.pipeline.processes[job.name].status == "Failed"
    monkeypatch.setenv("ENDING", "SUCCESS")
    again = project.run(overwrite=job)
    assert (again.name, again.status) == (job.name, "Succeeded")
    assert project.pipeline.counter == 2
    assert (project.root / "Trash" / job.name).is_dir()


def test_a_background_job_is_waited_for(project):
    job = project.run("external", fn_exe="./make_particles.sh", background=True)
    assert job.wait(30) == "Succeeded"
    assert project.pipeline.processes[job.name].status == "Succeeded"


def test_a_job_is_continued_in_its_folder(project):
    job = project.run("external", fn_exe="./make_particles.sh")
    again = project.run(continue_job=job, n_threads=2)
    assert again == job
    assert again.status == "Succeeded"
    assert again.options["n_threads"] == 2
    assert job.note.count("Executing new job on") == 2
    assert "_rlnJobIsContinue                       1" in (job.path / "job.star").read_text()
    assert project.pipeline.counter == 2


def test_a_scheduled_job_is_started_later(project):
    job = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    assert not (job.path / "run.out").exists()
    assert project.start(job).wait(30) == "Succeeded"
    assert "_rlnJobIsContinue                       0" in (job.path / "job.star").read_text()


def test_a_dry_run_writes_nothing(project):
    before = small_project.snapshot(project.root)
    plan = project.run("external", fn_exe="./make_particles.sh", other_args="--x 1", dry_run=True)
    assert plan.name == "External/job001/"
    assert project.commands(plan) == ["./make_particles.sh --o External/job001/ --j 1 --x 1"]
    assert small_project.snapshot(project.root) == before


def test_options_come_from_a_file_and_are_changed(project):
    first = project.run("external", fn_exe="./make_particles.sh", n_threads=3, schedule=True)
    second = project.run(from_file=first.path, schedule=True, other_args="--y")
    assert second.options["n_threads"] == 3
    assert second.options["other_arguments"] == "--y"
    assert first.options["other_arguments"] == ""


def test_keys_that_are_unknown_in_a_job_star_are_kept(project):
    job = project.run("external", fn_exe="./make_particles.sh", schedule=True)
    path = job.path / "job.star"
    path.write_text(path.read_text().replace("fn_exe", "zz_new  Yes\nfn_exe", 1))
    copy = project.run(from_file=job.path, schedule=True)
    assert "zz_new" in (copy.path / "job.star").read_text()


def test_an_interactive_job_waits_for_a_person_and_can_be_given_up(project):
    name = small_project.finished_external(project)
    job = project.run("select", fn_data=f"{name}particles.star")
    time.sleep(0.01)
    project.refresh()
    assert job.status == "Running"
    assert job.is_interactive
    assert project.abort(job).status == "Aborted"


def test_a_project_of_relion_3_keeps_its_form(tmp_path):
    project = vitreous.Project.create(tmp_path / "old", form="3.1")
    small_project.make(project.root)
    job = project.run("external", fn_exe="./make_particles.sh")
    assert job.status == "Succeeded"
    text = (project.root / "default_pipeline.star").read_text()
    assert "_rlnPipeLineProcessType #3" in text
    assert "_rlnJobType " in (job.path / "job.star").read_text()
    assert job.outputs["particles"].exists()
