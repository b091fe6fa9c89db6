"""Commands that run: run, exec, autorun, abort."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli import complete
from vitreous.cli.options import HERE, JobRef, JobRefs, Json, ProjectDir, confirm, open_project
from vitreous.cli.output import (
    clear_progress,
    paint,
    print_json,
    print_line,
    print_progress,
    warn,
)
from vitreous.errors import InputError, NotAProjectError, OptionError, Problem

if TYPE_CHECKING:
    from vitreous.actions import Job, Plan, Project
    from vitreous.actions.planning import Request
    from vitreous.jobs.job_type import JobType


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (run, autorun, abort):
        app.command(rich_help_panel="Jobs")(command)
    app.command("exec", rich_help_panel="Jobs")(execute)


def run(  # noqa: PLR0913 - one parameter for each flag
    job_type: Annotated[
        str | None,
        typer.Argument(
            metavar="JOBTYPE",
            help="Such as class2d; not needed with --continue, --overwrite or --from.",
            autocompletion=complete.job_types,
        ),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KEY=VALUE",
            help="Options; `vitreous describe JOBTYPE` lists them.",
            autocompletion=complete.values,
        ),
    ] = None,
    *,
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Return at once; the job goes on.")
    ] = False,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Only put it in the graph, to run later.")
    ] = False,
    continue_job: Annotated[
        str | None,
        typer.Option(
            "--continue", metavar="JOB", help="Go on with a job.", autocompletion=complete.jobs
        ),
    ] = None,
    overwrite: Annotated[
        str | None,
        typer.Option(
            "--overwrite",
            metavar="JOB",
            help="Run a job anew under its number.",
            autocompletion=complete.jobs,
        ),
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="NAME", help="A meaningful name for it.")
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Take the options of a job.star first."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the command, write nothing.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Make a job and run it, showing how far it is.

    Ctrl-C stops the job. Everything that is wrong is told at once, before anything is written.
    """
    words = list(values or ())
    if job_type is not None and "=" in job_type:  # the job type was left out
        words.insert(0, job_type)
        job_type = None
    opened = _open_or_make(project, read_only=dry_run)
    request = _request(
        job_type, words, continue_job, overwrite, alias=alias, from_file=from_file, later=schedule
    )
    try:
        if dry_run:
            _show_plan(opened, opened.plan(request), json=json)
            return
        watch = not (background or schedule or json)
        job = opened.make(
            request,
            background=background,
            echo=print_line if watch else None,
            on_progress=print_progress if watch and sys.stdout.isatty() else None,
            on_warning=lambda problem: warn(str(problem)),
        )
    except OptionError as error:
        raise _with_keys(error, opened.job_type(request)) from None
    _tell(job, json=json)
    raise typer.Exit(1 if job.status in ("Failed", "Aborted") else 0)


def _open_or_make(folder: Path, *, read_only: bool) -> Project:
    """Open the project; on a terminal ask whether a folder that is none shall become one."""
    from vitreous.actions import Project

    try:
        return open_project(folder, read_only=read_only)
    except NotAProjectError:
        if read_only or not confirm(f"{folder.absolute()} is not a project. Make it one?"):
            raise
        return Project.create(folder)


def _request(
    job_type: str | None,
    words: list[str],
    continue_job: str | None,
    overwrite: str | None,
    *,
    alias: str | None,
    from_file: Path | None,
    later: bool,
) -> Request:
    from vitreous.actions.planning import Mode, Request

    if continue_job is not None and overwrite is not None:
        raise InputError("a job is continued or overwritten, not both")
    mode = Mode.NEW
    if continue_job is not None:
        mode = Mode.CONTINUE
    elif overwrite is not None:
        mode = Mode.OVERWRITE
    return Request(
        job_type=job_type,
        values=_pairs(words),
        mode=mode,
        target=continue_job if overwrite is None else overwrite,
        alias=alias,
        from_file=from_file,
        schedule=later,
    )


def _pairs(words: list[str]) -> dict[str, str]:
    """Turn `key=value` words into a mapping; all that are no such words are told at once.

    Shells put a blank behind a `key=` that they complete, so `key= value` is understood too.
    """
    pairs: dict[str, str] = {}
    wrong = []
    last = ""
    for word in words:
        key, equals, value = word.partition("=")
        if equals and key in pairs:
            wrong.append(f"{key} is given twice")
        elif equals:
            pairs[key] = value
        elif last and not pairs[last]:
            pairs[last] = word
        else:
            wrong.append(f"'{word}' is no option; options are given as key=value")
        last = key if equals and not value else ""
    if wrong:
        raise InputError("; ".join(wrong))
    return pairs


def _with_keys(error: OptionError, job_type: JobType) -> OptionError:
    """Add RELION's keys to the names of options, since either may have been typed."""

    def shown(problem: Problem) -> Problem:
        spec = job_type.options.get(problem.option)
        if spec is None or spec.key == spec.name:
            return problem
        return dataclasses.replace(problem, option=f"{spec.name} ({spec.key})")

    return OptionError([shown(problem) for problem in error.problems])


def _show_plan(project: Project, plan: Plan, *, json: bool) -> None:
    """Print what would be done."""
    commands, script = project.commands(plan), project.script(plan)
    if json:
        print_json(
            {
                "name": plan.name,
                "type": plan.label,
                "mode": plan.mode.value,
                "commands": commands,
                "script": script or None,
                "inputs": [{"path": path, "type": kind} for path, kind in plan.inputs],
                "outputs": [{"path": one.path, "type": one.node_type} for one in plan.outputs],
                "warnings": [str(problem) for problem in plan.warnings],
            }
        )
        return
    for problem in plan.warnings:
        warn(str(problem))
    print(f"{paint(plan.name, 'bold')} ({plan.label})")
    for path, _ in plan.inputs:
        print(f"  reads   {path}")
    for output in plan.outputs:
        print(f"  makes   {output.path}")
    for command in commands:
        print(f"  runs    {command}")
    if script:
        print(f"  submits this as {plan.name}run_submit.script:\n")
        print(indent(script, "    "))
    print("Nothing was written.")


def _tell(job: Job, *, json: bool) -> None:
    """Say what became of a job."""
    state = job.state
    if json:
        print_json(job.project.show(job))
        return
    clear_progress()
    name = job.alias or job.name
    if job.is_interactive and state.status == "Running":
        print(f"{name} waits for you: it ends when you have saved your choice.")
        if job.options.get("optimiser"):
            again = f"vitreous run --continue {job.number} other_args='--classes 1,3-5'"
            print(f"Classes can be chosen here too, by number: `{again}`")
    elif state.status == "Scheduled":
        print(f"{name} is scheduled. `vitreous autorun {job.number}` runs it.")
    elif state.status == "Running":
        print(f"{name} is running. `vitreous log {job.number} --follow` shows what it prints.")
    elif state.status == "Succeeded":
        print(f"{paint(f'{name} succeeded', 'green')}. `vitreous show {job.number}` tells more.")
    else:
        print(f"vitreous: {name} {state.status.lower()}: {state.reason}", file=sys.stderr)
        if state.status == "Failed":
            print(f"`vitreous log {job.number} --err` shows all of it.", file=sys.stderr)


def abort(jobs: JobRefs, project: ProjectDir = HERE, json: Json = False) -> None:
    """Stop running or queued jobs: ask, wait, insist, kill."""
    opened = open_project(project)
    stopped = [opened.abort(job) for job in jobs]
    if json:
        print_json([{"name": job.name, "status": job.status.value} for job in stopped])
        return
    for job in stopped:
        print(f"{job.name} is {job.status.lower()}.")


def autorun(  # noqa: PLR0913 - one parameter for each flag
    jobs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB",
            help="Scheduled jobs, in this order; all of them where none is given.",
            autocompletion=complete.jobs,
        ),
    ] = None,
    *,
    times: Annotated[int, typer.Option("--times", metavar="N", help="How often.", min=1)] = 1,
    wait: Annotated[
        float, typer.Option("--wait", metavar="MIN", help="Minutes between two beginnings.", min=0)
    ] = 15.0,
    before: Annotated[
        float, typer.Option("--before", metavar="MIN", help="Minutes before the first.", min=0)
    ] = 0.0,
    name: Annotated[
        str, typer.Option("--name", help="Name of its log and stop file.")
    ] = "schedule1",
    background: Annotated[
        bool, typer.Option("--background", "-b", help="Return at once; the run goes on.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="End the run of this name; a running job goes on.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Run scheduled jobs one after the other, once or again and again."""
    from vitreous.actions import autorun as actions

    opened = open_project(project)
    if stop:
        opened.stop_autorun(name)
        print_json({"name": name, "stopping": True}) if json else print(f"{name} ends soon.")
        return
    rhythm = actions.Rhythm(times=times, wait_min=wait, wait_before_min=before)
    chosen = [opened.job(job) for job in jobs] if jobs else opened.scheduled()
    if background:
        pid = actions.autorun_in_background(opened, chosen, rhythm, name=name)
        print_json({"name": name, "pid": pid}) if json else print(
            f"{name} runs as process {pid}; its log is {actions.LOG.format(name=name)}."
        )
        return
    done = opened.autorun(*chosen, rhythm=rhythm, name=name, echo=None if json else print)
    if json:
        print_json({"name": name, "repeats": done.repeats, "reason": done.reason})
    raise typer.Exit(1 if done.reason else 0)


def execute(job: JobRef, project: ProjectDir = HERE) -> None:
    """Run the program of a job that exists: what a queue script calls."""
    from vitreous.project.folder import ProjectFolder
    from vitreous.running.execute import execute as run_program

    folder = ProjectFolder.open(project)
    raise typer.Exit(run_program(folder.root, folder.read().find(job).name))
