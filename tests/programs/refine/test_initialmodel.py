"""InitialModel as a job of a project: a map like the truth, up to hand and rotation."""

from __future__ import annotations

import pytest

from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.project.pipeline import Status

SEARCH = f"{made.SEED} --healpix_order 1 --offset_range 8 --offset_step 4"
VALUES = {**made.COMMON, "n_iterations": 20, "other_args": SEARCH}


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("im") / "made", 60)


@pytest.mark.filterwarnings("ignore:n_iterations")  # fewer than usual
def test_killed_and_continued_it_leaves_the_map_that_another_job_takes(particles, tmp_path):
    project = made.project_of(particles, tmp_path / "project", "3.1")
    job = project.run("initialmodel", background=True, **VALUES)
    made.wait_for(job, "run_it010_optimiser.star")
    made.kill(job)
    assert job.status is Status.FAILED
    before = made.modified(job.path)
    job = project.run(continue_job=1)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert before.items() <= made.modified(job.path).items()
    assert [path.name for path in job.outputs.values()] == ["initial_model.mrc"]
    assert (job.path / "run_ct10_it020_class001.mrc").is_file()
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert job.log(err=True) == ""
    assert job.results["particles"] == 60
    assert job.results["resolution"] < 40
    plots = {plot["name"] for plot in job.results["plots"]}
    assert {"occupancy", "directions", "resolution", "changes", "iterations"} <= plots

    through = run_job(project.root, "initialmodel", "InitialModel/job009/", **VALUES)
    assert made.last_results(job.path, "run_ct10") == made.last_results(through.path, "run")
    name = "initial_model.mrc"
    assert (job.path / name).read_bytes() == (through.path / name).read_bytes()

    values = {**made.COMMON, "map": f"InitialModel/job001/{name}", "other_args": made.SEED}
    values |= {"angular_sampling": "30 degrees", "shift_range_px": 2, "n_iterations": 1}
    taken = run_job(project.root, "class3d", "Class3D/job010/", **values)
    assert (taken.path / "run_it001_class001.mrc").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)  # 80 seconds of a processor, which a busy machine stretches
def test_the_map_is_like_the_truth_and_not_like_another_molecule(tmp_path):
    made.simulated(tmp_path / "made", 250, snr=2.0)
    made.simulated(tmp_path / "other", 2, states=2)
    project = made.project_of(tmp_path / "made", tmp_path / "project")
    job = project.run("initialmodel", **{**VALUES, "n_iterations": 60})
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    found = job.path / "initial_model.mrc"
    like_truth = made.correlation_when_turned(found, project.root / "map1.mrc")
    like_other = made.correlation_when_turned(found, tmp_path / "other/map2.mrc")
    assert like_truth > 0.65
    assert like_truth > like_other + 0.1
