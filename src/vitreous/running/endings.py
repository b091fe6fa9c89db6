"""Why a job ended, in one sentence, from what its processes said and what became of them."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from vitreous.project import markers
from vitreous.project.pipeline import Status
from vitreous.running import process_table
from vitreous.running.record import State
from vitreous.running.supervise import Ending

_STATE_OF: Final[dict[Status, State]] = {
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.ABORTED: "aborted",
}
_HINTS: Final = {
    126: "the shell found the program and may not execute it; `chmod +x` allows it",
    127: "the shell did not find the program, or an interpreter that its first line names",
}


def judge(
    job_dir: Path, ended: Sequence[Ending], stopped_by: str, memory_kills: int
) -> tuple[State, str, int | None]:
    """Tell how a job ended.

    Parameters
    ----------
    job_dir
        The job folder. An exit marker that a program left there wins over its exit code.
    ended
        How each rank ended.
    stopped_by
        What asked the job to stop: ``request``, the name of a signal, or nothing.
    memory_kills
        How often the kernel had killed for memory before the job began.

    Returns
    -------
    tuple
        State, reason (empty for a success), exit code of the rank that decided.
    """
    worst = _worst(ended)
    found = markers.read_marker(job_dir)
    if found is not None and worst.outcome != "failed":
        return _STATE_OF[found], _said(found, stopped_by), worst.code
    if worst.outcome == "done":
        return "succeeded", "", worst.code
    if worst.outcome == "failed":
        return "failed", _of_rank(worst, ended, worst.reason), worst.code
    if stopped_by or worst.outcome == "aborted":
        return "aborted", _why_stopped(stopped_by), worst.code
    return "failed", _of_rank(worst, ended, explain(worst.code or 0, memory_kills)), worst.code


def explain(code: int, memory_kills: int) -> str:
    """Say what an exit code, or minus the signal that killed, means for a job without a marker.

    Parameters
    ----------
    code
        As `Ending.code`.
    memory_kills
        How often the kernel had killed for memory before.
    """
    if code < 0:
        name = _signal_name(-code)
        if -code != signal.SIGKILL:
            return f"killed by signal {-code} ({name})"
        if process_table.kills_for_memory() > memory_kills:
            return (
                f"killed by the kernel because memory ran out (signal 9, {name}); use fewer"
                " threads or ranks, or a machine with more memory"
            )
        return f"killed by signal 9 ({name}): somebody killed it, or a limit of the system"
    if code > 128 and code - 128 in set(signal.Signals):
        return f"its program was killed by signal {code - 128} ({_signal_name(code - 128)})"
    if code == 0:
        return (
            "its program ended, but did not say that it is done: a program of your own makes the"
            f" empty file {markers.SUCCESS} in the folder of its job"
        )
    hint = _HINTS.get(code, "what it said last stands in its log")
    return f"its program ended with an error (exit code {code}); {hint}"


def _worst(ended: Sequence[Ending]) -> Ending:
    """Return the rank that decides: the first that did not get to its end, if there is one."""
    return min(ended, key=lambda one: (one.outcome == "done", one.place))


def _of_rank(worst: Ending, ended: Sequence[Ending], reason: str) -> str:
    return reason if len(ended) == 1 else f"rank {worst.rank}: {reason}"


def _why_stopped(stopped_by: str) -> str:
    if stopped_by in ("", "request"):
        return "stopped on request"
    if stopped_by == "SIGINT":
        return "stopped with Ctrl-C"
    return f"stopped by {stopped_by}, as a scheduler sends at a time limit or when it cancels"


def _said(found: Status, stopped_by: str) -> str:
    """Say what a marker means that the program left itself."""
    if found is Status.SUCCEEDED:
        return ""
    if found is Status.ABORTED:
        return _why_stopped(stopped_by)
    return f"its program says so itself, with {markers.FAILURE}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
