"""Topaz as a process of the job."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from vitreous.jobs.context import Run
from vitreous.programs.outside import Outside


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
    topaz = Outside(
        "Topaz",
        "Install Topaz, and give its command as “Topaz program”.",
        run.path / "topaz" / "topaz.log",
    )
    topaz.call([*command[:2], *shlex.split(more), *command[2:]], what, "calls", run)
