"""The state of a job as its folder tells it: alive, dead, on another machine, made by RELION."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from vitreous.actions.report import job_row
from vitreous.errors import ProjectError
from vitreous.project import markers
from vitreous.project.pipeline import Status
from vitreous.running import execute, launch, process_table, record
from vitreous.running.record import ProcessRecord
from vitreous.running.state import job_state


def state(workshop, name):
    return job_state(workshop.root, workshop.process(name))


def ago(seconds):
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def leave(workshop, **fields):
    """Make a job whose last start was long ago and that left this record."""
    name = workshop.job()
    record.write_process(workshop.dir(name), ProcessRecord(**fields))
    for path in workshop.dir(name).iterdir():
        os.utime(path, (0, 0))
    return name


def here(**fields):
    return {"host": process_table.host(), "boot_id": process_table.boot_id(), **fields}


def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize("whole_group", [False, True])
def test_kill_9_makes_the_job_a_failed_one_that_says_why(workshop, whole_group):
    name = workshop.job("works_for_long")
    pid = launch.start(workshop.root, name).pid
    while not (workshop.dir(name) / "progress.jsonl").exists():
        time.sleep(0.02)
    members = process_table.family(pid)
    assert len(members) == 2
    if whole_group:
        os.killpg(pid, signal.SIGKILL)
    else:
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 10
    while process_table.family(pid) and time.monotonic() < end:
        time.sleep(0.02)
    found = state(workshop, name)
    assert found.status is Status.FAILED
    assert found.reason.startswith(
        f"its process {pid} on {process_table.host()} is gone and left no exit marker:"
        " killed by signal 9 (SIGKILL)"
    )
    assert [one for one in members if process_table.is_alive(one, 0)] == []


@pytest.mark.parametrize("pid", [0, 1, os.getpid(), os.getppid()], ids=["0", "1", "own", "parent"])
def test_the_first_process_and_our_own_are_never_a_job(pid):
    assert process_table.family(pid) == []


def test_memory_running_out_is_told(workshop, monkeypatch):
    kills = process_table.kills_for_memory()
    name = leave(workshop, **here(state="running", pid=dead_pid(), start_ticks=1))
    monkeypatch.setattr(process_table, "kills_for_memory", lambda: kills + 1)
    assert "killed by the kernel because memory ran out" in state(workshop, name).reason


def test_a_crash_in_native_code_is_told(workshop):
    name = leave(workshop, **here(state="running", pid=dead_pid(), start_ticks=1))
    (workshop.dir(name) / "run.err").write_text(
        "Fatal Python error: Segmentation fault\n\nThread 0x1\n"
    )
    assert state(workshop, name).reason.endswith("left no exit marker: Segmentation fault")


def test_a_number_used_again_by_another_process_is_not_the_job(workshop):
    name = leave(workshop, **here(state="running", pid=os.getpid(), start_ticks=1))
    assert state(workshop, name).status is Status.FAILED


def test_a_machine_that_was_started_again_is_told(workshop):
    gone = here(state="running", pid=dead_pid(), start_ticks=1) | {"boot_id": "another"}
    found = state(workshop, leave(workshop, **gone))
    assert found.status is Status.FAILED
    assert found.reason == f"{process_table.host()} was started again while the job ran"


def test_another_machine_of_the_same_name_is_told_by_its_heartbeat(workshop):
    gone = here(state="running", pid=dead_pid(), start_ticks=1, heartbeat=ago(20))
    assert state(workshop, leave(workshop, **gone)).status is Status.FAILED
    other = gone | {"boot_id": "another"}
    assert state(workshop, leave(workshop, **other)).status is Status.RUNNING


def test_a_process_on_another_machine_lives_while_its_heart_beats(workshop):
    name = leave(workshop, state="running", host="gpu7", pid=5, heartbeat=ago(45))
    found = state(workshop, name)
    assert (found.status, found.host, found.pid) == (Status.RUNNING, "gpu7", 5)
    name = leave(workshop, state="running", host="gpu7", pid=5, heartbeat=ago(900))
    found = state(workshop, name)
    assert found.status is Status.FAILED
    assert found.reason.startswith("its process 5 on gpu7 has given no sign of life since ")


def test_a_queue_that_cannot_be_asked_changes_nothing(workshop, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    waiting = leave(workshop, state="queued", queue_system="slurm", queue_id="7", host="login")
    assert state(workshop, waiting).status is Status.RUNNING


def test_markers_win(workshop):
    name = leave(workshop, **here(state="running", pid=dead_pid(), start_ticks=1))
    (workshop.dir(name) / "RELION_JOB_EXIT_SUCCESS").touch()
    assert state(workshop, name).status is Status.SUCCEEDED


def test_who_sees_the_marker_of_a_failure_sees_its_reason(workshop, monkeypatch):
    name = leave(workshop, **here(state="running", pid=os.getpid()))
    seen = []
    write = markers.write_marker

    def look(job_dir, status):
        write(job_dir, status)
        seen.append((state(workshop, name), job_row(workshop.root, workshop.process(name))))

    monkeypatch.setattr(execute.markers, "write_marker", look)
    execute._close(workshop.dir(name), "failed", "the disk was full", 3)
    [(told, row)] = seen
    assert (told.status, told.reason) == (Status.FAILED, "the disk was full")
    assert row["reason"] == told.reason


def test_a_process_that_ended_without_a_marker_failed(workshop):
    name = leave(
        workshop,
        **here(state="failed", pid=dead_pid(), start_ticks=1, exit_reason="the disk was full"),
    )
    found = state(workshop, name)
    assert (found.status, found.reason) == (Status.FAILED, "the disk was full")


def test_a_job_about_to_start_again_is_not_judged_by_its_last_run(workshop):
    name = leave(workshop, **here(state="failed", pid=dead_pid(), start_ticks=1))
    (workshop.dir(name) / "job.star").touch()
    assert state(workshop, name).status is Status.RUNNING


def test_a_start_that_never_came_failed(workshop):
    name = leave(workshop, state="starting", submitted=ago(600))
    assert state(workshop, name).reason == "it was about to start and never did"


def test_jobs_of_relion_are_left_as_they_are(workshop):
    name = workshop.job()
    assert state(workshop, name).status is Status.RUNNING
    (workshop.dir(name) / "RELION_JOB_EXIT_ABORTED").touch()
    assert state(workshop, name).status is Status.ABORTED


def test_a_person_at_work_is_never_dead(workshop):
    name = workshop.job(word="manualpick")
    launch.open_interactive(workshop.root, name)
    for path in workshop.dir(name).iterdir():
        os.utime(path, (0, 0))
    assert state(workshop, name).status is Status.RUNNING


def test_a_finished_job_keeps_its_reason(workshop):
    name = workshop.job("fails")
    launch.start(workshop.root, name, mode="foreground")
    with workshop.folder.edit("it failed") as pipeline:
        pipeline.set_status(name, Status.FAILED)
    assert state(workshop, name).reason.startswith("Movies/a.mrc: there are 0 frames")


def test_a_damaged_record_says_what_to_do_and_hides_nothing(workshop):
    name = workshop.job()
    (workshop.dir(name) / "process.json").write_text("{")
    found = state(workshop, name)
    assert found.status is Status.RUNNING
    assert "process.json: is no record of a process" in found.reason
    assert "Remove the file" in found.reason
    (workshop.dir(name) / "RELION_JOB_EXIT_SUCCESS").touch()
    assert state(workshop, name).status is Status.SUCCEEDED
    (workshop.dir(name) / "process.json").unlink()


def test_a_job_that_lives_on_another_machine_is_not_started_here(workshop):
    name = leave(workshop, state="running", host="gpu7", pid=5, heartbeat=ago(20))
    with pytest.raises(ProjectError, match="is running already, as process 5 on gpu7"):
        launch.start(workshop.root, name)


def test_a_scheduler_may_begin_a_job_again(workshop, monkeypatch):
    """After a preemption Slurm runs the same script again, under the same number."""
    name = workshop.job("counts")
    old = {"state": "aborted", "queue_system": "slurm", "queue_id": "31", "submitted": ago(900)}
    record.write_process(workshop.dir(name), ProcessRecord(**old, host="gpu7", pid=5))
    (workshop.dir(name) / "RELION_JOB_EXIT_ABORTED").touch()
    environ = {**os.environ, "SLURM_JOB_ID": "31"}
    words = [sys.executable, "-m", "vitreous.running", name]
    subprocess.run(words, cwd=workshop.root, env=environ, check=True, capture_output=True)
    found = record.read_process(workshop.dir(name))
    assert (found.state, found.queue_id, found.submitted) == ("succeeded", "31", old["submitted"])
    assert state(workshop, name).status is Status.SUCCEEDED
