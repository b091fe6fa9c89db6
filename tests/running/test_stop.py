"""Stopping jobs that listen, that do not look, and that refuse."""

import os
import signal
import subprocess
import sys
import time

import pytest

from vitreous.errors import ProjectError
from vitreous.project.pipeline import Status
from vitreous.running import launch, process_table, record, stop


def begin(workshop, name, sign="progress.jsonl"):
    pid = launch.start(workshop.root, name).pid
    end = time.monotonic() + 30
    while not (workshop.dir(name) / sign).exists():
        assert time.monotonic() < end, workshop.text(name, "run.err")
        time.sleep(0.02)
    return pid


def timed_abort(workshop, name, **more):
    began = time.monotonic()
    state = stop.abort(workshop.root, name, **more)
    return state, time.monotonic() - began


def check_aborted(workshop, name, pid):
    markers = sorted(path.name for path in workshop.dir(name).glob("RELION_JOB_*"))
    assert markers == ["RELION_JOB_EXIT_ABORTED"]
    assert record.read_process(workshop.dir(name)).state == "aborted"
    assert process_table.family(pid) == []


def test_a_program_that_looks_stops_within_a_second(workshop):
    name = workshop.job("works_for_long")
    pid = begin(workshop, name)
    asked = time.time()
    state = stop.abort(workshop.root, name)
    assert (state.status, state.reason) == (Status.ABORTED, "stopped on request")
    assert (workshop.dir(name) / "results.json").stat().st_mtime - asked < 1.0
    check_aborted(workshop, name, pid)
    assert "Stopped on request" in workshop.text(name, "run.out")
    assert workshop.text(name, "run.err") == ""
    assert record.read_results(workshop.dir(name))["timing"][0]["items"] > 0


def test_a_program_that_is_still_being_imported_stops(workshop):
    name = workshop.job("slow_start:runs")
    pid = begin(workshop, name, "../../is_importing")
    state, seconds = timed_abort(workshop, name, grace=40.0)
    assert (state.status, state.reason) == (Status.ABORTED, "stopped on request")
    assert seconds < 20
    check_aborted(workshop, name, pid)


def test_a_program_that_does_not_look_is_told_after_the_grace(workshop):
    name = workshop.job("never_looks")
    pid = begin(workshop, name, "is_busy")
    state, seconds = timed_abort(workshop, name)
    assert state.status is Status.ABORTED
    assert 1.5 < seconds < 10.0
    check_aborted(workshop, name, pid)


def test_a_program_that_refuses_is_killed(workshop):
    name = workshop.job("stubborn")
    pid = begin(workshop, name, "is_busy")
    state, seconds = timed_abort(workshop, name, grace=0.5)
    assert state.status is Status.ABORTED
    assert seconds < 12.0
    check_aborted(workshop, name, pid)


def test_the_marker_alone_stops_a_job_as_relion_makes_it(workshop):
    name = workshop.job("works_for_long")
    pid = begin(workshop, name)
    (workshop.dir(name) / "RELION_JOB_ABORT_NOW").touch()
    end = time.monotonic() + 30
    while process_table.is_alive(pid, 0) and time.monotonic() < end:
        time.sleep(0.02)
    check_aborted(workshop, name, pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_job_as_aborted(workshop, number):
    name = workshop.job("works_for_long")
    pid = begin(workshop, name)
    os.kill(pid, number)
    end = time.monotonic() + 30
    while process_table.is_alive(pid, 0) and time.monotonic() < end:
        time.sleep(0.02)
    check_aborted(workshop, name, pid)
    assert number.name in record.read_process(workshop.dir(name)).exit_reason.replace(
        "Ctrl-C", "SIGINT"
    )


def test_ctrl_c_on_a_terminal_stops_exec(workshop):
    name = workshop.job("works_for_long")
    child = subprocess.Popen(
        [sys.executable, "-m", "vitreous", "exec", name],
        cwd=workshop.root,
        stdout=subprocess.PIPE,
        process_group=0,
        text=True,
    )
    assert child.stdout.readline().startswith("Waiting")
    os.killpg(child.pid, signal.SIGINT)
    rest, _ = child.communicate(timeout=30)
    assert child.returncode == 1
    assert "Stopped on request" in rest
    check_aborted(workshop, name, child.pid)


def test_a_job_that_is_over_cannot_be_stopped(workshop):
    name = workshop.job("fails")
    launch.start(workshop.root, name, mode="foreground")
    with pytest.raises(ProjectError, match="is not running: it is Failed"):
        stop.abort(workshop.root, name)
    assert not (workshop.dir(name) / "RELION_JOB_ABORT_NOW").exists()


def test_a_job_of_relion_gets_the_request_and_no_more(workshop):
    name = workshop.job()
    assert stop.abort(workshop.root, name).status is Status.RUNNING
    assert (workshop.dir(name) / "RELION_JOB_ABORT_NOW").exists()
