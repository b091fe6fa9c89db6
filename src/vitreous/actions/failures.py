"""Why a job failed and what can be done: from its own words to cause and remedies."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitreous.project.pipeline import Status
from vitreous.running import record

_TAIL_BYTES: Final = 16_000
_LINES: Final = 12
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`])|;\s+(?=[a-z`])")
_DOING: Final = re.compile(
    r"^(use|give|make|take|copy|run|choose|wait|stop|set|free|install|check|look|bring|remove|"
    r"write|read|try|add|start|join|export|download|`)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Failure:
    """Why a job is not finished.

    Parameters
    ----------
    cause
        What went wrong, in its own words.
    remedies
        What can be done, the best first.
    last_lines
        The end of ``run.err``, or of ``run.out`` where that is empty.
    """

    cause: str
    remedies: tuple[str, ...]
    last_lines: tuple[str, ...]


def explain(job_dir: Path, status: Status, reason: str, *, goes_on: bool) -> Failure | None:
    """Return why a job failed or was stopped; None for one that did not.

    Parameters
    ----------
    job_dir
        Its folder.
    status, reason
        Its state, and what is known of how it came to it.
    goes_on
        Whether a job of this type takes up what was finished when it is continued.
    """
    if status not in (Status.FAILED, Status.ABORTED):
        return None
    lines = tuple(_last_lines(job_dir))
    cause = reason or _from_lines(lines) or "it left no word of why it ended"
    sentences = [one.strip() for one in _SENTENCE.split(cause) if one.strip()]
    told = [one for one in sentences[1:] if _DOING.match(one)]
    rest = [one for one in sentences if one not in told]
    remedies = [_as_sentence(one) for one in told]
    if goes_on:
        remedies.append("Continue the job: what was finished is kept, only the rest is done.")
    else:
        remedies.append("Change what was wrong and run the job again under its number (Overwrite).")
    if status is Status.FAILED:
        remedies.append("Read the end of run.err and run.out below for what led to it.")
    return Failure(". ".join(one.rstrip(".") for one in rest) + ".", tuple(remedies), lines)


def _as_sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _last_lines(job_dir: Path) -> list[str]:
    for name in (record.ERR, record.OUT):
        lines = [line for line in _tail(job_dir / name).splitlines() if line.strip()]
        if lines:
            return lines[-_LINES:]
    return []


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(line.rpartition("\r")[2] for line in text.split("\n"))


def _from_lines(lines: tuple[str, ...]) -> str:
    """Return the last line that looks like an error, as Python and shells write them."""
    for line in reversed(lines):
        if re.match(r"^(\w+(\.\w+)*(Error|Exception|Missing)\b|error\b|ERROR\b|.*: error\b)", line):
            return line.strip()
    return ""
