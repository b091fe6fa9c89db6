"""The loop over micrographs: order, bad files, continuing, stopping, memory, ranks."""

import errno
import functools
import json
import threading
import time
from pathlib import Path

import pytest
import torch

from programs.fake_run import FakeRun
from vitreous.distributed.devices import CPU
from vitreous.errors import ComputeError, EnvironmentMissing, InputError
from vitreous.jobs.context import Aborted
from vitreous.programs import micrograph_list, micrograph_ranks
from vitreous.programs.micrograph_list import Settings, Work, output_stems, process


class Doubling(Work[str, int, int, int]):
    """Units are texts of numbers; each leaves a file with twice its number."""

    def __init__(self, run, bad=(), bad_step="load", seconds=0.0):
        self.run, self.bad, self.bad_step, self.seconds = run, set(bad), bad_step, seconds
        self.published, self.batches, self.in_flight = [], [], 0
        self.most_in_flight = 0
        self.lock = threading.Lock()

    def _fail(self, step, unit):
        if step == self.bad_step and unit in self.bad:
            raise InputError(f"{unit}: is damaged")

    def file(self, unit):
        return self.run.path / f"{unit}.txt"

    def name(self, unit):
        return unit

    def restore(self, unit):
        return int(self.file(unit).read_text()) if self.file(unit).exists() else None

    def load(self, unit):
        self._fail("load", unit)
        with self.lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return int(unit)

    def compute(self, units, loaded, device):
        assert device == CPU
        self.batches.append(len(units))
        time.sleep(self.seconds)
        for unit in units:
            self._fail("compute", unit)
        return [2 * number for number in loaded]

    def save(self, unit, computed):
        self._fail("save", unit)
        self.file(unit).write_text(str(computed))
        with self.lock:
            self.in_flight -= 1
        return computed

    def publish(self, results):
        self.published.append(list(results))

    def cost(self, computed):
        return 0.0, 8.0


def settings(**values):
    return Settings(phase="Doubling", noun="numbers", unit_bytes=1 << 20, **values)


@pytest.fixture
def run(tmp_path):
    return FakeRun(tmp_path, "Double/job001/")


UNITS = [str(number) for number in range(20)]
DOUBLES = [2 * number for number in range(20)]


@pytest.mark.parametrize(
    "values",
    [{}, {"batch": 4}, {"devices": (CPU, CPU), "n_readers": 3, "n_writers": 2, "batch": 2}],
)
def test_results_come_in_the_order_of_the_list(run, values):
    work = Doubling(run)
    outcome = process(run, UNITS, work, settings(**values))
    assert outcome.results == DOUBLES
    assert work.published[-1] == DOUBLES
    assert run.advanced == 20
    assert run.n_bytes == 160
    assert not run.warnings


def test_no_more_units_are_in_flight_than_the_formula_says(run, monkeypatch):
    free = int(4.5 * (1 << 20) / micrograph_list._MEMORY_SHARE)
    monkeypatch.setattr(micrograph_list, "available_bytes", lambda: free)
    work = Doubling(run, seconds=0.01)
    process(run, UNITS, work, settings(n_readers=4, n_writers=4))
    assert 1 <= work.most_in_flight <= 4
    assert any("at most 4 numbers at once" in line for line in run.lines)


def test_what_does_not_fit_into_memory_is_refused_before_anything_is_read(run, monkeypatch):
    monkeypatch.setattr(micrograph_list, "available_bytes", lambda: 1 << 20)
    with pytest.raises(EnvironmentMissing, match="Use fewer ranks"):
        process(run, UNITS, Doubling(run), settings())
    assert not list(run.path.glob("*.txt"))


@pytest.mark.parametrize("step", ["load", "compute", "save"])
def test_a_bad_unit_is_named_counted_and_left_out(run, step):
    work = Doubling(run, bad=["3", "7"], bad_step=step)
    outcome = process(run, UNITS, work, settings(batch=5))
    good = [2 * number for number in range(20) if number not in (3, 7)]
    assert outcome.done == good
    assert work.published[-1] == good
    assert outcome.failed == {"3": "3: is damaged", "7": "7: is damaged"}
    assert sorted(unit for _, unit in run.warnings) == ["3: is damaged", "7: is damaged"]
    assert "2 of 20 numbers could not be used:" in run.lines
    again = process(run, UNITS, Doubling(run), settings())
    assert again.results == DOUBLES  # what failed is tried again
    assert again.n_before == 18


def test_the_job_fails_where_nothing_is_left(run):
    with pytest.raises(ComputeError, match=r"None of the 2 numbers could be used.*1: is damaged"):
        process(run, ["1", "2"], Doubling(run, bad=["1", "2"]), settings())


def test_a_full_disk_ends_the_job(run):
    class Full(Doubling):
        def save(self, unit, computed):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        process(run, UNITS, Full(run), settings())


def test_a_programming_error_ends_the_job(run):
    class Wrong(Doubling):
        def compute(self, units, loaded, device):
            raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        process(run, UNITS, Wrong(run), settings(batch=3))


def test_memory_of_a_card_that_runs_out_is_met_with_smaller_batches(run):
    class Small(Doubling):
        def compute(self, units, loaded, device):
            if len(units) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().compute(units, loaded, device)

    assert process(run, UNITS, Small(run), settings(batch=4)).results == DOUBLES


def test_memory_of_a_card_that_is_too_small_for_one_unit_is_told(run):
    class Tiny(Doubling):
        def compute(self, units, loaded, device):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(EnvironmentMissing, match="use_gpu=No"):
        process(run, UNITS, Tiny(run), settings(batch=4))


def test_a_run_does_at_most_so_many_and_the_next_goes_on(run):
    first = process(run, UNITS, Doubling(run), settings(do_at_most=6))
    assert first.done == DOUBLES[:6]
    assert first.n_left == 14
    work = Doubling(run)
    second = process(run, UNITS, work, settings())
    assert second.n_before == 6
    assert sum(work.batches) == 14
    assert second.results == DOUBLES


def test_a_file_that_cannot_be_read_back_is_made_again(run):
    (run.path / "4.txt").write_text("half a num")
    outcome = process(run, UNITS, Doubling(run), settings())
    assert outcome.n_before == 0
    assert outcome.results == DOUBLES


def test_half_written_files_of_a_killed_run_are_removed(run):
    (run.path / "Movies").mkdir()
    left = run.path / "Movies/.4.txt.123-456.tmp"
    left.write_text("half")
    run.is_continue = True
    process(run, UNITS, Doubling(run), settings())
    assert not left.exists()


def test_stopping_takes_less_than_a_second_and_keeps_what_is_finished(run):
    run.abort_after = 1
    began = time.monotonic()
    with pytest.raises(Aborted):
        process(run, UNITS, Doubling(run, seconds=0.2), settings())
    assert time.monotonic() - began < 1.2
    run.abort_after = None
    outcome = process(run, UNITS, Doubling(run), settings())
    assert outcome.n_before >= 1
    assert outcome.results == DOUBLES


def test_the_joint_list_grows_while_the_job_runs(run, monkeypatch):
    monkeypatch.setattr(micrograph_list, "_PUBLISH_EVERY_S", 0.05)
    work = Doubling(run, seconds=0.03)
    process(run, UNITS, work, settings())
    assert len(work.published) > 2
    for part in work.published:
        assert part == [double for double in DOUBLES if double in part]


def test_several_ranks_share_a_list_and_the_first_knows_everything(run):
    outcomes = {}

    def other(rank):
        mine = FakeRun(run.project, run.folder, rank=rank, n_ranks=3)
        work = Doubling(mine, bad=["4"])
        outcomes[rank] = process(mine, UNITS, work, settings()), work, mine

    threads = [threading.Thread(target=other, args=(rank,)) for rank in (1, 2)]
    for thread in threads:
        thread.start()
    run.n_ranks = 3
    work = Doubling(run, bad=["4"])
    outcome = process(run, UNITS, work, settings(do_at_most=18))
    for thread in threads:
        thread.join()
    assert outcome.results == [None if i in (4, 18, 19) else 2 * i for i in range(20)]
    assert outcome.failed == {"4": "4: is damaged"}
    assert [sum(part[1].batches) for part in outcomes.values()] in ([5, 6], [6, 5])
    assert not any(part[0].leads or part[1].published for part in outcomes.values())
    assert run.advanced == 18
    assert not list(run.path.glob(".units_*"))


def test_a_silent_rank_fails_the_job(run, monkeypatch):
    ranks = functools.partial(micrograph_ranks.Ranks, silent_s=0.3)
    monkeypatch.setattr(micrograph_list, "Ranks", ranks)
    run.n_ranks = 2
    with pytest.raises(ComputeError, match="rank 1 of 2 gave no sign"):
        process(run, UNITS, Doubling(run), settings())
    assert run.advanced == 10  # its own share is kept


def test_a_rank_that_left_an_exit_marker_fails_the_job_at_once(run):
    run.n_ranks = 2
    (run.path / "RELION_JOB_EXIT_FAILURE").touch()
    with pytest.raises(ComputeError, match="ended"):
        process(run, UNITS, Doubling(run), settings())


def test_half_a_line_of_another_rank_waits_for_its_rest(tmp_path):
    first = micrograph_ranks.Ranks(tmp_path, 0, 2, environ={})
    first.deal([1, 2])
    other = micrograph_ranks.Ranks(tmp_path, 1, 2, environ={})
    assert other.dealt(lambda: None) == [1, 2]
    path = tmp_path / ".units_alone/rank1.jsonl"
    line = json.dumps([2, ""]) + "\n"
    path.write_text(line[:3])
    assert list(first.told()) == []
    path.write_text(line)
    assert list(first.told()) == [(2, "")]
    other.tell(1, "broken")
    assert list(first.told()) == [(1, "broken")]


def test_outputs_mirror_the_path_below_the_job():
    names = ["MotionCorr/job002/Movies/a.mrc", "Import/x/b.c.mrc", "Raw/../c.mrc", "/data/d.mrc"]
    assert output_stems("Extract/job004/", names) == [
        "Extract/job004/Movies/a",
        "Extract/job004/Import/x/b.c",
        "Extract/job004/Raw/c",
        "Extract/job004/data/d",
    ]


def test_outputs_of_two_jobs_or_two_formats_do_not_meet():
    names = ["MotionCorr/job002/M/a.mrc", "MotionCorr/job003/M/a.mrc", "MotionCorr/job003/M/a.tif"]
    stems = output_stems("Extract/job004/", [*names, "M/b.tif", "M/b.mrc"])
    assert stems[0] == "Extract/job004/job002/M/a"
    assert stems[1] == "Extract/job004/job003/M/a_mrc"
    assert len(set(stems)) == 5
    assert all(Path(stem).parts[:2] == ("Extract", "job004") for stem in stems)
