"""How far a job is, as people and files get to know it."""

import io

import pytest

from vitreous.running.follow import report_of
from vitreous.running.progress import (
    Console,
    Meter,
    Report,
    duration,
    is_progress_line,
    line,
    mouse,
)


def report(done=12, total=48, seconds=4.0):
    return Report("Aligning movies", "movies", done, total, seconds)


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_rate_and_time_left():
    assert report().rate == 3.0
    assert report().left_s == 12.0
    assert report(total=0).left_s is None
    assert report(done=0).left_s is None


def test_a_line_for_a_log():
    assert line(report()) == "  ... 12 of 48 movies, 3 movies/s, 12 s left"
    assert line(report(total=0)) == "  ... 12 movies, 3 movies/s"
    assert line(report(done=0)) == "  ... 0 of 48 movies"


@pytest.mark.parametrize(
    ("seconds", "rate"), [(120.0, "6 movies/min"), (36000.0, "1.2 movies/h"), (6.0, "2 movies/s")]
)
def test_slow_rates_are_told_in_a_unit_that_can_be_read(seconds, rate):
    assert rate in line(report(seconds=seconds))


def test_the_mouse_walks_to_its_cheese():
    begin, middle, end = (mouse(report(done), 80) for done in (0, 24, 48))
    assert begin.startswith('~~(,_,">')
    assert begin.index("[oo]") == begin.index(" 0/48") - 4
    assert middle.startswith(".....")
    assert '~~(,_,">[oo]' in end
    assert middle.endswith("24/48  6 movies/s  4.0 s left")
    assert all(len(one) <= 80 for one in (begin, middle, end))


def test_a_narrow_terminal_gets_numbers_alone():
    assert len(mouse(report(), 20)) <= 20


def test_a_log_gets_a_line_every_few_seconds():
    stream = io.StringIO()
    console = Console(stream, is_terminal=False)
    console.begin(report(0, seconds=0.0))
    for tenth in range(1, 121):
        console.show(report(tenth // 10, seconds=tenth / 10))
    console.end(report(48, seconds=12.0))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Aligning movies: 48 movies"
    assert len(lines[1:-1]) == 2
    assert all(is_progress_line(one) for one in lines[1:-1])
    assert lines[-1] == "  ... 48 movies in 12 s (4 movies/s)"
    assert not is_progress_line(lines[-1])


def test_a_terminal_gets_one_line_that_other_lines_do_not_spoil():
    stream = io.StringIO()
    console = Console(stream, is_terminal=True)
    console.show(report())
    console.say("Warning: dark")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\r\x1b[KWarning: dark\n")


def test_an_unfinished_phase_tells_how_much_is_done():
    stream = io.StringIO()
    Console(stream, is_terminal=False).end(report())
    assert stream.getvalue() == "  ... 12 of 48 movies in 4.0 s (3 movies/s)\n"


def test_a_meter_reports_now_and_then_and_not_for_every_unit():
    clock, reports = Clock(), []
    meter = Meter("Counting", 100, "sheep", reports.append, every_s=1.0, clock=clock)
    for _ in range(100):
        clock.now += 0.1
        meter.advance()
    assert 9 <= len(reports) <= 11
    assert meter.report().done == 100
    meter.work(flop=2e9, n_bytes=5e6)
    timing = meter.timing()
    assert timing["items_per_s"] == pytest.approx(10.0)
    assert timing["gflop_per_s"] == pytest.approx(0.2)
    assert timing["bytes_per_s"] == pytest.approx(5e5)


def test_a_report_survives_the_file():
    assert report_of(report().as_dict()) == report()
    assert report_of(report(done=0, seconds=0.0).as_dict()) == report(done=0, seconds=0.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_times_are_told_as_people_say_them(seconds, text):
    assert duration(seconds) == text
