"""What schedulers say: Slurm, PBS and Torque, Grid Engine, LSF.

Each is a submit command's answer, a question, and a command that cancels. Nothing is run here
but the question; the answers' forms are those of the schedulers' manuals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True)
class QueueState:
    """What a scheduler says of a job.

    Parameters
    ----------
    is_known
        Whether the scheduler could be asked.
    waits
        Whether the job waits for its turn.
    is_over
        Whether it has ended, or the scheduler has forgotten it.
    was_cancelled
        Whether somebody took it away.
    said
        What is worth telling of its end, beginning with a comma or a colon.
    """

    is_known: bool = True
    waits: bool = False
    is_over: bool = False
    was_cancelled: bool = False
    said: str = ""


UNKNOWN: Final = QueueState(is_known=False)
WAITS: Final = QueueState(waits=True)
RUNS: Final = QueueState()
GONE: Final = QueueState(is_over=True)


@dataclass(frozen=True)
class Scheduler:
    """One kind of scheduler.

    Parameters
    ----------
    answer
        Finds the job's number in what its submit command prints.
    ask
        Command that shows one job; the number is added.
    read
        Turns exit code and output of that command into a state.
    cancel
        Command that removes a job; the number is added.
    """

    answer: re.Pattern[str]
    ask: tuple[str, ...]
    read: Callable[[int, str], QueueState]
    cancel: tuple[str, ...]


def _slurm(code: int, text: str) -> QueueState:
    if code != 0:
        return GONE if "Invalid job id" in text else UNKNOWN
    fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
    state = fields.get("JobState", "")
    if state in ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"):
        return WAITS
    if state in ("RUNNING", "COMPLETING", "STAGE_OUT", "RESIZING", "SIGNALING", "SUSPENDED"):
        return RUNS
    why = fields.get("Reason", "None")
    because = "" if why in ("None", "NonZeroExitCode") else f", {why}"
    said = f": {state} with exit code {fields.get('ExitCode', '?')}{because}"
    return QueueState(is_over=True, was_cancelled=state.startswith("CANCELLED"), said=said)


def _pbs(code: int, text: str) -> QueueState:
    if code != 0:
        return GONE if re.search(r"Unknown Job|has finished", text, re.IGNORECASE) else UNKNOWN
    found = re.search(r"job_state = (\w)", text)
    letter = found[1] if found else ""
    if letter in ("Q", "H", "W", "T", "S"):
        return WAITS
    if letter in ("R", "E", "B"):
        return RUNS
    status = re.search(r"[Ee]xit_status = (-?\d+)", text)
    return QueueState(is_over=True, said=f": exit code {status[1]}" if status else "")


def _grid_engine(code: int, text: str) -> QueueState:
    if code != 0 or "do not exist" in text:
        return GONE if "do not exist" in text else UNKNOWN
    # `qstat -j` shows how much a job has used only once it runs.
    return RUNS if re.search(r"^usage\s", text, re.MULTILINE) else WAITS


def _lsf(code: int, text: str) -> QueueState:
    if "is not found" in text:
        return GONE
    if code != 0:
        return UNKNOWN
    words = text.split()
    state = words[0] if words else ""
    if state in ("PEND", "PSUSP", "WAIT", "PROV"):
        return WAITS
    if state in ("RUN", "USUSP", "SSUSP"):
        return RUNS
    exit_code = words[1] if len(words) > 1 else "-"
    return QueueState(is_over=True, said="" if exit_code == "-" else f": exit code {exit_code}")


SCHEDULERS: Final[Mapping[str, Scheduler]] = MappingProxyType(
    {
        "slurm": Scheduler(
            re.compile(r"Submitted batch job (\d+)"),
            ("scontrol", "--oneliner", "show", "job"),
            _slurm,
            ("scancel",),
        ),
        "lsf": Scheduler(
            re.compile(r"Job <(\d+)> is submitted"),
            ("bjobs", "-noheader", "-o", "stat exit_code"),
            _lsf,
            ("bkill",),
        ),
        "gridengine": Scheduler(
            re.compile(r"Your job(?:-array)? (\d+)"), ("qstat", "-j"), _grid_engine, ("qdel",)
        ),
        "pbs": Scheduler(
            re.compile(r"^\s*(\d+(?:\[\])?(?:\.[\w.-]+)?)\s*$", re.MULTILINE),
            ("qstat", "-f"),
            _pbs,
            ("qdel",),
        ),
    }
)


def find_number(answer: str) -> tuple[str, str]:
    """Find which scheduler printed an answer and the number of the job in it.

    Returns
    -------
    tuple of str
        Name in `SCHEDULERS` and number; both empty where the answer says nothing known.
    """
    for name, scheduler in SCHEDULERS.items():
        found = scheduler.answer.search(answer)
        if found:
            return name, found[1]
    return "", ""
