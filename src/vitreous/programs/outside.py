"""A program of somebody else's as a process of the job: started, watched, ended with the job."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.jobs.context import Run

_LOOK_EVERY_S = 0.1
_GRACE_S = 0.5
_TAIL = 400
_SHOWN = 40  # words of a command that are printed


@dataclass(frozen=True)
class Outside:
    """A program of somebody else's.

    Parameters
    ----------
    name
        What people call it: ``Topaz``.
    remedy
        What to do where it is not there.
    log
        File that its output is added to.
    """

    name: str
    remedy: str
    log: Path

    def call(self, words: Sequence[str], phase: str, unit: str, run: Run) -> None:
        """Run it in the project folder, and end it where the job is asked to stop.

        Parameters
        ----------
        words
            Executable and arguments.
        phase, unit
            What progress calls it.
        run
            The job.

        Raises
        ------
        EnvironmentMissing
            There is no such program.
        ComputeError
            It failed; the end of its output is told.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        run.say(shlex.join(words if len(words) < _SHOWN else [*words[:_SHOWN], "..."]))
        with run.phase(phase, 1, unit) as progress, self.log.open("a") as stream:
            try:
                process = subprocess.Popen(
                    words,
                    cwd=run.project,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                raise EnvironmentMissing(
                    f"{self.name} program {words[0]}: it cannot be started ({error.strerror}). "
                    f"{self.remedy}"
                ) from error
            try:
                while process.poll() is None:
                    run.check_abort()
                    time.sleep(_LOOK_EVERY_S)
            finally:
                _end(process)
            progress.advance()
        if process.returncode:
            tail = " ".join(self.log.read_text(errors="replace")[-_TAIL:].split())
            raise ComputeError(
                f"{self.name} ended with exit code {process.returncode}; its last words: "
                f"{tail or 'none'}. All of them are in {self.log}."
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
