"""Refine3D as a job of a project: poses and map of the truth, and every way to stop and go on."""

from __future__ import annotations

import time

import numpy as np
import pytest

import vitreous
from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.io import read_star, read_volume
from vitreous.project.pipeline import Status

VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "angular_sampling": "15 degrees",
    "local_sampling": "3.7 degrees",
    "shift_range_px": 3,
    "initial_low_pass_A": 20,
    "other_args": made.SEED,
}


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("refine3d") / "made", 100)


@pytest.fixture(scope="module")
def project(particles, tmp_path_factory):
    """Return a project with one finished refinement."""
    project = made.project_of(particles, tmp_path_factory.mktemp("refine3d") / "project")
    job = project.run("refine3d", **VALUES)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    return project


def test_poses_and_map_of_the_truth_are_found(project):
    folder = project.job(1).path
    angle_deg, shift_A = made.pose_errors(project, folder / "run_data.star")
    assert np.median(angle_deg) < 3
    assert np.percentile(angle_deg, 90) < 6
    assert np.median(shift_A) < 1.5
    assert made.correlation(folder / "run_class001.mrc", project.root / "map1.mrc") > 0.9


def test_what_was_promised_is_there(project):
    job = project.job(1)
    names = {path.name: path for path in job.outputs.values()}
    wanted = {"data.star", "optimiser.star", "half1_class001_unfil.mrc", "class001.mrc"}
    assert set(names) == {f"run_{name}" for name in wanted}
    assert all(path.is_file() for path in names.values())
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert job.log(err=True) == ""
    assert job.results["particles"] == 100
    assert job.results["resolution"] < 16
    assert 0 < job.results["accuracy_rotation"] < 10
    assert 0 < job.results["accuracy_shift"] < 3
    plots = {plot["name"] for plot in job.results["plots"]}
    assert {"fsc", "directions", "resolution", "changes", "iterations"} <= plots


def test_halves_stay_apart_and_join_at_the_end(project):
    folder = project.job(1).path
    halves = [read_volume(folder / f"run_half{n}_class001_unfil.mrc").data for n in (1, 2)]
    assert 0.5 < np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1] < 0.999
    rows = read_star(folder / "run_data.star")["particles"]
    assert rows["rlnRandomSubset"].tolist() == made.truth(project, "rlnRandomSubset").tolist()


def test_another_job_takes_what_it_made(project):
    values = {**made.COMMON, "map": "Refine3D/job001/run_class001.mrc", "align": False}
    values["particles"] = "Refine3D/job001/run_data.star"
    job = run_job(project.root, "class3d", "Class3D/job002/", n_iterations=1, **values)
    assert not job.told
    assert (job.path / "run_it001_optimiser.star").is_file()
    assert project.run("class3d", dry_run=True, **values).warnings == ()


def test_killed_and_continued_is_as_if_it_had_run_through(project, particles, tmp_path):
    other = made.project_of(particles, tmp_path / "project")
    job = other.run("refine3d", background=True, **VALUES)
    made.wait_for(job, "run_it003_optimiser.star")
    made.kill(job)
    assert job.status is Status.FAILED
    before = made.modified(job.path)
    job = other.run(continue_job=job.name)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert before.items() <= made.modified(job.path).items()
    (root,) = {path.name.split("_")[1] for path in job.path.glob("run_ct*_optimiser.star")}
    assert made.last_results(job.path, f"run_{root}") == made.last_results(
        project.job(1).path, "run"
    )
    names = {path.name for path in job.outputs.values()}
    wanted = {"data.star", "optimiser.star", "half1_class001_unfil.mrc", "class001.mrc"}
    assert names == {f"run_{root}_{name}" for name in wanted}
    assert all(path.is_file() for path in job.outputs.values())


@pytest.mark.slow
def test_aborted_it_ends_at_once_and_keeps_what_was_finished(particles, tmp_path):
    project = made.project_of(particles, tmp_path / "project", "3.1")
    job = project.run("refine3d", background=True, **VALUES)
    made.wait_for(job, "run_it002_optimiser.star")
    asked = time.time()
    assert project.abort(job).status is Status.ABORTED
    assert (job.path / "results.json").stat().st_mtime - asked < 5.0
    assert not list(job.path.glob(".*.tmp"))
    job = project.run(continue_job=job.name)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert all(path.is_file() for path in job.outputs.values())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["3.1", "4.0"])
def test_it_goes_on_in_a_project_of_any_form(particles, tmp_path, form):
    project = made.project_of(particles, tmp_path / "project", form)
    assert project.run("refine3d", **VALUES).status == "Succeeded"
    file = "Refine3D/job001/run_it003_optimiser.star"
    job = vitreous.Project(project.root).run(continue_job=1, continue_from=file)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert made.last_results(job.path, "run_ct3") == made.last_results(job.path, "run")
    assert (job.path / "run_ct3_class001.mrc") in job.outputs.values()
    assert (job.path / "run_class001.mrc") in job.outputs.values()
