"""Files of the job-folder contract: whole or not there, readable while they are written."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from vitreous.errors import FormatError
from vitreous.running import execute, record, supervise


def test_a_record_comes_back_as_it_was(tmp_path):
    one = record.ProcessRecord(state="queued", command=("a b", "c"), queue_id="7", exit_code=-9)
    record.write_process(tmp_path, one)
    assert record.read_process(tmp_path) == one


def test_fields_of_a_later_version_are_passed_over(tmp_path):
    (tmp_path / "process.json").write_text('{"state": "running", "mood": "good"}')
    assert record.read_process(tmp_path) == record.ProcessRecord(state="running")


def test_no_record_is_none(tmp_path):
    assert record.read_process(tmp_path) is None


def test_updates_of_many_threads_all_arrive(tmp_path):
    def add(_):
        for _ in range(5):
            with record.locked(tmp_path):
                found = record.read_process(tmp_path) or record.ProcessRecord()
                record.write_process(tmp_path, found.with_(ranks=found.ranks + 1))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert record.read_process(tmp_path).ranks == 21


def test_progress_is_read_line_by_line_and_half_lines_wait(tmp_path):
    record.append_progress(tmp_path, {"phase": "a", "done": 1})
    lines, offset = record.read_progress(tmp_path)
    assert [line["done"] for line in lines] == [1]
    path = tmp_path / "progress.jsonl"
    path.write_bytes(path.read_bytes() + b'{"phase": "a", "do')
    assert record.read_progress(tmp_path, offset) == ([], offset)
    path.write_bytes(path.read_bytes() + b'ne": 2}\n')
    lines, _ = record.read_progress(tmp_path, offset)
    assert lines == [{"phase": "a", "done": 2}]


def test_no_progress_yet_is_no_line(tmp_path):
    assert record.read_progress(tmp_path) == ([], 0)


def test_arrays_paths_and_numbers_that_are_none_become_json(tmp_path):
    data = {"y": np.array([1.0, np.nan]), "n": np.int64(3), "at": Path("a/b"), "z": (1, None)}
    record.write_plot(tmp_path, "wool", data)
    assert record.read_plot(tmp_path, "wool") == {
        "y": [1.0, None],
        "n": 3,
        "at": "a/b",
        "z": [1, None],
    }


def test_results_that_are_no_json_say_so(tmp_path):
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(FormatError, match=r"results\.json: holds a list, wanted named values"):
        record.read_results(tmp_path)


def test_times_have_an_age():
    assert 0 <= record.age_s(record.now()) < 5
    assert record.age_s("") == float("inf")


def test_the_heart_beats_while_a_program_computes(workshop, monkeypatch):
    beats = []
    monkeypatch.setattr(supervise, "HEARTBEAT_S", 0.1)
    watch = supervise.Watch(workshop.root, 2.0, on_beat=lambda: beats.append(record.now()))
    watch._next_beat = 0.0

    def main(report):
        end = record.now()
        while record.age_s(end) < 1.0:
            sum(range(1000))
        report("done", "")
        return 0

    (ending,) = watch.run([main])
    assert (ending.outcome, ending.code) == ("done", 0)
    assert len(beats) >= 3


def test_a_beat_renews_the_heartbeat_and_nothing_else(tmp_path):
    before = record.ProcessRecord(state="running", pid=7, heartbeat="2026-01-01T00:00:00Z")
    record.write_process(tmp_path, before)
    execute._beat(tmp_path)
    after = record.read_process(tmp_path)
    assert record.age_s(after.heartbeat) < 5
    assert after.with_(heartbeat=before.heartbeat) == before


def test_children_that_were_there_before_are_not_of_the_job(workshop):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        watch = supervise.Watch(workshop.root, 0.1, on_beat=lambda: None)
        (workshop.root / "RELION_JOB_ABORT_NOW").touch()
        (ending,) = watch.run([lambda _: time.sleep(60)])
        assert ending.code == -signal.SIGTERM
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_what_ranks_share_is_made_once_and_a_signal_meanwhile_is_not_lost(workshop):
    shared = []

    def prepare():
        shared.append(os.getpid())
        signal.raise_signal(signal.SIGTERM)  # of this thread: pytest may have others

    def main(report):
        report("done" if shared == [os.getppid()] else "failed", "")
        return 0

    watch = supervise.Watch(workshop.root, 5.0, on_beat=lambda: None)
    endings = watch.run([main, main], prepare)
    assert [ending.outcome for ending in endings] == ["done", "done"]
    assert watch.stopped_by == "SIGTERM"


def test_the_program_of_several_ranks_is_imported_once(workshop):
    name = workshop.job("", word="select")
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from vitreous.jobs import job_star\n"
        "from vitreous.running import execute\n"
        f"job = job_star.read_job({str(workshop.dir(name))!r})\n"
        "execute._import_for_all(job, Path('.'), 3)\n"
        "print(job.job_type.run.partition(':')[0] in sys.modules, os.environ['OMP_NUM_THREADS'])\n"
        "print('still here', file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=workshop.root
    )
    assert done.stdout.split() == ["True", "3"]
    assert done.stderr == "still here\n"
