"""Class3D as a job of a project: two molecules parted, going on, stopping, several references."""

from __future__ import annotations

import pytest

from programs.jobs_made import run_job
from programs.refine import refinement_project as made
from vitreous.io import Table, read_star, write_star
from vitreous.project.pipeline import Status

VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "n_classes": 2,
    "n_iterations": 10,
    "align": False,
    "initial_low_pass_A": 40,
    "other_args": made.SEED,
}


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("c3") / "made", 100, states=2)


@pytest.fixture(scope="module")
def project(particles, tmp_path_factory):
    """Return a project with one finished classification, without alignment."""
    project = made.project_of(particles, tmp_path_factory.mktemp("c3") / "project", "4.0")
    job = project.run("class3d", **VALUES)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    return project


def test_two_molecules_come_to_two_classes_from_one_map(project):
    folder = project.job(1).path
    assert made.purity(project, folder / "run_it010_data.star") > 0.97
    likeness = [
        [made.correlation(folder / f"run_it010_class00{k}.mrc", project.root / f"map{m}.mrc")
         for m in (1, 2)]
        for k in (1, 2)
    ]  # fmt: skip
    first = 0 if likeness[0][0] > likeness[0][1] else 1
    assert likeness[0][first] > 0.9
    assert likeness[1][1 - first] > 0.9


def test_what_was_promised_is_there(project):
    job = project.job(1)
    names = {path.name: path for path in job.outputs.values()}
    kinds = ("data.star", "optimiser.star", "class001.mrc", "class002.mrc")
    assert set(names) == {f"run_it010_{kind}" for kind in kinds}
    assert all(path.is_file() for path in names.values())
    assert (job.path / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert job.log(err=True) == ""
    assert job.results["particles"] == 100
    assert 45 < job.results["largest_class"] < 60
    assert job.results["best_resolution"] < 20
    plots = {plot["name"] for plot in job.results["plots"]}
    assert {"occupancy", "directions", "resolution", "changes", "iterations"} <= plots


def test_completeness_of_classes_is_told(project):
    model = read_star(project.job(1).path / "run_it010_model.star")["model_classes"]
    assert all(0.8 < value <= 1 for value in model["rlnOverallFourierCompleteness"])


def test_a_refinement_takes_a_class(project):
    job = run_job(
        project.root, "class3d", "Class3D/job007/", **{
            **VALUES, "particles": "Class3D/job001/run_it010_data.star", "n_iterations": 1,
            "map": "Class3D/job001/run_it010_class002.mrc", "n_classes": 1,
        }
    )  # fmt: skip
    assert not job.told
    assert (job.path / "run_it001_class001.mrc").is_file()


def test_killed_and_continued_is_as_if_it_had_run_through(project, particles, tmp_path):
    other = made.project_of(particles, tmp_path / "project", "4.0")
    job = other.run("class3d", background=True, **VALUES)
    made.wait_for(job, "run_it002_optimiser.star")
    made.kill(job)
    assert job.status is Status.FAILED
    before = made.modified(job.path)
    job = other.run(continue_job=1)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert before.items() <= made.modified(job.path).items()
    (end,) = job.path.glob("run_ct*_it010_optimiser.star")
    root = end.name.removesuffix("_it010_optimiser.star")
    assert made.last_results(job.path, root) == made.last_results(project.job(1).path, "run")
    assert all(path.is_file() for path in job.outputs.values())
    assert {path.name.removesuffix(".mrc") for path in job.outputs.values()} >= {
        f"{root}_it010_class001",
        f"{root}_it010_class002",
    }


@pytest.mark.slow
def test_two_references_find_their_particles_with_alignment(particles, tmp_path):
    project = made.project_of(particles, tmp_path / "project")
    names = {"rlnReferenceImage": ["map1.mrc", "map2.mrc"]}
    write_star(project.root / "maps.star", [Table.from_columns("model_classes", names)])
    values = {**VALUES, "align": True, "angular_sampling": "15 degrees", "shift_range_px": 3}
    values |= {"map": "maps.star", "n_iterations": 5, "initial_low_pass_A": 20}
    job = project.run("class3d", **values)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert made.purity(project, job.path / "run_it005_data.star") > 0.85
