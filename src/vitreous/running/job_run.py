"""What a program is given: the `vitreous.jobs.context.Run` of a real job."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, TextIO

from vitreous.io import Table, read_star, write_star
from vitreous.jobs.context import Aborted
from vitreous.project import markers, node_types
from vitreous.running import record
from vitreous.running.progress import (
    FILE_EVERY_S,
    TERMINAL_EVERY_S,
    Console,
    Meter,
    Report,
    duration,
)
from vitreous.running.ranks import Ranks
from vitreous.running.results import Results, is_printed, keep_rank_warning

OUTPUT_NODES: Final = "RELION_OUTPUT_NODES.star"
_LOOK_EVERY_S: Final = 0.2
_SHELL: Final = "/bin/sh"


@dataclass(frozen=True)
class Place:
    """Where and how a job runs.

    Parameters
    ----------
    project, folder
        The project folder; the job folder below it, with its slash.
    is_continue
        Whether it was started before.
    n_threads
        Threads for each rank.
    ranks
        Which of its processes this is.
    """

    project: Path
    folder: str
    is_continue: bool
    n_threads: int
    ranks: Ranks


class JobRun:
    """The job that a program runs; see `vitreous.jobs.context.Run`.

    Warnings may come from several threads at once.

    Parameters
    ----------
    place
        Where and how it runs.
    stream
        Standard output.
    on_hand_over
        Called before the program becomes a shell command.
    """

    def __init__(
        self,
        place: Place,
        stream: TextIO,
        on_hand_over: Callable[[], object] = lambda: None,
    ) -> None:
        self._place = place
        self._leads = place.ranks.rank == 0
        self._console = Console(stream, is_terminal=stream.isatty())
        self._on_hand_over = on_hand_over
        self._results = Results()
        self._lock = threading.RLock()  # a signal may come while it is held
        self._began = time.monotonic()
        self._next_look = 0.0
        self._next_file = 0.0
        self._is_asked = False

    @property
    def project(self) -> Path:
        """The project folder."""
        return self._place.project

    @property
    def folder(self) -> str:
        """The job folder below the project, with its slash."""
        return self._place.folder

    @property
    def path(self) -> Path:
        """The job folder itself."""
        return self._place.project / self._place.folder

    @property
    def is_continue(self) -> bool:
        """Whether the job was started before and goes on."""
        return self._place.is_continue

    @property
    def n_threads(self) -> int:
        """Threads that each rank may use."""
        return self._place.n_threads

    @property
    def rank(self) -> int:
        """Which of the processes this is."""
        return self._place.ranks.rank

    @property
    def n_ranks(self) -> int:
        """How many processes the job has."""
        return self._place.ranks.n_ranks

    @contextlib.contextmanager
    def phase(self, name: str, total: int, unit: str) -> Iterator[Meter]:
        """Begin a part of the work and report how far it is until the block ends."""
        self.check_abort()
        meter = Meter(name, total, unit, self._report, every_s=TERMINAL_EVERY_S)
        if self._leads:
            self._console.begin(meter.report())
            self._next_file = 0.0
        try:
            yield meter
        finally:
            if self._leads:
                self._results.timing(meter.timing())
                self._console.end(meter.report())
                record.append_progress(self.path, meter.report().as_dict())
                self._write()

    def check_abort(self) -> None:
        """Raise `Aborted` where the job was asked to stop."""
        clock = time.monotonic()
        if clock >= self._next_look and not self._is_asked:
            self._next_look = clock + _LOOK_EVERY_S
            self._is_asked = markers.abort_requested(self.path)
        if self._is_asked:
            raise Aborted

    def warn(self, what: str, unit: str = "") -> None:
        """Tell of something that does not stop the job."""
        with self._lock:
            count = self._results.warning(what, unit)
            if not self._leads:
                keep_rank_warning(self.path, self.rank, what, unit)
            if is_printed(count):
                self._console.say(f"Warning: {unit}: {what}" if unit else f"Warning: {what}")

    def headline(self, name: str, value: float | str, unit: str = "", label: str = "") -> None:
        """Hand in a number that the job is judged by."""
        if not self._leads:
            return
        self._results.headline(name, value, unit, label)
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        self._console.say(f"{label or name}: {text} {unit}".rstrip())
        self._write()

    def plot(self, name: str, kind: str, title: str, data: Mapping[str, object]) -> None:
        """Hand in the data of a plot."""
        if self._leads:
            data_file = record.write_plot(self.path, name, data)
            self._results.plot(name, kind, title, data.get("axes"), data_file)
            self._write()

    def add_output(self, path: str, node_type: str) -> None:
        """Register an output in the job's ``RELION_OUTPUT_NODES.star``."""
        if not self._leads:
            return
        star_path = self.path / OUTPUT_NODES
        nodes = _known_nodes(star_path) | {path: node_type}
        write_star(star_path, [_node_table(nodes)])

    def say(self, text: str) -> None:
        """Print a line to ``run.out``."""
        if self._leads:
            self._console.say(text)

    def hand_over(self, command: str) -> NoReturn:
        """Become a shell command."""
        self._on_hand_over()
        # A program that lies in the project folder is found by its name, as it is typed in the
        # form, but after everything that the user's own path finds.
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(self.project)))
        os.execve(_SHELL, [_SHELL, "-c", command], {**os.environ, "PATH": path})

    def finish(self, how: str) -> None:
        """Write what is known, after the end or what became of it, and tell how it went."""
        if not self._leads:
            return
        for text in self._results.warning_lines():
            self._console.say(text)
        self._write()
        self._console.say(f"{how} after {duration(time.monotonic() - self._began)}")

    def listen(self) -> None:
        """Take signals: Ctrl-C stops at the next check, SIGTERM at once; warnings are printed."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, _on_terminate)
        warnings.showwarning = self._on_warning

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._is_asked = True

    def _on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        del file, line
        self._console.say(f"{Path(filename).name}:{lineno}: {category.__name__}: {message}")

    def _report(self, report: Report) -> None:
        if not self._leads:
            return
        self._console.show(report)
        if report.seconds >= self._next_file:
            self._next_file = report.seconds + FILE_EVERY_S
            record.append_progress(self.path, report.as_dict())

    def _write(self) -> None:
        with self._lock:
            record.write_results(self.path, self._results.as_dict())


def _on_terminate(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise Aborted


def _known_nodes(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    table = read_star(path).first
    labels = table.get("rlnPipeLineNodeTypeLabel")
    if labels is None:
        numbers = table["rlnPipeLineNodeType"]
        labels = [node_types.from_number(int(number)) for number in numbers]
    return dict(zip(map(str, table["rlnPipeLineNodeName"]), map(str, labels), strict=True))


def _node_table(nodes: Mapping[str, str]) -> Table:
    # RELION 3.1 reads the number and RELION 5 the label, each only its own.
    numbers = [node_types.to_number(node_type) for node_type in nodes.values()]
    columns: dict[str, list[object]] = {"rlnPipeLineNodeName": list(nodes)}
    if node_types.NO_NUMBER not in numbers:
        columns["rlnPipeLineNodeType"] = list(numbers)
    columns["rlnPipeLineNodeTypeLabel"] = list(nodes.values())
    return Table.from_columns("output_nodes", columns)
