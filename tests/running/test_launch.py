"""Jobs really started: what they leave behind, and how they outlive who started them."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from threading import Timer

import pytest

import requirements
from vitreous.errors import InputError, OptionError, ProjectError
from vitreous.io import read_star
from vitreous.jobs import registry
from vitreous.jobs.context import Progress, Run
from vitreous.project.pipeline import Status
from vitreous.running import follow, launch, other_ranks, process_table, record
from vitreous.running.job_run import JobRun, Place
from vitreous.running.progress import Meter
from vitreous.running.ranks import Ranks
from vitreous.running.state import job_state

JOB = "Import/job001/"


def finished(workshop, name, **more):
    return launch.start(workshop.root, name, mode="foreground", **more).state


def test_a_foreground_job_fills_its_folder(counted):
    assert counted.state.status is Status.SUCCEEDED
    assert counted.text(JOB, "run.err") == ""
    assert (counted.dir(JOB) / "RELION_JOB_EXIT_SUCCESS").read_bytes() == b""
    found = record.read_process(counted.dir(JOB))
    assert found.state == "succeeded"
    assert found.exit_code == 0
    assert found.host == process_table.host()
    assert found.boot_id == process_table.boot_id()
    assert found.command == (command_in_note(counted),)
    assert found.submitted <= found.started <= found.heartbeat <= found.ended
    assert "Counting sheep: 10 sheep" in counted.lines
    assert "Size of the flock: 10 sheep" in counted.lines


def command_in_note(counted):
    blank, title, heading, command, end = counted.text(JOB, "note.txt").splitlines()
    assert (blank, heading, end) == ("", " ++++ with the following command(s): ", " ++++ ")
    assert title.startswith(" ++++ Executing new job on ")
    return command


def test_what_libraries_print_as_errors_goes_to_the_log(counted):
    out = counted.text(JOB, "run.out")
    assert "a library talks" in out
    assert "UserWarning: a module warns" in out


def test_results_hold_numbers_timing_plots_and_warnings(counted):
    results = record.read_results(counted.dir(JOB))
    assert results["headline"] == [
        {"name": "flock", "value": 10, "unit": "sheep", "label": "Size of the flock"}
    ]
    (timing,) = results["timing"]
    assert (timing["phase"], timing["items"], timing["unit"]) == ("Counting sheep", 10, "sheep")
    assert timing["gflop_per_s"] == pytest.approx(10 / timing["seconds"], rel=0.05)
    assert timing["bytes_per_s"] == pytest.approx(1e7 / timing["seconds"], rel=0.05)
    (plot,) = results["plots"]
    assert (plot["kind"], plot["axes"], plot["data"]) == (
        "line",
        [{"label": "day"}],
        "plots/wool.json",
    )
    assert record.read_plot(counted.dir(JOB), "wool")["y"] == [1.0, None]
    assert results["warnings"] == [
        {
            "what": "is black, which costs nothing",
            "count": 4,
            "units": ["sheep 0", "sheep 3", "sheep 6", "sheep 9"],
        }
    ]


def test_outputs_found_while_running_are_listed_for_both_relions(counted):
    nodes = read_star(counted.dir(JOB) / "RELION_OUTPUT_NODES.star")["output_nodes"]
    assert nodes["rlnPipeLineNodeName"].tolist() == [f"{JOB}flock.star"]
    assert nodes["rlnPipeLineNodeType"].tolist() == [3]
    assert nodes["rlnPipeLineNodeTypeLabel"].tolist() == ["ParticleGroupMetadata.star.relion"]


def test_a_program_gets_everything_that_it_was_promised(tmp_path):
    run = JobRun(Place(tmp_path, JOB, False, 2, Ranks()), io.StringIO())
    assert isinstance(run, Run)
    assert (run.path, run.n_threads, run.rank, run.n_ranks) == (tmp_path / JOB, 2, 0, 1)
    assert isinstance(Meter("Counting", 1, "sheep", lambda _: None), Progress)


def test_a_failure_has_its_cause_above_the_traceback(workshop):
    name = workshop.job("fails")
    state = finished(workshop, name)
    cause = "Movies/a.mrc: there are 0 frames, and at least 2 are needed. Leave it out."
    assert (state.status, state.reason) == (Status.FAILED, cause)
    first, _, third, *rest = workshop.text(name, "run.err").splitlines()
    assert first == cause
    assert third.startswith("Traceback")
    assert rest[-1].endswith(cause)
    assert record.read_results(workshop.dir(name))["warnings"][0]["what"] == "something was odd"


def test_a_mistake_in_a_program_fails_the_job_with_its_name(workshop):
    name = workshop.job("is_wrong")
    assert finished(workshop, name).reason == "KeyError: 'wool'"


def test_a_package_that_is_missing_is_named_with_the_way_to_get_it(workshop):
    told = finished(workshop, workshop.job("needs_a_package")).reason
    assert told.startswith("The Python package sheep is not installed beside vitreous.")
    assert told.endswith("-m pip install sheep`.")


@pytest.mark.parametrize(
    ("program", "reason"),
    [("is_killed", "killed by signal 9 (SIGKILL)"), ("crashes", "killed by signal 11 (SIGSEGV)")],
)
def test_a_program_that_is_killed_leaves_the_signal_as_reason(workshop, program, reason):
    name = workshop.job(program)
    state = finished(workshop, name)
    assert state.status is Status.FAILED
    assert state.reason.startswith(reason)
    assert (workshop.dir(name) / "RELION_JOB_EXIT_FAILURE").exists()


def test_a_job_outlives_the_process_that_started_it(workshop):
    name = workshop.job("counts")
    script = (
        "import sys; from pathlib import Path; from vitreous.running import launch;"
        "print(launch.start(Path(sys.argv[1]), sys.argv[2], mode='background').pid)"
    )
    parent = subprocess.run(
        [sys.executable, "-c", script, workshop.root, name],
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    pid = int(parent.stdout)
    one = process_table.entry(pid)
    assert (one.group, one.session) == (pid, pid)
    assert job_state(workshop.root, workshop.process(name)).status is Status.RUNNING
    assert follow.wait(workshop.root, name, timeout_s=20).status is Status.SUCCEEDED


def test_a_background_start_returns_at_once(workshop):
    name = workshop.job("works_for_long")
    began = time.monotonic()
    started = launch.start(workshop.root, name)
    assert time.monotonic() - began < 0.2
    assert started.state is None
    assert process_table.entry(started.pid).is_alive


def test_two_starts_at_once_run_the_job_once(workshop):
    name = workshop.job("works_for_long")
    told = []

    def start():
        try:
            told.append(launch.start(workshop.root, name).pid)
        except ProjectError as error:
            told.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    (pid,) = [one for one in told if isinstance(one, int)]
    (refusal,) = [one for one in told if isinstance(one, str)]
    assert f"is running already, as process {pid}" in refusal
    assert "vitreous abort" in refusal


@pytest.mark.parametrize("is_begun", [False, True])
def test_exec_of_a_running_job_is_refused_and_harms_nothing(workshop, is_begun):
    name = workshop.job("works_for_long")
    started = launch.start(workshop.root, name)
    if is_begun:
        until(lambda: record.read_process(workshop.dir(name)).state == "running")
    second = subprocess.run(
        [sys.executable, "-m", "vitreous", "exec", name],
        cwd=workshop.root,
        capture_output=True,
        text=True,
    )
    assert second.returncode != 0
    assert "is running already" in second.stderr
    assert process_table.entry(started.pid).is_alive
    assert job_state(workshop.root, workshop.process(name)).status is Status.RUNNING


@pytest.mark.parametrize(
    ("program", "before", "after"),
    [
        ("counts", Status.SCHEDULED, Status.SUCCEEDED),
        ("fails", Status.SUCCEEDED, Status.FAILED),
    ],
)
def test_a_job_that_is_run_by_hand_shows_as_running_and_how_it_ends(
    workshop, program, before, after
):
    name = workshop.job(program)
    with workshop.folder.edit("as it was") as pipeline:
        pipeline.set_status(name, before)
    command = [sys.executable, "-m", "vitreous", "exec", name]
    subprocess.run(command, cwd=workshop.root, capture_output=True)
    assert workshop.process(name).status is Status.RUNNING  # until somebody looks
    assert job_state(workshop.root, workshop.process(name)).status is after


def test_a_job_type_without_a_program_is_refused_in_one_sentence(workshop, monkeypatch):
    monkeypatch.setitem(registry.find("import").__dict__, "run", "vitreous.programs.not_there:run")
    name = workshop.job()
    with pytest.raises(
        InputError, match=r"^Import/job001/: this version .* cannot run Import jobs"
    ):
        launch.start(workshop.root, name)


def test_more_local_ranks_than_the_site_allows_are_refused(workshop, monkeypatch):
    monkeypatch.setenv("RELION_ERROR_LOCAL_MPI", "4")
    name = workshop.job("ranks", word="class2d", nr_mpi="5")
    with pytest.raises(OptionError, match="is 5, and at most 4 may run without a queue"):
        launch.start(workshop.root, name)
    assert job_state(workshop.root, workshop.process(name)).status is Status.FAILED


def test_local_ranks_know_each_other(workshop):
    name = workshop.job("ranks", word="class2d", nr_mpi="3", nr_threads="2")
    assert finished(workshop, name).status is Status.SUCCEEDED
    told = [workshop.text(name, f"rank{rank}.txt").split() for rank in range(3)]
    meeting = told[0][5]
    assert told == [["3", "2", str(rank), "3", str(rank), meeting, "2"] for rank in range(3)]
    assert meeting.startswith(str(workshop.dir(name)))
    found = record.read_process(workshop.dir(name))
    assert (found.ranks, found.threads) == (3, 2)
    (warning,) = record.read_results(workshop.dir(name))["warnings"]
    assert warning["count"] == 3
    assert sorted(warning["units"]) == ["rank 0", "rank 1", "rank 2"]
    assert list(workshop.dir(name).glob(".*rank*")) == []


def test_a_lost_rank_ends_the_job_and_is_named(workshop):
    name = workshop.job("one_rank_dies", word="class2d", nr_mpi="2")
    state = finished(workshop, name)
    assert state.status is Status.FAILED
    assert state.reason.startswith("rank 1: killed by signal 9")


@pytest.fixture
def mpirun(monkeypatch):
    if shutil.which("mpirun") is None:
        pytest.skip("needs mpirun (apt-get install openmpi-bin)")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OMPI_MCA_rmaps_base_oversubscribe", "1")
    return ["mpirun", "-n", "2", sys.executable, "-m", "vitreous", "exec"]


def test_ranks_that_mpirun_started_are_one_job(workshop, mpirun):
    name = workshop.job("ranks", word="class2d", nr_mpi="2")
    done = subprocess.run([*mpirun, name], cwd=workshop.root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [workshop.text(name, f"rank{rank}.txt").split() for rank in range(2)]
    assert [one[:5] for one in told] == [["2", "1", "0", "2", "0"], ["2", "1", "1", "2", "1"]]
    assert told[0][5] == told[1][5]
    found = record.read_process(workshop.dir(name))
    assert (found.state, found.ranks) == ("succeeded", 2)


def test_a_failure_of_another_rank_under_mpirun_is_told(workshop, mpirun):
    name = workshop.job("one_rank_fails", word="class2d", nr_mpi="2")
    done = subprocess.run([*mpirun, name], cwd=workshop.root, capture_output=True, text=True)
    assert done.returncode != 0
    until(lambda: record.read_process(workshop.dir(name)).is_over)
    state = job_state(workshop.root, workshop.process(name))
    assert state.status is Status.FAILED
    found = record.read_process(workshop.dir(name))
    assert found.exit_reason == "rank 1: this half has no particles"


@pytest.fixture
def small_disk(tmp_path):
    requirements.need("root")
    folder = tmp_path / "project"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options]).returncode != 0:
        pytest.skip("needs leave to mount a tmpfs")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_fails_the_job_and_nothing_hangs(small_disk, workshop):
    name = workshop.job("fills_the_disk")
    state = finished(workshop, name)
    assert state.status is Status.FAILED
    assert (workshop.dir(name) / "RELION_JOB_EXIT_FAILURE").exists()
    (workshop.dir(name) / "big.mrcs").unlink()
    assert record.read_process(workshop.dir(name)).pid > 0  # whole, old or new


def test_a_job_that_cannot_be_written_is_not_started(small_disk, workshop):
    name = workshop.job("counts")
    with pytest.raises(OSError, match="No space left"):
        (workshop.root / "full").write_bytes(bytes(2_000_000))
    with pytest.raises(ProjectError, match=r"cannot be written .*No space left on device"):
        launch.start(workshop.root, name)
    assert record.read_process(workshop.dir(name)) is None


def test_a_start_clears_what_the_last_run_left(workshop):
    name = workshop.job("counts")
    for marker in ("EXIT_FAILURE", "EXIT_ABORTED", "ABORT_NOW"):
        (workshop.dir(name) / f"RELION_JOB_{marker}").touch()
    assert finished(workshop, name).status is Status.SUCCEEDED
    left = sorted(path.name for path in workshop.dir(name).glob("RELION_JOB_*"))
    assert left == ["RELION_JOB_EXIT_SUCCESS"]


def test_a_second_run_is_appended(workshop):
    name = workshop.job("counts")
    finished(workshop, name)
    lines = []
    finished(workshop, name, echo=lines.append)
    assert workshop.text(name, "run.out").count("Counting sheep: 10 sheep") == 2
    assert lines.count("Counting sheep: 10 sheep") == 1
    assert workshop.text(name, "note.txt").count("Executing new job") == 2


@pytest.fixture
def interruptible():
    """A shell starts what it runs behind its back with Ctrl-C ignored: the tests, for example."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_the_foreground_stops_the_job(workshop, interruptible):
    name = workshop.job("works_for_long")
    lines = []

    def echo(line):
        lines.append(line)
        if line.startswith("Waiting"):
            os.kill(os.getpid(), signal.SIGINT)

    assert finished(workshop, name, echo=echo).status is Status.ABORTED
    assert f"Stopping {name}" in lines


def until(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_the_first_rank_waits_for_the_others(tmp_path):
    other_ranks.is_here(tmp_path, "m", 1)
    looks = []
    Timer(0.4, other_ranks.has_ended, (tmp_path, "m", 1, "")).start()
    assert other_ranks.wait_for(tmp_path, "m", 2, lambda: looks.append(1)) == ""
    assert len(looks) >= 2
    assert list(tmp_path.iterdir()) == []


def test_the_reason_of_a_later_rank_counts_though_the_first_is_done(tmp_path):
    other_ranks.has_ended(tmp_path, "m", 1, "")
    other_ranks.has_ended(tmp_path, "m", 2, "out of particles")
    reason = other_ranks.wait_for(tmp_path, "m", 3, lambda: None)
    assert reason == "rank 2: out of particles"


def test_a_rank_that_gives_no_sign_is_taken_as_lost(tmp_path):
    reason = other_ranks.wait_for(tmp_path, "m", 2, lambda: None, silent_s=0.2)
    assert reason.startswith("rank 1 gave no sign")
