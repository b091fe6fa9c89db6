"""External: hand the job over to the user's own program."""

from __future__ import annotations

from vitreous.jobs.context import Run
from vitreous.jobs.declare import Options
from vitreous.jobs.external_command import check_program, command


def run(options: Options, run: Run) -> None:
    """Become the user's program; it leaves the exit marker itself.

    Parameters
    ----------
    options
        Options of an External job.
    run
        The job.
    """
    check_program(options, run.project)
    run.hand_over(command(options, run.folder))
