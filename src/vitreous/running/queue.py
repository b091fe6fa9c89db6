"""Jobs that go through a scheduler: the script, its submission, questions and cancelling.

Templates are RELION's: a script with placeholders such as ``XXXcoresXXX`` (jobs.md section 5).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from vitreous.errors import EnvironmentMissing, InputError, MissingFileError
from vitreous.running.resources import Resources
from vitreous.running.schedulers import GONE, SCHEDULERS, UNKNOWN, QueueState, find_number

SCRIPT: Final = "run_submit.script"
_COMMAND: Final = "XXXcommandXXX"
_PLACEHOLDER: Final = re.compile(r"XXX(\w+?)XXX")
_DIRECTIVE: Final = re.compile(r"#(SBATCH|PBS|BSUB|\$)")
_ASK_TIMEOUT_S: Final = 20.0
_REMEMBER_S: Final = 1.0
_remembered: dict[tuple[str, str], tuple[float, QueueState]] = {}


def fill_template(
    template: str, job_name: str, commands: Sequence[str], asked: Resources, source: str = ""
) -> str:
    """Fill the placeholders of a submission script.

    Parameters
    ----------
    template
        Text of the script.
    job_name
        Job folder below the project, with its slash.
    commands
        Commands of the job. One of the suite takes the place of ``XXXcommandXXX`` in a copy of
        its line, which keeps a launcher such as ``mpirun``; any other stands alone on a line.
    asked
        What the running tab says.
    source
        File that the template is from, for messages.

    Raises
    ------
    InputError
        No place for the command, or a placeholder that nothing replaces outside a comment.
    """
    if _COMMAND not in template:
        raise InputError(
            f"{source or 'the submission script'}: {_COMMAND} is not in it, so the job would do"
            " nothing. Add it where the command belongs."
        )
    values = _values(job_name, asked)
    lines: list[str] = []
    for line in template.splitlines():
        if _COMMAND in line:
            lines += [_with_command(line, command, asked.ranks) for command in commands]
        else:
            lines.append(line)
    text = _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), "\n".join(lines) + "\n")
    _need_all_filled(text, source)
    return text


def read_template(root: Path, asked: Resources) -> str:
    """Read the template that a job names.

    Raises
    ------
    MissingFileError, InputError
        It names none, or there is no such file.
    """
    if not asked.template:
        raise InputError(
            "the job goes to the queue and names no submission script. Give one as"
            " submit_template, or set RELION_QSUB_TEMPLATE for all jobs."
        )
    path = root / Path(asked.template).expanduser()
    try:
        return path.read_text()
    except FileNotFoundError:
        raise MissingFileError(
            f"{path}: there is no such submission script. Change submit_template, or"
            " RELION_QSUB_TEMPLATE for all new jobs."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a submission script ({error})") from error


def submit(root: Path, job_name: str, asked: Resources, environ: Mapping[str, str]) -> str:
    """Run the submit command and return what it printed.

    Parameters
    ----------
    root
        The project folder, where the command runs.
    job_name
        The job; its ``run_submit.script`` has been written.
    asked
        Names the submit command.
    environ
        Environment for the command.

    Raises
    ------
    EnvironmentMissing
        The command failed; what it said is in the message.
    """
    command = f"{asked.submit_command} {job_name}{SCRIPT}"
    try:
        done = subprocess.run(
            command,
            shell=True,
            cwd=root,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=120,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentMissing(f"`{command}` has not come back after 120 s") from None
    said = " ".join(done.stdout.split())
    if done.returncode != 0:
        raise EnvironmentMissing(
            f"the scheduler did not take the job: `{command}` ended with exit code"
            f" {done.returncode}: {said or 'it said nothing'}"
        )
    return done.stdout


def number_of(answer: str) -> tuple[str, str]:
    """Return scheduler and job number from what the submit command printed."""
    return find_number(answer)


def state(system: str, number: str) -> QueueState:
    """Ask the scheduler for a job; answers are remembered for a second."""
    if system not in SCHEDULERS:
        return UNKNOWN
    when, found = _remembered.get((system, number), (0.0, UNKNOWN))
    if time.monotonic() - when < _REMEMBER_S:
        return found
    scheduler = SCHEDULERS[system]
    answer = _run([*scheduler.ask, number])
    found = UNKNOWN if answer is None else scheduler.read(*answer)
    _remembered[system, number] = (time.monotonic(), found)
    return found


def cancel(system: str, number: str) -> None:
    """Take a job out of the queue, or end it there.

    Raises
    ------
    EnvironmentMissing
        The scheduler cannot be reached from here, or refused.
    """
    if system not in SCHEDULERS:
        raise EnvironmentMissing(
            "the scheduler's number of the job is not known, so it cannot be cancelled from here;"
            " its program will see the request to stop once it runs"
        )
    command = [*SCHEDULERS[system].cancel, number]
    answer = _run(command)
    _remembered.pop((system, number), None)
    if answer is None:
        raise EnvironmentMissing(f"`{' '.join(command)}` cannot be run on this machine")
    if answer[0] != 0 and state(system, number) != GONE:
        raise EnvironmentMissing(f"`{' '.join(command)}` failed: {' '.join(answer[1].split())}")


def _values(job_name: str, asked: Resources) -> dict[str, str]:
    values = {
        "mpinodes": str(asked.ranks),
        "threads": str(asked.threads),
        "cores": str(asked.cores),
        "dedicated": str(asked.dedicated),
        "nodes": str(asked.nodes),
        "name": job_name,
        "errfile": f"{job_name}run.err",
        "outfile": f"{job_name}run.out",
        "queue": asked.queue_name,
    }
    return values | {f"extra{number}": text for number, text in asked.extras.items()}


def _with_command(line: str, command: str, n_ranks: int) -> str:
    is_ours = re.search(r"vitreous['\"]? exec ", command) is not None
    if is_ours or ("relion_" in command and n_ranks == 1):
        return line.replace(_COMMAND, command)
    return command


def _need_all_filled(text: str, source: str) -> None:
    for number, line in enumerate(text.splitlines(), start=1):
        is_comment = line.lstrip().startswith("#") and not _DIRECTIVE.match(line.lstrip())
        left = _PLACEHOLDER.search(line)
        if left and not is_comment:
            raise InputError(
                f"{source or 'the submission script'}, line {number}: nothing replaces"
                f" {left[0]}. A field XXXextraNXXX needs RELION_QSUB_EXTRAN (its label) in the"
                " environment and a value in the job; remove what is not wanted."
            )


def _run(command: list[str]) -> tuple[int, str] | None:
    """Run a scheduler's command; None where it is not there or does not answer."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_ASK_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.returncode, done.stdout
