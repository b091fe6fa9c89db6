"""Control files: how a job tells the pipeline that it ended, and how it is asked to stop.

They are empty files in the job folder (pipeline.md sections 3 and 6). The CCP-EM pipeliner
writes its own names; they are understood on reading and never written.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from vitreous.project.pipeline import Status

SUCCESS: Final = "RELION_JOB_EXIT_SUCCESS"
FAILURE: Final = "RELION_JOB_EXIT_FAILURE"
ABORTED: Final = "RELION_JOB_EXIT_ABORTED"
ABORT_NOW: Final = "RELION_JOB_ABORT_NOW"

_CCPEM: Final = {
    "PIPELINER_JOB_EXIT_SUCCESS": Status.SUCCEEDED,
    "PIPELINER_JOB_EXIT_FAILED": Status.FAILED,
    "PIPELINER_JOB_EXIT_ABORTED": Status.ABORTED,
}
_CCPEM_ABORT_NOW: Final = "PIPELINER_JOB_ABORT_NOW"
# In the order in which RELION looks for them.
_OF_STATUS: Final = {
    Status.SUCCEEDED: SUCCESS,
    Status.FAILED: FAILURE,
    Status.ABORTED: ABORTED,
}


def read_marker(job_dir: Path) -> Status | None:
    """Return how the job ended, or None while no exit marker is there.

    Where several are there success wins over failure and failure over abortion, as in RELION.
    """
    for status, name in _OF_STATUS.items():
        if (job_dir / name).exists():
            return status
    for name, status in _CCPEM.items():
        if (job_dir / name).exists():
            return status
    return None


def write_marker(job_dir: Path, status: Status) -> None:
    """Leave the exit marker of `status` (succeeded, failed or aborted) and no other."""
    name = _OF_STATUS[status]
    (job_dir / name).touch()
    for other in (*_OF_STATUS.values(), *_CCPEM):
        if other != name:
            with contextlib.suppress(FileNotFoundError):
                (job_dir / other).unlink()


def clear_markers(job_dir: Path) -> None:
    """Remove every control file, the request to stop included, before a job starts again."""
    for name in (*_OF_STATUS.values(), ABORT_NOW, *_CCPEM, _CCPEM_ABORT_NOW):
        with contextlib.suppress(FileNotFoundError):
            (job_dir / name).unlink()


def request_abort(job_dir: Path) -> None:
    """Ask the job to stop: its program looks at this file between two units of work."""
    (job_dir / ABORT_NOW).touch()


def abort_requested(job_dir: Path) -> bool:
    """Tell whether somebody asked the job to stop."""
    return (job_dir / ABORT_NOW).exists()
