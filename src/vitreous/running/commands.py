"""The command of a job, as a dry run shows it and ``note.txt`` keeps it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from vitreous.jobs import external_command
from vitreous.jobs.declare import Options
from vitreous.jobs.job_type import JobType


def command_lines(
    project_root: Path,
    job_type: JobType,
    options: Options,
    job_name: str,
    is_continue: bool = False,
) -> list[str]:
    """Return every command that the job consists of; the working directory is the project.

    Parameters
    ----------
    project_root
        The project folder.
    job_type, options
        The job.
    job_name
        Its folder below the project, with its slash.
    is_continue
        Whether it goes on; a program reads that from the job's own ``job.star``.
    """
    del project_root, is_continue
    if job_type.word == "external":
        return [external_command.command(options, job_name)]
    return [f"{vitreous()} exec {shlex.quote(job_name)}"]


def vitreous() -> str:
    """Return how this installation of vitreous is called from anywhere."""
    script = Path(sys.executable).with_name("vitreous")
    if script.exists():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -m vitreous"
