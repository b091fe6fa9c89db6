"""Topaz as a process: started, watched, ended when the job is stopped."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence

from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.jobs.context import Run

_LOOK_EVERY_S = 0.1
_GRACE_S = 0.5
_TAIL = 400


def call(command: Sequence[str], more: str, what: str, run: Run) -> None:
    """Run Topaz in the project folder, its output in ``topaz/topaz.log`` of the job.

    Parameters
    ----------
    command
        Executable and arguments.
    more
        Further arguments as a user typed them.
    what
        Name of the phase.

    Raises
    ------
    EnvironmentMissing
        There is no such program.
    ComputeError
        It failed; the end of its output is told.
    """
    words = [*command[:2], *shlex.split(more), *command[2:]]
    log = run.path / "topaz" / "topaz.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    run.say(shlex.join(words if len(words) < 40 else [*words[:40], "..."]))
    with run.phase(what, 1, "calls") as progress, log.open("a") as stream:
        try:
            process = subprocess.Popen(
                words,
                cwd=run.project,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise EnvironmentMissing(
                f"Topaz program {command[0]}: it cannot be started ({error.strerror}). Install "
                "Topaz, and give its command as “Topaz program”."
            ) from error
        try:
            while process.poll() is None:
                run.check_abort()
                time.sleep(_LOOK_EVERY_S)
        finally:
            _end(process)
        progress.advance()
    if process.returncode:
        tail = " ".join(log.read_text(errors="replace")[-_TAIL:].split())
        raise ComputeError(
            f"Topaz ended with exit code {process.returncode}; its last words: {tail or 'none'}. "
            f"All of them are in {log}."
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that is still there."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
