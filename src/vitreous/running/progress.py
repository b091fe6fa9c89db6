"""How far a job is, for people: a mouse on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO

TERMINAL_EVERY_S: Final = 0.2
LOG_EVERY_S: Final = 5.0
FILE_EVERY_S: Final = 1.0
_MOUSE: Final = '~~(,_,">'
_CHEESE: Final = "[oo]"
_MARK: Final = "  ... "


@dataclass(frozen=True)
class Report:
    """How far one phase is at one moment.

    Parameters
    ----------
    phase, unit
        What is done, what is counted.
    done, total
        How many units; `total` is 0 where nobody knows.
    seconds
        Since the phase began.
    """

    phase: str
    unit: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> float:
        """Units per second so far; 0 before the first."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at this rate; None where nobody knows."""
        if not self.total or self.rate <= 0:
            return None
        return max(self.total - self.done, 0) / self.rate

    def as_dict(self) -> dict[str, object]:
        """Return what ``progress.jsonl`` keeps."""
        return {
            "phase": self.phase,
            "done": self.done,
            "total": self.total,
            "unit": self.unit,
            "rate": self.rate,
            "left_s": self.left_s,
        }


class Meter:
    """Counts the units of one phase and reports now and then.

    Parameters
    ----------
    phase, total, unit
        See `vitreous.jobs.context.Run.phase`.
    on_report
        Takes a report, at most every `every_s` seconds.
    clock
        Seconds from some fixed moment.
    """

    def __init__(
        self,
        phase: str,
        total: int,
        unit: str,
        on_report: Callable[[Report], None],
        *,
        every_s: float = TERMINAL_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.done = 0
        self.flop = 0.0
        self.n_bytes = 0.0
        self._phase, self._total, self._unit = phase, total, unit
        self._on_report, self._every_s, self._clock = on_report, every_s, clock
        self._began = self._next = clock()

    def advance(self, n: int = 1) -> None:
        """Tell that `n` more units are done."""
        self.done += n
        if self._clock() >= self._next:
            self._on_report(self.report())
            self._next = self._clock() + self._every_s

    def work(self, flop: float = 0.0, n_bytes: float = 0.0) -> None:
        """Count arithmetic done and bytes read or written."""
        self.flop += flop
        self.n_bytes += n_bytes

    def report(self) -> Report:
        """Return how far it is now."""
        seconds = self._clock() - self._began
        return Report(self._phase, self._unit, self.done, self._total, seconds)

    def timing(self) -> dict[str, object]:
        """Return what ``results.json`` keeps of the phase."""
        report = self.report()
        seconds = max(report.seconds, 1e-9)
        return {
            "phase": self._phase,
            "seconds": round(report.seconds, 3),
            "items": self.done,
            "unit": self._unit,
            "items_per_s": report.rate,
            "gflop_per_s": self.flop / seconds / 1e9,
            "bytes_per_s": self.n_bytes / seconds,
        }


class Console:
    """Where a job says how it goes.

    Parameters
    ----------
    stream
        Standard output.
    is_terminal
        Whether somebody looks at it; a file gets plain lines.
    """

    def __init__(self, stream: TextIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal
        self._next_line = 0.0
        self._has_bar = False

    def say(self, text: str) -> None:
        """Write a line."""
        if self._has_bar:
            self._stream.write("\r\x1b[K")
            self._has_bar = False
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def begin(self, report: Report) -> None:
        """Tell that a phase begins."""
        amount = f": {report.total} {report.unit}" if report.total else ""
        self.say(f"{report.phase}{amount}")
        self._next_line = LOG_EVERY_S

    def show(self, report: Report) -> None:
        """Show how far it is, on the same line of a terminal or now and then in a log."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns
            self._stream.write(f"\r\x1b[K{mouse(report, width - 1)}")
            self._stream.flush()
            self._has_bar = True
        elif report.seconds >= self._next_line:
            self._next_line = report.seconds + LOG_EVERY_S
            self.say(line(report))

    def end(self, report: Report) -> None:
        """Tell that a phase has ended, whether or not all of it was done."""
        if report.total and report.done < report.total:
            amount = f"{report.done} of {report.total} {report.unit}"
        else:
            amount = f"{report.done} {report.unit}"
        self.say(f"{_MARK}{amount} in {duration(report.seconds)}{_rate(report, ' (', ')')}")


def line(report: Report) -> str:
    """Return one line for a log: ``  ... 12 of 48 movies, 3.2 movies/s, 11 s left``."""
    share = f" of {report.total}" if report.total else ""
    left = "" if report.left_s is None else f", {duration(report.left_s)} left"
    return f"{_MARK}{report.done}{share} {report.unit}{_rate(report, ', ')}{left}"


def is_progress_line(text: str) -> bool:
    """Tell whether a line of ``run.out`` only says how far the job is."""
    return text.startswith(_MARK) and " in " not in text


def mouse(report: Report, width: int) -> str:
    """Return a line of at most `width` characters with a mouse on its way to the cheese."""
    left = "" if report.left_s is None else f"  {duration(report.left_s)} left"
    share = f"/{report.total}" if report.total else ""
    text = f" {report.done}{share}{_rate(report, '  ')}{left}"
    room = width - len(text) - len(_MOUSE) - len(_CHEESE)
    if room < 0:
        return text[:width]
    part = min(report.done / report.total, 1.0) if report.total else 0.0
    walked = round(part * room)
    return f"{'.' * walked}{_MOUSE}{' ' * (room - walked)}{_CHEESE}{text}"


def duration(seconds: float) -> str:
    """Return a time as people say it: ``0.4 s``, ``11 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _rate(report: Report, before: str, after: str = "") -> str:
    if report.rate <= 0 or report.seconds < 0.05:
        return ""
    for per, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if report.rate * seconds >= 1 or per == "h":
            return f"{before}{report.rate * seconds:.3g} {report.unit}/{per}{after}"
    return ""
