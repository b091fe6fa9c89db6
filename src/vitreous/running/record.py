"""The job-folder contract: ``process.json``, ``progress.jsonl``, ``results.json``, ``plots/``.

These files are all that passes between a job and whoever looks at it. Each is whole or not
there; a line of ``progress.jsonl`` counts once it ends with a newline.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from vitreous.errors import FormatError
from vitreous.io.atomic import write_text
from vitreous.running import process_table

PROCESS: Final = "process.json"
PROGRESS: Final = "progress.jsonl"
RESULTS: Final = "results.json"
PLOTS: Final = "plots"
OUT: Final = "run.out"
ERR: Final = "run.err"
HEARTBEAT_S: Final = 30.0

State: TypeAlias = Literal[
    "starting", "queued", "running", "interactive", "succeeded", "failed", "aborted"
]


@dataclass(frozen=True, kw_only=True)
class ProcessRecord:
    """What ``process.json`` tells of the process of a job.

    Parameters
    ----------
    state
        Where the process is. ``starting`` and ``queued`` come before ``running``;
        ``interactive`` jobs are a person at work and have no process.
    host, boot_id, pid, start_ticks
        The first process: its machine, that machine's start, its number, and its start time in
        clock ticks since then. `pid` is 0 while there is no process.
    ranks, threads, devices
        Processes, threads of each, and the GPUs asked for.
    command
        The whole command, one text for each line.
    queue_system, queue_id, queue_name
        Scheduler, its number for the job, and the name of the queue; empty for local jobs.
    submitted, started, ended, heartbeat
        Times, ISO 8601 in UTC; empty while they have not come.
    exit_reason, exit_code
        Why it ended, in one sentence; its exit code, negative for a signal, None if unknown.
    peak_memory_MiB
        Most memory that one of its processes held.
    processor_s
        Processor time of all its processes on this machine, since it was started last.
    memory_kills
        How often the kernel had killed for memory when the job began.
    """

    state: State = "starting"
    host: str = ""
    boot_id: str = ""
    pid: int = 0
    start_ticks: int = 0
    ranks: int = 1
    threads: int = 1
    devices: str = ""
    command: tuple[str, ...] = ()
    queue_system: str = ""
    queue_id: str = ""
    queue_name: str = ""
    submitted: str = ""
    started: str = ""
    ended: str = ""
    heartbeat: str = ""
    exit_reason: str = ""
    exit_code: int | None = None
    peak_memory_MiB: float = 0.0
    processor_s: float = 0.0
    memory_kills: int = 0

    @property
    def is_over(self) -> bool:
        """Whether it said itself that it ended."""
        return self.state in ("succeeded", "failed", "aborted")

    def reason_of(self, state: str) -> str:
        """Return why the job came to a state; empty where this record is not of that ending.

        While a job closes, its reason stands here before its exit marker, its state after it.
        """
        return self.exit_reason if self.state in (state, "running") else ""

    def with_(self, **changes: Any) -> ProcessRecord:  # noqa: ANN401 - values of fields
        """Return a copy with some fields replaced."""
        return replace(self, **changes)


def now() -> str:
    """Return the time as it is written in all files of the contract."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_s(time: str) -> float:
    """Return how many seconds ago a written time was; infinite for an empty text."""
    if not time:
        return math.inf
    return (datetime.now(UTC) - datetime.fromisoformat(time)).total_seconds()


def announce(job_dir: Path) -> None:
    """Say that a job is about to start, before the graph calls it running.

    A job that the graph has as running and that has no record is taken for one of RELION's, which
    nobody can tell to be dead; this one is given up when nobody has started it after a while.
    """
    if read_process(job_dir) is None:
        write_process(job_dir, ProcessRecord(host=process_table.host(), submitted=now()))


def read_process(job_dir: Path) -> ProcessRecord | None:
    """Read ``process.json``; None where the job has none, as one made by RELION.

    Raises
    ------
    FormatError
        The file is there and is no record.
    """
    path = job_dir / PROCESS
    try:
        found = json.loads(path.read_text())
        names = {field.name for field in fields(ProcessRecord)}
        known = {name: value for name, value in found.items() if name in names}
        known["command"] = tuple(known.get("command", ()))
        return ProcessRecord(**known)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, AttributeError, TypeError) as error:
        raise FormatError(
            f"{path}: is no record of a process ({error}). Remove the file; the job's exit"
            " markers then tell its state."
        ) from error


def write_process(job_dir: Path, record: ProcessRecord) -> None:
    """Write ``process.json``."""
    write_text(job_dir / PROCESS, json.dumps(asdict(record), indent=1) + "\n")


@contextlib.contextmanager
def locked(job_dir: Path) -> Iterator[None]:
    """Keep others from starting the job or writing its record until the block ends.

    The lock is on ``run.out``, a file that every job has, and goes with the process that
    holds it.
    """
    descriptor = os.open(job_dir / OUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def update_process(job_dir: Path, **changes: Any) -> ProcessRecord:  # noqa: ANN401 - field values
    """Replace some fields of ``process.json`` and return the new record."""
    with locked(job_dir):
        record = (read_process(job_dir) or ProcessRecord()).with_(**changes)
        write_process(job_dir, record)
    return record


def append_progress(job_dir: Path, report: Mapping[str, object]) -> None:
    """Append one line to ``progress.jsonl`` in one write."""
    line = json.dumps(plain({"time": now(), **report})) + "\n"
    descriptor = os.open(job_dir / PROGRESS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def read_progress(job_dir: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the whole lines of ``progress.jsonl`` after `offset`.

    Returns
    -------
    list of dict
        Each with time, phase, done, total, unit, rate (units per second), left_s (seconds).
    int
        Where to read on.
    """
    try:
        with (job_dir / PROGRESS).open("rb") as stream:
            stream.seek(offset)
            text = stream.read()
    except FileNotFoundError:
        return [], offset
    whole = text[: text.rfind(b"\n") + 1]
    lines = []
    for line in whole.splitlines():
        with contextlib.suppress(ValueError):  # a line that a full disk cut short
            lines.append(json.loads(line))
    return lines, offset + len(whole)


def write_results(job_dir: Path, results: Mapping[str, object]) -> None:
    """Write ``results.json``."""
    write_text(job_dir / RESULTS, json.dumps(plain(results), indent=1) + "\n")


def read_results(job_dir: Path) -> dict[str, Any]:
    """Read ``results.json``; an empty dict where the job has told nothing yet."""
    return _read_dict(job_dir / RESULTS)


def write_plot(job_dir: Path, name: str, data: Mapping[str, object]) -> str:
    """Write the data of a plot and return its path below the job folder."""
    (job_dir / PLOTS).mkdir(exist_ok=True)
    path = f"{PLOTS}/{name}.json"
    write_text(job_dir / path, json.dumps(plain(data)) + "\n")
    return path


def read_plot(job_dir: Path, name: str) -> dict[str, Any]:
    """Read the data of a plot; an empty dict where there is none."""
    return _read_dict(job_dir / PLOTS / f"{name}.json")


def plain(value: Any) -> Any:  # noqa: ANN401 - anything that a program hands in
    """Turn arrays, paths and numbers into what JSON knows; a number that is none becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "tolist"):
        listed = value.tolist()
        is_number = getattr(value.dtype, "kind", "none") in "iuf"
        is_finite = is_number and math.isfinite(value.sum(dtype="f8"))
        return listed if is_finite else plain(listed)
    if isinstance(value, list | tuple):
        is_numbers = set(map(type, value)) <= {float, int}  # long curves, as they mostly are
        return list(value) if is_numbers and _are_finite(value) else [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    return str(value)


def _are_finite(numbers: Sequence[float]) -> bool:
    return all(map(math.isfinite, numbers))


def _read_dict(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise FormatError(f"{path}: is no JSON ({error}); run the job again") from error
    if not isinstance(found, dict):
        raise FormatError(f"{path}: holds a {type(found).__name__}, wanted named values")
    return found
