"""What ranks that a launcher started tell the first one, through files in the job folder.

Each has a supervisor of its own. It touches its file while it runs and leaves its ending there:
empty after a success, else the reason. The first rank says how the job ended only when all have
left one, so that a job never succeeds while a rank is still at work or has failed.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from vitreous.running.record import HEARTBEAT_S

_ALIVE: Final = ".rank_alive_"
_ENDED: Final = ".rank_ended_"
_LOOK_EVERY_S: Final = 0.1
_HEARD_WITHIN_S: Final = 20.0
_SILENT_S: Final = 5 * HEARTBEAT_S


def is_here(job_dir: Path, meeting: str, rank: int) -> None:
    """Say that a rank is at work; called at its start and with every heartbeat.

    Parameters
    ----------
    job_dir
        The job folder.
    meeting
        What all ranks of this start have in common.
    rank
        Which one.
    """
    with contextlib.suppress(OSError):
        (job_dir / f"{_ALIVE}{meeting}_{rank}").touch()


def has_ended(job_dir: Path, meeting: str, rank: int, reason: str) -> None:
    """Say that a rank has ended: `reason` is empty after a success."""
    text = f"rank {rank}: {reason}" if reason else ""
    temporary = job_dir / f"{_ALIVE}{meeting}_{rank}"
    with contextlib.suppress(OSError):
        temporary.write_text(text)
        temporary.replace(job_dir / f"{_ENDED}{meeting}_{rank}")


def wait_until_heard(
    job_dir: Path, meeting: str, rank: int, at_most_s: float = _HEARD_WITHIN_S
) -> None:
    """Wait until the first rank has taken note of an ending, which removes the files.

    A launcher kills all other ranks as soon as one has ended with a failure; the first could then
    not say any more why the job failed.
    """
    end = time.monotonic() + at_most_s
    while _path(job_dir, _ENDED, meeting, rank).exists() and time.monotonic() < end:
        time.sleep(_LOOK_EVERY_S)


def wait_for(
    job_dir: Path,
    meeting: str,
    n_ranks: int,
    on_wait: Callable[[], None],
    silent_s: float = _SILENT_S,
) -> str:
    """Wait until all other ranks have ended, and return why one failed, if one did.

    Parameters
    ----------
    job_dir, meeting
        As in `is_here`.
    n_ranks
        How many ranks there are, the first among them.
    on_wait
        Called at every look.
    silent_s
        A rank that has neither ended nor given a sign for so long is taken as lost.

    Returns
    -------
    str
        Empty where all succeeded.
    """
    began = time.time()
    waiting = set(range(1, n_ranks))
    while waiting:
        waiting = {rank for rank in waiting if not _path(job_dir, _ENDED, meeting, rank).exists()}
        if _reason(job_dir, meeting, n_ranks):
            break
        for rank in waiting:
            if time.time() - _last_sign(job_dir, meeting, rank, began) > silent_s:
                forget(job_dir, meeting)
                return f"rank {rank} gave no sign for {silent_s:.0f} s after the first had ended"
        if waiting:
            on_wait()
            time.sleep(_LOOK_EVERY_S)
    reason = _reason(job_dir, meeting, n_ranks)
    forget(job_dir, meeting)
    return reason


def reason_so_far(job_dir: Path, meeting: str, n_ranks: int) -> str:
    """Return why a rank failed that has left its ending already, and clear the files."""
    reason = _reason(job_dir, meeting, n_ranks)
    forget(job_dir, meeting)
    return reason


def forget(job_dir: Path, meeting: str) -> None:
    """Remove the files of a start."""
    for kind in (_ALIVE, _ENDED):
        for path in job_dir.glob(f"{kind}{meeting}_*"):
            path.unlink(missing_ok=True)


def _path(job_dir: Path, kind: str, meeting: str, rank: int) -> Path:
    return job_dir / f"{kind}{meeting}_{rank}"


def _last_sign(job_dir: Path, meeting: str, rank: int, began: float) -> float:
    try:
        return max(_path(job_dir, _ALIVE, meeting, rank).stat().st_mtime, began)
    except FileNotFoundError:
        return began


def _reason(job_dir: Path, meeting: str, n_ranks: int) -> str:
    for rank in range(1, n_ranks):
        with contextlib.suppress(FileNotFoundError):
            text = _path(job_dir, _ENDED, meeting, rank).read_text()
            if text:
                return text
    return ""
