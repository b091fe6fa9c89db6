"""Watch over the processes of a job: heartbeat, requests to stop, and how each one ends.

Each rank is forked from one process, the supervisor, which computes nothing. So a rank
that is killed, that runs out of memory or that hangs in native code is still seen, stopped and
reported. Everybody below the supervisor dies with it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from vitreous.project import markers
from vitreous.running import process_table
from vitreous.running.record import HEARTBEAT_S

Outcome: TypeAlias = Literal["done", "failed", "aborted", ""]
Report: TypeAlias = Callable[[Outcome, str], None]
Main: TypeAlias = Callable[[Report], int]

LOOK_EVERY_S: Final = 0.2
AFTER_TERM_S: Final = 2.0
_STOPS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


@dataclass
class Ending:
    """How one rank ended.

    Parameters
    ----------
    rank, pid
        Which one it was.
    outcome, reason
        What it said itself; both are empty where it could say nothing.
    code
        Its exit code; minus the signal that killed it; None while it lives.
    place
        How many ended before it.
    peak_memory_MiB
        Most memory that it held.
    processor_s
        Processor time that it and its children took.
    """

    rank: int
    pid: int
    outcome: Outcome = ""
    reason: str = ""
    code: int | None = None
    place: int = 0
    peak_memory_MiB: float = 0.0
    processor_s: float = 0.0


@dataclass
class Watch:
    """The ranks of a job while they run.

    Parameters
    ----------
    job_dir
        The job folder.
    grace_s
        How long a rank has to stop by itself before it is told again, and then killed.
    on_beat
        Called every 30 s.
    """

    job_dir: Path
    grace_s: float
    on_beat: Callable[[], None]
    stopped_by: str = ""
    endings: list[Ending] = field(default_factory=list)
    memory_kills: int = field(default_factory=process_table.kills_for_memory)
    _strangers: set[int] = field(default_factory=set)
    _pipes: dict[int, int] = field(default_factory=dict)
    _ask_at: float | None = None
    _term_sent: bool = False
    _next_beat: float = field(default_factory=lambda: time.monotonic() + HEARTBEAT_S)

    def run(
        self, mains: Sequence[Main], prepare: Callable[[], None] = lambda: None
    ) -> list[Ending]:
        """Fork one process for each function and return how they ended, in the same order.

        Before, call `prepare`; a signal that comes meanwhile is not lost.
        """
        self._strangers = set(process_table.descendants(os.getpid()))
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        hangup_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        stops = [one for one in _STOPS if not (hangup_ignored and one is signal.SIGHUP)]
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [*stops, signal.SIGCHLD])
        try:
            prepare()
            for rank, main in enumerate(mains):
                self._fork(rank, main, before)
            while self._is_unfinished():
                self._look(signal.sigtimedwait([*stops, signal.SIGCHLD], LOOK_EVERY_S))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            _prctl(_PR_SET_CHILD_SUBREAPER, 0)
        return self.endings

    def _is_unfinished(self) -> bool:
        if any(one.code is None for one in self.endings):
            return True
        return bool(self.stopped_by and self._others())  # whom a stopped program left behind

    def _fork(self, rank: int, main: Main, mask: set[int]) -> None:
        reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        with warnings.catch_warnings():
            # Threads of the linear algebra library count here; it stops them itself before a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(reader)
                _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                code = main(_report_to(writer))
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        os.close(writer)
        self._pipes[pid] = reader
        self.endings.append(Ending(rank, pid))

    def _look(self, got: signal.struct_siginfo | None) -> None:
        if got is not None and got.si_signo in _STOPS and not self.stopped_by:
            self.stopped_by = signal.Signals(got.si_signo).name
            markers.request_abort(self.job_dir)
        for ending in self.endings:
            if ending.code is None:
                self._collect(ending)
        if not self.stopped_by and markers.abort_requested(self.job_dir):
            self.stopped_by = "request"
        if self.stopped_by or self._one_failed():
            self._insist()
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + HEARTBEAT_S
            self.on_beat()

    def _collect(self, ending: Ending) -> None:
        pid, status, usage = os.wait4(ending.pid, os.WNOHANG)
        if pid == 0:
            return
        ending.place = sum(one.code is not None for one in self.endings)
        ending.code = os.waitstatus_to_exitcode(status)
        ending.peak_memory_MiB = _peak_MiB(usage)
        ending.processor_s = usage.ru_utime + usage.ru_stime
        said = _read_now(self._pipes.pop(pid))
        if said:
            ending.outcome, ending.reason = json.loads(said)

    def _one_failed(self) -> bool:
        over = [one for one in self.endings if one.code is not None]
        return len(over) < len(self.endings) and any(one.outcome != "done" for one in over)

    def _insist(self) -> None:
        """Tell those who do not stop by themselves, and kill those who do not listen."""
        clock = time.monotonic()
        if self._ask_at is None:
            self._ask_at = clock
        waited = clock - self._ask_at
        if waited >= self.grace_s and not self._term_sent:
            self._term_sent = True
            process_table.send(self._others(), signal.SIGTERM)
        elif waited >= self.grace_s + AFTER_TERM_S:
            process_table.send(self._others(), signal.SIGKILL)

    def _others(self) -> list[int]:
        """Return everybody below the supervisor, those in groups of their own too."""
        below = process_table.descendants(os.getpid())
        return [pid for pid in below if pid not in self._strangers]


def _report_to(writer: int) -> Report:
    def report(outcome: Outcome, reason: str) -> None:
        os.write(writer, json.dumps([outcome, reason[:4000]]).encode())

    return report


def _read_now(reader: int) -> bytes:
    """Read what is there; a helper that the rank left behind may hold the other end open."""
    os.set_blocking(reader, False)
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""
    finally:
        os.close(reader)


def _prctl(option: int, value: int) -> None:
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux only
    if prctl is not None:
        prctl(option, value, 0, 0, 0)


def _peak_MiB(usage: resource.struct_rusage) -> float:
    return round(usage.ru_maxrss / 1024, 1)
