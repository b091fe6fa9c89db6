"""Which processes there are on this machine: who is alive, who belongs to a job, what killed it.

Read from ``/proc``. A process is known by its number and its start time, because numbers are
used again; a machine that was started again is known by its boot id.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_DEAD = "ZXx"
_FIRST_NAMESPACE = "pid:[4026531836]"


@dataclass(frozen=True)
class Entry:
    """One line of the process table.

    Parameters
    ----------
    pid, parent, group, session
        Its number and those that it belongs to.
    start_ticks
        When it began, in clock ticks since the machine was started.
    state
        The kernel's letter: ``R`` runs, ``S`` sleeps, ``Z`` is dead and not yet collected.
    """

    pid: int
    parent: int
    group: int
    session: int
    start_ticks: int
    state: str

    @property
    def is_alive(self) -> bool:
        """Whether it still does something."""
        return self.state not in _DEAD


def entry(pid: int) -> Entry | None:
    """Look one process up; None where there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold blanks and brackets.
    words = text[text.rindex(")") + 2 :].split()
    return Entry(pid, int(words[1]), int(words[2]), int(words[3]), int(words[19]), words[0])


def everyone() -> dict[int, Entry]:
    """Return the whole process table by process number."""
    found = (entry(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
    return {one.pid: one for one in found if one is not None}


def is_alive(pid: int, start_ticks: int) -> bool:
    """Tell whether the process that began at `start_ticks` still lives under this number."""
    _collect(pid)
    one = entry(pid)
    return one is not None and one.is_alive and start_ticks in (0, one.start_ticks)


def family(pid: int) -> list[int]:
    """Return the living processes that belong to a job, its first process last.

    Parameters
    ----------
    pid
        Its first process. Descendants belong to the job, and so does everybody in the session
        and the process group that this process leads, also when it is itself dead. Whoever
        asks never does, nor does anybody above: a wrong number must not end the machine.
    """
    table = everyone()
    if pid <= 1 or pid in _above(os.getpid(), table):
        return []
    members = {pid, *_below(pid, table)}
    members |= {one.pid for one in table.values() if pid in (one.group, one.session)}
    living = [number for number in members if number in table and table[number].is_alive]
    return sorted(living, key=lambda number: (number == pid, number))


def descendants(pid: int) -> list[int]:
    """Return the living children of a process, their children, and so on."""
    table = everyone()
    return sorted(number for number in _below(pid, table) if table[number].is_alive)


def is_above_us(pid: int) -> bool:
    """Tell whether a process is this one, its parent, the parent's parent, and so on."""
    return pid in _above(os.getpid(), everyone())


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def boot_id() -> str:
    """Return what tells this start of the machine from every other; empty where unknown.

    In a container that numbers its processes anew, the container is told apart too.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""
    return boot if namespace == _FIRST_NAMESPACE else f"{boot} {namespace}"


def kills_for_memory() -> int:
    """Return how many processes the kernel has killed because memory ran out."""
    try:
        lines = (_PROC / "vmstat").read_text().splitlines()
    except OSError:
        return 0
    counts = (line.split() for line in lines if line.startswith("oom_kill "))
    return sum(int(words[1]) for words in counts)


def _collect(pid: int) -> None:
    """Let go of a dead child of our own, which would otherwise stay in the table."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _below(pid: int, table: Mapping[int, Entry]) -> set[int]:
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {one.pid for one in table.values() if one.parent in newest} - found
        found |= newest
    return found


def _above(pid: int, table: Mapping[int, Entry]) -> set[int]:
    """Return a process with its parent, the parent's parent, and so on."""
    found: set[int] = set()
    while pid in table and pid not in found:
        found.add(pid)
        pid = table[pid].parent
    return found
