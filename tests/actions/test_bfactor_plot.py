"""A B-factor plot through the pipeline: subsets refined as jobs, stopped, gone on, refused."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from programs.refine import refinement_project as made
from vitreous import Project
from vitreous.actions import bfactor_plot
from vitreous.actions.bfactor_plot import Wanted
from vitreous.cli.app import invoke
from vitreous.engine import masking
from vitreous.errors import ComputeError, InputError
from vitreous.io import read_star, write_volume
from vitreous.project.pipeline import Status
from vitreous.running import launch

VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "angular_sampling": "30 degrees",
    "local_sampling": "15 degrees",
    "shift_range_px": 3,
    "initial_low_pass_A": 20,
    "other_args": made.SEED,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project with a refinement of 60 particles and its post-processing."""
    folder = tmp_path_factory.mktemp("bfactor")
    project = made.project_of(made.simulated(folder / "made", 60, snr=1.0), folder / "project")
    mask = masking.sphere(made.BOX, 3, 8, 3).numpy()
    write_volume(project.root / "mask.mrc", mask, made.PIXEL_A)
    assert project.run("refine3d", **VALUES).status == "Succeeded"
    half = "Refine3D/job001/run_half1_class001_unfil.mrc"
    values = {"half_map": half, "mask": "mask.mrc", "fit_bfactor": False}
    assert project.run("postprocess", **values).status == "Succeeded"
    return project


def wanted(**changes):
    return Wanted(**{"refinement": 1, "postprocess": 2, "smallest": 15} | changes)


def by_name(results):
    return {one["name"]: one["value"] for one in results["headline"]}


def test_a_plot_is_made_of_ordinary_jobs_and_only_once(project, capsys):
    told = []
    results = bfactor_plot.plot(project, wanted(smallest=30), told.append)
    assert by_name(results)["points"] == 2
    assert "30 particles" in told
    types = [job.type.split(".")[1] for job in project.jobs]
    assert types[2:] == ["select", "refine3d", "postprocess"]
    assert all(job.status is Status.SUCCEEDED for job in project.jobs)
    assert project.job(4).options["point_group"] == project.job(1).options["point_group"]
    assert project.job(4).options["angular_sampling"] == "30 degrees"

    drawn = read_star(project.root / "Select/job003/particles_split1.star")["particles"]
    every = read_star(project.root / made.PARTICLES)["particles"]
    assert len(drawn) == 30
    assert set(drawn["rlnImageName"]) < set(every["rlnImageName"])

    folder = project.root / "BfactorPlot"
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    assert (folder / "logfile.pdf").read_bytes().startswith(b"%PDF")
    rows = json.loads((folder / "plots/resolutions.json").read_text())["rows"]
    assert [row[0] for row in rows if row[1] == "measured"] == [30, 60]
    found = [row[2] for row in rows if row[1] == "measured"]
    assert all(8 <= value < 50 for value in found)

    # Once more, from the shell: nothing is left to do.
    words = ["bfactor-plot", "1", "2", "--minimum_nr_particles", "30", "--json"]
    assert invoke([*words, "--project", str(project.root)]) == 0
    assert json.loads(capsys.readouterr().out)["headline"][0]["value"] == 2
    assert len(project.jobs) == 5


def test_what_does_not_fit_is_refused(project):
    with pytest.raises(InputError, match=r"PostProcess/job002/ is a relion\.postprocess job"):
        bfactor_plot.plot(project, wanted(refinement=2))
    with pytest.raises(InputError, match="does not fit 60 particles"):
        bfactor_plot.plot(project, wanted(smallest=500, folder="Other"))
    folder = project.root / "Taken"
    folder.mkdir()
    state = {"about": {"refinement": "Refine3D/job099/"}, "jobs": {}}
    (folder / bfactor_plot.STATE).write_text(json.dumps(state))
    with pytest.raises(InputError, match="holds the plot of Refine3D/job099/"):
        bfactor_plot.plot(project, wanted(folder="Taken"))
    (folder / bfactor_plot.STATE).write_text("[")
    with pytest.raises(InputError, match="not a list of jobs"):
        bfactor_plot.plot(project, wanted(folder="Taken"))


@pytest.mark.slow
def test_killed_it_goes_on_and_makes_no_job_twice(project):
    words = ["bfactor-plot", "1", "2", "--minimum_nr_particles", "15", "-o", "Killed"]
    command = [sys.executable, "-m", "vitreous", *words, "--project", str(project.root)]
    before = len(project.jobs)
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    state = project.root / "Killed" / bfactor_plot.STATE
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if state.is_file() and "refine3d" in json.loads(state.read_text())["jobs"].get("15", {}):
            break
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    Project(project.root).unlock()  # of one that was killed while it started the job
    job = Project(project.root).job(json.loads(state.read_text())["jobs"]["15"]["refine3d"])
    if job.status is Status.RUNNING:
        project.abort(job)
    results = bfactor_plot.plot(Project(project.root), wanted(folder="Killed"))
    assert by_name(results)["points"] == 3
    assert len(Project(project.root).jobs) == before + 6
    jobs = json.loads(state.read_text())["jobs"]
    small, large = (
        read_star(project.root / jobs[n]["select"] / "particles_split1.star")["particles"]
        for n in ("15", "30")
    )
    assert set(small["rlnImageName"]) < set(large["rlnImageName"])


@pytest.mark.slow
def test_killed_between_graph_and_process_the_job_is_started_again(project, monkeypatch):
    """The graph has it as running, but nobody ever started it: no output, no process."""

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launch, "start", killed)
        with pytest.raises(KeyboardInterrupt):
            bfactor_plot.plot(project, wanted(folder="Between", seed=9, smallest=30))
    state = json.loads((project.root / "Between" / bfactor_plot.STATE).read_text())
    name = state["jobs"]["30"]["select"]
    assert Project(project.root).job(name).status is Status.RUNNING
    monkeypatch.setattr("vitreous.running.state._STARTING_S", 1.0)
    with pytest.warns(UserWarning, match="subset_size: is 30"):  # made again, so looked at again
        results = bfactor_plot.plot(
            Project(project.root), wanted(folder="Between", seed=9, smallest=30)
        )
    assert by_name(results)["points"] == 2
    again = json.loads((project.root / "Between" / bfactor_plot.STATE).read_text())
    assert again["jobs"]["30"]["select"] == name


@pytest.mark.slow
def test_a_subset_that_fails_is_named_and_tried_again(project):
    mask = project.root / "mask.mrc"
    kept = mask.read_bytes()
    write_volume(mask, np.zeros((made.BOX,) * 3, np.float32), made.PIXEL_A)
    try:
        with pytest.raises(ComputeError, match=r"PostProcess/job\d+/ failed: .*call the same"):
            bfactor_plot.plot(project, wanted(folder="Failed", seed=7, smallest=30))
    finally:
        mask.write_bytes(kept)
    results = bfactor_plot.plot(project, wanted(folder="Failed", seed=7, smallest=30))
    assert by_name(results)["points"] == 2
