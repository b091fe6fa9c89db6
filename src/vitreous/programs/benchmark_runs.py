"""Running whole programs for a benchmark: their wall time and the time of all processors."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from vitreous.errors import ComputeError

_TAIL = 500


def seconds(
    commands: Sequence[Sequence[str]], folder: Path, *, may_fail: bool = False
) -> tuple[float, float]:
    """Run commands one after the other; return wall time and processor time of all processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    for command in commands:
        execute(command, folder, may_fail=may_fail)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def execute(command: Sequence[str], folder: Path, *, may_fail: bool = False) -> None:
    """Run a command in a folder.

    Raises
    ------
    ComputeError
        It failed, and may not.
    """
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and not may_fail:
        told = (done.stderr or done.stdout)[-_TAIL:]
        raise ComputeError(f"{' '.join(command)} failed: {told}")
