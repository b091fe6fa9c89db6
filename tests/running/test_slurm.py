"""Jobs sent to a real Slurm, started on loopback for these tests."""

import shutil
import stat
import tempfile
import time
from pathlib import Path

import pytest

import requirements
from running import slurm_daemons
from vitreous.errors import EnvironmentMissing, ProjectError
from vitreous.project.pipeline import Status
from vitreous.running import launch, queue, record, stop
from vitreous.running.state import job_state

EXAMPLE = Path(__file__).parents[2] / "docs/examples/slurm.sh"
TEMPLATE = """#!/bin/bash
#SBATCH --partition=XXXqueueXXX
#SBATCH --job-name=XXXnameXXX
#SBATCH --ntasks=XXXmpinodesXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --open-mode=append
LAUNCH XXXcommandXXX
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    requirements.need("slurm", "root")
    made = slurm_daemons.Slurm(tmp_path_factory.mktemp("slurm") / "daemons")
    # munged runs as its own user and must reach its socket through pytest's private folders.
    top = Path(tempfile.gettempdir())
    for folder in made.folder.parents:
        if folder == top or top not in folder.parents:
            break
        folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def cluster(slurm, workshop, monkeypatch):
    for name, value in slurm.environ.items():
        monkeypatch.setenv(name, value)
    queue._remembered.clear()
    yield workshop
    slurm.run("scancel", "--user=root")


def queued(workshop, program, launcher="", word="import", **values):
    (workshop.root / "submit.sh").write_text(TEMPLATE.replace("LAUNCH", launcher))
    return workshop.job(
        program,
        word=word,
        do_queue="Yes",
        queuename="short",
        qsub="sbatch",
        qsubscript="submit.sh",
        **values,
    )


def test_the_script_of_the_documentation_works(cluster):
    name = queued(cluster, "ranks", word="class2d", nr_mpi="2", nr_threads="1")
    shutil.copy(EXAMPLE, cluster.root / "submit.sh")
    started = launch.start(cluster.root, name, mode="foreground")
    assert started.state.status is Status.SUCCEEDED, cluster.text(name, "run.err")
    assert record.read_process(cluster.dir(name)).ranks == 2


def wait_until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def state(workshop, name):
    return job_state(workshop.root, workshop.process(name))


def test_a_job_goes_through_the_queue_to_success(cluster, slurm):
    name = queued(cluster, "ranks", "srun", word="class2d", nr_mpi="2")
    lines = []

    def echo(line):  # the queue opens when the job was seen to wait
        lines.append(line)
        if "queued since" in line:
            slurm.run("scontrol", "update", "partition=short", "state=up")

    slurm.run("scontrol", "update", "partition=short", "state=down")
    try:
        started = launch.start(cluster.root, name, mode="foreground", echo=echo)
    finally:
        slurm.run("scontrol", "update", "partition=short", "state=up")
    assert started.state.status is Status.SUCCEEDED, cluster.text(name, "run.err")
    assert started.queue_id.isdigit()
    script = cluster.text(name, "run_submit.script")
    assert f"#SBATCH --output={name}run.out" in script
    assert "#SBATCH --ntasks=2" in script
    assert "XXX" not in script
    assert any("queued since" in line and started.queue_id in line for line in lines)
    found = record.read_process(cluster.dir(name))
    assert (found.state, found.queue_system, found.queue_id) == (
        "succeeded",
        "slurm",
        started.queue_id,
    )
    assert (found.ranks, found.queue_name) == (2, "short")
    assert found.submitted < found.started < found.ended
    told = [cluster.text(name, f"rank{rank}.txt").split() for rank in range(2)]
    assert [one[:5] for one in told] == [
        ["2", "1", "0", "2", "0"],
        ["2", "1", "1", "2", "1"],
    ]
    assert told[0][5] == told[1][5]  # both ranks meet at the same file


def test_a_waiting_job_says_since_when_and_can_be_cancelled(cluster, slurm):
    slurm.run("scontrol", "update", "partition=short", "state=down")
    try:
        name = queued(cluster, "counts")
        number = launch.start(cluster.root, name).queue_id
        now = state(cluster, name)
        assert (now.status, now.is_queued, now.queue_id) == (Status.RUNNING, True, number)
        assert str(now) == f"Running, queued since {now.since} as {number}"
        assert record.age_s(now.since) < 60
        with pytest.raises(ProjectError, match=f"is in the queue already, as {number}"):
            launch.start(cluster.root, name)
        assert stop.abort(cluster.root, name).status is Status.ABORTED
    finally:
        slurm.run("scontrol", "update", "partition=short", "state=up")
    assert "CANCELLED" in slurm.run("scontrol", "show", "job", number).stdout
    assert (cluster.dir(name) / "RELION_JOB_EXIT_ABORTED").exists()
    assert not (cluster.dir(name) / "run.err").exists()


def test_a_running_queued_job_can_be_aborted(cluster, slurm):
    name = queued(cluster, "works_for_long")
    number = launch.start(cluster.root, name).queue_id
    wait_until((cluster.dir(name) / "progress.jsonl").exists)
    assert not state(cluster, name).is_queued
    assert stop.abort(cluster.root, name).status is Status.ABORTED
    assert "RUNNING" not in slurm.run("scontrol", "show", "job", number).stdout
    assert "Stopped on request" in cluster.text(name, "run.out")


def test_scancel_by_hand_aborts_the_job(cluster, slurm):
    name = queued(cluster, "works_for_long")
    number = launch.start(cluster.root, name).queue_id
    wait_until((cluster.dir(name) / "progress.jsonl").exists)
    slurm.run("scancel", number)
    wait_until(lambda: state(cluster, name).status is not Status.RUNNING)
    assert state(cluster, name).status is Status.ABORTED


def external(cluster, body, **values):
    script = cluster.root / "own.sh"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return queued(cluster, "", word="external", fn_exe="./own.sh", **values)


def test_an_external_job_goes_through_the_queue_word_for_word(cluster):
    body = 'echo "$0 $*" > External/job001/words\ntouch External/job001/RELION_JOB_EXIT_SUCCESS'
    name = external(cluster, body, param1_label="threshold", param1_value="0.1", nr_threads="2")
    command = "./own.sh --o External/job001/ --threshold 0.1 --j 2"
    started = launch.start(cluster.root, name, mode="foreground")
    assert started.state.status is Status.SUCCEEDED
    assert command in cluster.text(name, "run_submit.script").splitlines()
    assert cluster.text(name, "words") == f"{command}\n"


def test_an_external_job_that_leaves_no_marker_fails_with_what_slurm_says(cluster):
    name = external(cluster, "exit 3")
    launch.start(cluster.root, name)
    wait_until(lambda: state(cluster, name).status is not Status.RUNNING)
    now = state(cluster, name)
    assert now.status is Status.FAILED
    assert now.reason == ("it left the queue without an exit marker: FAILED with exit code 3:0")


def test_a_refused_submission_fails_the_job_with_the_answer(cluster):
    name = queued(cluster, "counts")
    (cluster.root / "submit.sh").write_text(TEMPLATE.replace("=XXXqueueXXX", "=nowhere"))
    with pytest.raises(EnvironmentMissing, match=r"did not take the job.*invalid partition"):
        launch.start(cluster.root, name)
    now = state(cluster, name)
    assert now.status is Status.FAILED
    assert "invalid partition" in now.reason
    assert "invalid partition" in cluster.text(name, "run.err")
