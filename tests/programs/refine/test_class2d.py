"""Class2D as a job of a project: classes of the truth, going on, stopping, cleaning, deleting."""

from __future__ import annotations

import time

import pytest

from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.io import read_star
from vitreous.project.pipeline import Status

VALUES = {
    **made.COMMON,
    "n_classes": 3,
    "use_em": True,
    "use_vdam": False,
    "n_iterations_em": 6,
    "psi_step_deg": 12,
    "shift_range_px": 2,
    "other_args": made.SEED,
}


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("c2") / "made", 80, states=2, of_one_view=True)


@pytest.fixture(scope="module")
def project(particles, tmp_path_factory):
    """Return a project with one finished classification."""
    project = made.project_of(particles, tmp_path_factory.mktemp("c2") / "project", "3.1")
    job = project.run("class2d", **VALUES)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    return project


def test_two_molecules_come_to_different_classes(project):
    assert made.purity(project, project.job(1).path / "run_it006_data.star") > 0.97


def test_what_was_promised_is_there(project):
    job = project.job(1)
    names = {path.name: path for path in job.outputs.values()}
    assert set(names) == {"run_it006_data.star", "run_it006_optimiser.star"}
    assert all(path.is_file() for path in names.values())
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert job.log(err=True) == ""
    assert job.results["particles"] == 80
    assert job.results["classes"] in (2, 3)
    assert job.results["best_resolution"] < 20
    plots = {plot["name"] for plot in job.results["plots"]}
    assert {"occupancy", "class_sizes", "resolution", "changes", "iterations"} <= plots


def test_stopped_continued_cleaned_and_brought_back(particles, project, tmp_path):
    """Killed, continued, with more iterations, cleaned, overwritten, deleted: one job's life."""
    other = made.project_of(particles, tmp_path / "project", "3.1")
    job = other.run("class2d", background=True, **VALUES)
    made.wait_for(job, "run_it002_optimiser.star")
    made.kill(job)
    assert job.status is Status.FAILED
    before = made.modified(job.path)
    job = other.run(continue_job=1)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert before.items() <= made.modified(job.path).items()
    (end,) = job.path.glob("run_ct*_it006_optimiser.star")
    root = end.name.removesuffix("_it006_optimiser.star")
    through = made.last_results(project.job(1).path, "run")
    assert made.last_results(job.path, root) == through
    names = {path.name for path in job.outputs.values()}
    assert names == {f"{root}_it006_data.star", f"{root}_it006_optimiser.star"}

    (plan,) = other.clean(1)
    assert plan.files
    kept = {path.name for path in job.path.glob("run*_optimiser.star")}
    assert kept == {end.name}
    assert other.undelete(1).files
    assert before.items() <= made.modified(job.path).items()

    again = other.run(overwrite=1, n_iterations_em=1)
    assert again.status == "Succeeded"
    assert not list(again.path.glob("run_ct*"))
    assert (again.path / "run_it001_data.star").is_file()
    other.delete(1, yes=True)
    assert not again.path.exists()
    other.undelete(1)
    assert (again.path / "run_it001_data.star").is_file()
    assert other.job(1).status == "Succeeded"


def test_a_finished_job_goes_on_with_more_iterations(project, tmp_path):
    job = made.project_of(project.root, tmp_path / "project", "3.1").run(
        continue_job=1, n_iterations_em=7
    )
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert (job.path / "run_it006_data.star") in job.outputs.values()
    assert (job.path / "run_ct6_it007_data.star") in job.outputs.values()
    assert all(path.is_file() for path in job.outputs.values())
    found = [one["number"] for one in made.history(job.path)]
    assert found == [1, 2, 3, 4, 5, 6, 7]


def test_aborted_it_ends_at_once_and_keeps_what_was_finished(project):
    values = {**VALUES, "n_iterations_em": 50}
    job = project.run("class2d", background=True, **values)
    made.wait_for(job, "run_it001_optimiser.star")
    asked = time.time()
    assert project.abort(job).status is Status.ABORTED
    assert (job.path / "results.json").stat().st_mtime - asked < 5.0
    assert (job.path / "run_it001_data.star").is_file()
    assert not list(job.path.glob(".*.tmp"))


def test_vdam_separates_them_too_and_a_selection_takes_the_particles(project):
    values = {**VALUES, "use_em": False, "use_vdam": True, "n_iterations_vdam": 50}
    job = run_job(project.root, "class2d", "Class2D/job009/", **values)
    file = "Class2D/job009/run_it050_data.star"
    assert made.purity(project, project.root / file) > 0.8
    assert (job.path / "run_it050_1moment.mrcs").is_file()
    selected = run_job(project.root, "select", "Select/job010/", particles=file, split=True,
                       subset_size=40)  # fmt: skip
    rows = read_star(selected.path / "particles_split1.star")["particles"]
    assert len(rows) == 40
    assert set(rows["rlnClassNumber"].tolist()) <= {1, 2, 3}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["4.0", "5.0"])
def test_it_goes_on_in_a_project_of_any_form(particles, tmp_path, form):
    project = made.project_of(particles, tmp_path / "project", form)
    assert project.run("class2d", **VALUES).status == "Succeeded"
    file = "Class2D/job001/run_it003_optimiser.star"
    job = project.run(continue_job=1, continue_from=file)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert made.last_results(job.path, "run_ct3") == made.last_results(job.path, "run")
    assert (job.path / "run_ct3_it006_data.star") in job.outputs.values()
