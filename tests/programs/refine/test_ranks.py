"""Several real processes refine as one does, and go on after one of them was killed."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

import vitreous
from programs.refine import refinement_project as made
from vitreous.io import read_star, read_volume
from vitreous.project.pipeline import Status
from vitreous.running import process_table, record

N = 60
VALUES = {
    **made.COMMON,
    "map": "map1.mrc",
    "initial_low_pass_A": 30,
    "angular_sampling": "15 degrees",
    "other_args": f"{made.SEED} --auto_iter_max 3",
}
MAPS = ("run_it002_half1_class001.mrc", "run_it002_half2_class001.mrc")


@pytest.fixture(scope="module")
def particles(tmp_path_factory):
    return made.simulated(tmp_path_factory.mktemp("particles") / "sim", N)


@pytest.fixture(scope="module")
def project(particles, tmp_path_factory):
    """A project in which one process has refined."""
    project = made.project_of(particles, tmp_path_factory.mktemp("ranks") / "project")
    (project.root / "scratch").mkdir()
    job = project.run("refine3d", **VALUES)
    assert job.status == "Succeeded", job.log(err=True)
    return project


@pytest.mark.parametrize(
    ("n_ranks", "machine"),
    [
        (2, {"parallel_disk_reads": False, "scratch_folder": "scratch"}),
        (3, {"combine_through_disk": True, "preread_images": True}),
    ],
)
def test_ranks_refine_as_one_process_does(project, n_ranks, machine):
    one = project.job(1).path
    other_args = f"{VALUES['other_args']} --keep_free_scratch 0"  # however full this disk is
    values = VALUES | {"n_ranks": n_ranks, "other_args": other_args}
    job = project.run("refine3d", **values, **machine)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert job.log(err=True) == ""
    for name in MAPS:
        expected, found = (read_volume(path / name).data for path in (one, job.path))
        assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    rows = [read_star(path / "run_it002_data.star")["particles"] for path in (one, job.path)]
    for label in ("rlnImageName", "rlnRandomSubset"):
        assert rows[0][label].tolist() == rows[1][label].tolist()
    for label in ("rlnAngleRot", "rlnAngleTilt", "rlnOriginXAngst", "rlnNormCorrection"):
        close = np.isclose(rows[0][label], rows[1][label], atol=1e-3)
        assert close.mean() > 0.95  # where two poses are as good, rounding chooses
    assert f"{N} particles in" in job.log()
    left = [path.name for path in job.path.iterdir() if path.name.startswith((".r", ".sums"))]
    assert left == []
    assert list((project.root / "scratch").glob("relion_volatile/*")) == []
    if "preread_images" in machine:
        assert f"Images in memory: {N} x {made.BOX}² x 4 bytes" in job.log()
    else:
        assert f"Particles on the scratch disk scratch: {N}" in job.log()


def rank_of(job, rank):
    """Return the process of a rank of a job that runs: a child of its supervisor, by birth."""
    known = record.read_process(job.path)
    assert known is not None
    children = [pid for pid in process_table.descendants(known.pid) if parent(pid) == known.pid]
    return sorted(children)[rank]


def parent(pid):
    with open(f"/proc/{pid}/stat") as stream:
        return int(stream.read().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("killed", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_a_killed_rank_fails_the_job_which_then_goes_on(particles, tmp_path, killed):
    project = made.project_of(particles, tmp_path / "project")
    values = VALUES | {"other_args": f"{made.SEED} --auto_iter_max 6"}
    job = project.run("refine3d", background=True, n_ranks=2, **values)
    made.wait_for(job, "run_it001_optimiser.star")
    began = time.monotonic()
    os.kill(rank_of(job, killed), signal.SIGKILL)
    assert job.wait(60) is Status.FAILED
    assert time.monotonic() - began < 30
    reason = record.read_process(job.path).exit_reason
    assert reason.startswith(f"rank {killed}: killed by signal 9")
    job = vitreous.Project(project.root).run(continue_job=job.name)
    assert job.status == "Succeeded", job.log() + job.log(err=True)
    assert list(job.path.glob("run_ct*_class001.mrc"))
