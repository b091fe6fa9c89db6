"""Scheduled jobs run one after the other, for real."""

import threading
import time

import pytest

from vitreous.actions.autorun import Rhythm, autorun, autorun_in_background
from vitreous.actions.project import Project
from vitreous.errors import InputError, ProjectError
from vitreous.jobs.job_star import read_job
from vitreous.project import node_types
from vitreous.project.pipeline import Status

QUICK = Rhythm(poll_s=0.05, wait_for_input_s=0.05)


@pytest.fixture
def project(workshop):
    return Project(workshop.root)


def scheduled(workshop, *programs, word="import"):
    names = [workshop.job(program, word=word) for program in programs]
    with workshop.folder.edit("scheduling") as pipeline:
        for name in names:
            pipeline.set_status(name, Status.SCHEDULED)
    return names


def until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_jobs_run_in_order_each_after_its_input_is_there(workshop, project):
    first, second = scheduled(workshop, "counts", "counts")
    with workshop.folder.edit("an input") as pipeline:
        pipeline.add_output(first, f"{first}flock.txt", node_types.PARTICLES)
        pipeline.add_input(second, f"{first}flock.txt", node_types.PARTICLES)
    lines = []

    def echo(line):
        lines.append(line)
        if f"{second} waits for {first}flock.txt" in line:
            (workshop.root / first / "flock.txt").touch()

    outcome = autorun(project, [1, 2], QUICK, echo=echo)
    assert (outcome.repeats, outcome.reason) == (1, "")
    assert [project.job(name).status for name in (first, second)] == [Status.SUCCEEDED] * 2
    told = [line.split(" schedule1 ")[1] for line in lines]
    assert told == [
        f"begins: {first}, {second}, 1 time(s)",
        f"starts {first}",
        f"{first} is over: Succeeded",
        f"{second} waits for {first}flock.txt",
        f"starts {second}",
        f"{second} is over: Succeeded",
        "has done all that it should",
    ]
    assert (workshop.root / "pipeline_schedule1.log").read_text().splitlines() == lines
    assert not (workshop.root / "RUNNING_PIPELINER_schedule1").exists()


def test_a_failure_ends_the_run(workshop, project):
    first, second = scheduled(workshop, "fails", "fails")
    outcome = autorun(project, [first, second], QUICK)
    assert outcome.repeats == 0
    assert outcome.reason.startswith(f"{first} failed: Movies/a.mrc: there are 0 frames")
    assert project.job(second).status is Status.SCHEDULED


def test_repeats_go_on_where_the_job_type_can(workshop, project):
    (name,) = scheduled(workshop, "counts", word="motioncorr")
    outcome = autorun(
        project, [name], Rhythm(times=2, wait_min=0.01, poll_s=0.05), name="on_the_fly"
    )
    assert outcome.repeats == 2
    assert workshop.text(name, "run.out").count("Size of the flock") == 2
    assert read_job(workshop.root / name).is_continue
    assert project.job(name).status is Status.SUCCEEDED
    assert (workshop.root / "pipeline_on_the_fly.log").exists()


def test_removing_the_stop_file_ends_the_run_and_leaves_the_job(workshop, project):
    first, second = scheduled(workshop, "works_for_long", "works_for_long")
    stop_file = workshop.root / "RUNNING_PIPELINER_night"

    def remove():
        until(lambda: project.job(first).status is Status.RUNNING)
        stop_file.unlink()

    thread = threading.Thread(target=remove)
    thread.start()
    outcome = autorun(project, [first, second], QUICK, name="night")
    thread.join()
    assert outcome.reason == f"RUNNING_PIPELINER_night was removed; {first} goes on"
    assert project.job(first).status is Status.RUNNING
    assert project.job(second).status is Status.SCHEDULED


def test_a_run_in_the_background_does_the_same(workshop, project):
    (name,) = scheduled(workshop, "counts")
    autorun_in_background(project, [name], QUICK)
    log = workshop.root / "pipeline_schedule1.log"
    until(lambda: log.exists() and "has done all" in log.read_text())
    assert project.job(name).status is Status.SUCCEEDED


def test_a_second_run_of_the_same_name_is_refused(workshop, project):
    (name,) = scheduled(workshop, "counts")
    (workshop.root / "RUNNING_PIPELINER_schedule1").touch()  # as RELION makes it
    with pytest.raises(ProjectError, match="a run called schedule1 goes on"):
        autorun(project, [name], QUICK)


def test_only_scheduled_jobs_can_be_run_so(workshop, project):
    name = workshop.job("counts")
    with pytest.raises(InputError, match=f"{name} is running; only scheduled jobs"):
        autorun(project, [name], QUICK)
    with pytest.raises(InputError, match="no job to run was given"):
        autorun(project, [], QUICK)
