"""Commands that care for a project: names, notes, marks, deleting, cleaning, repair."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli import complete
from vitreous.cli.options import HERE, JobRef, JobRefs, Json, ProjectDir, Yes, confirm, open_project
from vitreous.cli.output import human_size, print_json, print_table, warn
from vitreous.errors import InputError

if TYPE_CHECKING:
    from vitreous.project.cleaning import CleanPlan
    from vitreous.project.undelete import TrashedJob

_SECTION = "Project"


class Form(StrEnum):
    """Which RELION's form a new project has."""

    RELION_3_1 = "3.1"
    RELION_4_0 = "4.0"
    RELION_5_0 = "5.0"


class Mark(StrEnum):
    """How a job can be marked by hand."""

    FINISHED = "finished"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, alias, note, mark, delete, undelete, clean, flowchart, repair, unlock):
        app.command(rich_help_panel=_SECTION)(command)
    app.command("empty-trash", rich_help_panel=_SECTION)(empty_trash)


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", show_default=False)] = HERE,
    form: Annotated[
        Form, typer.Option(help="Form of its files: of RELION 5.0, 4.0 or 3.1.")
    ] = Form.RELION_5_0,
    json: Json = False,
) -> None:
    """Make a folder a project (the current one, if none is given)."""
    from vitreous.actions import Project

    was = (folder / "default_pipeline.star").exists()
    project = Project.create(folder, form=form.value)
    if json:
        print_json({"project": str(project.root), "form": project.pipeline.form, "new": not was})
    elif was:
        n = len(project.jobs)
        print(f"{project.root} is a project already, with {n} job{'' if n == 1 else 's'}.")
    else:
        print(f"{project.root} is a project now. `vitreous describe` lists what can be run.")


def alias(
    job: JobRef,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="The new name.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Give a job a second, meaningful name."""
    if (name is None) != remove:
        raise InputError("give a new name, or --remove to take the alias away")
    changed = open_project(project).alias(job, name)
    if json:
        print_json({"name": changed.name, "alias": changed.alias})
    else:
        print(f"{changed.name} {f'is {changed.alias} now' if name else 'has no alias now'}.")


def note(
    job: Annotated[
        str | None,
        typer.Argument(
            metavar="JOB",
            help="A job; the project itself where none is given.",
            autocompletion=complete.jobs,
        ),
    ] = None,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="Text to add.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the whole note.")] = False,
    join: Annotated[bool, typer.Option("--all", help="Join all notes in one file.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Read the note of a job or of the project, or add to it (`-` reads from stdin)."""
    opened = open_project(project, read_only=text is None and not join)
    if join:
        path = opened.all_notes()
        print_json({"file": str(path)}) if json else print(path)
        return
    if text == "-":
        text = sys.stdin.read()
    whole = opened.note(job, text, replace=replace)
    if json:
        print_json({"job": opened.job(job).name if job else None, "note": whole})
    elif text is None:
        print(whole, end="" if whole.endswith("\n") else "\n")


def mark(
    job: JobRef,
    state: Annotated[Mark, typer.Argument(help="What it is to be.")],
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Mark a job as finished or failed by hand."""
    done = open_project(project).mark(job, state.value)
    if json:
        print_json(
            {
                "name": done.process.name,
                "status": done.process.status.value,
                "missing": list(done.missing),
                "warnings": list(done.warnings),
            }
        )
        return
    print(f"{done.process.name} is marked as {done.process.status.lower()}.")
    for path in done.missing:
        warn(f"{path} was expected and is not there")
    for text in done.warnings:
        warn(text)


def delete(
    jobs: JobRefs,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Also delete the jobs that depend on them.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Move jobs to the Trash, from where they can come back."""
    opened = open_project(project)
    plan = opened.plan_delete(*jobs) if dry_run else opened.delete(*jobs, yes=yes)
    if json:
        rows = [
            {
                "name": one.process.name,
                "alias": one.process.alias,
                "because_of": one.because_of,
                "files": one.n_files,
                "bytes": one.n_bytes,
            }
            for one in plan.jobs
        ]
        print_json({"deleted": not dry_run, "bytes": plan.n_bytes, "jobs": rows})
        return
    print_table(
        ("JOB", "FILES", "SIZE", "WHY"),
        [
            (
                one.process.shown_name,
                str(one.n_files),
                human_size(one.n_bytes),
                f"uses {one.because_of}" if one.because_of else "asked for",
            )
            for one in plan.jobs
        ],
        right=(1, 2),
    )
    if dry_run:
        print(f"\nNothing was changed. {human_size(plan.n_bytes)} would go to the Trash.")
    else:
        print(
            f"\n{human_size(plan.n_bytes)} went to the Trash. `vitreous undelete` brings it back."
        )


def undelete(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Jobs to bring back; none lists the Trash."),
    ] = None,
    group: Annotated[
        bool, typer.Option("--group", help="Bring back all jobs of the same delete.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """List deleted jobs, or bring them back; also brings cleaned files of a job back."""
    opened = open_project(project, read_only=not jobs)
    if not jobs:
        _list_trash(opened.trashed(), json=json)
        return
    done = opened.undelete(*jobs, whole_group=group)
    if json:
        print_json(
            {
                "jobs": [process.name for process in done.jobs],
                "files": list(done.files),
                "warnings": list(done.warnings),
            }
        )
        return
    for process in done.jobs:
        print(f"{process.shown_name} is back ({process.status.lower()}).")
    if done.files:
        print(f"{len(done.files)} cleaned files are back.")
    for text in done.warnings:
        warn(text)


def _list_trash(jobs: list[TrashedJob], *, json: bool) -> None:
    if json:
        rows = [
            {
                "name": job.process.name,
                "alias": job.process.alias,
                "status": job.process.status.value,
                "group": list(job.group),
                "files": job.n_files,
                "bytes": job.n_bytes,
            }
            for job in jobs
        ]
        print_json({"trash": rows})
    elif jobs:
        cells = [
            (
                job.process.shown_name,
                job.process.status.value,
                human_size(job.n_bytes),
                ", ".join(name for name in job.group if name != job.process.name),
            )
            for job in jobs
        ]
        print_table(("JOB", "STATE", "SIZE", "DELETED WITH"), cells, right=(2,))
    else:
        print("No deleted job is in the Trash.")


def empty_trash(yes: Yes = False, project: ProjectDir = HERE, json: Json = False) -> None:
    """Remove deleted jobs and cleaned files for good."""
    opened = open_project(project)
    size = opened.trash_size()
    if size and not yes and not confirm(f"Remove {human_size(size)} for good?"):
        raise InputError(
            f"the Trash holds {human_size(size)}; confirm that it goes for good with --yes"
        )
    removed = opened.empty_trash()
    print_json({"bytes": removed}) if json else print(f"{human_size(removed)} removed.")


def clean(
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Jobs to clean.", autocompletion=complete.jobs),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Clean every succeeded job.")] = False,
    harsh: Annotated[
        bool, typer.Option("--harsh", help="Also move what other jobs could use.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Move intermediate files of finished jobs to the Trash, their sizes shown first."""
    if bool(jobs) == every:
        raise InputError("name the jobs to clean, or give --all for every succeeded job")
    opened = open_project(project, read_only=dry_run)
    plans = opened.plan_clean(*(jobs or ()), harsh=harsh)
    if not json:
        _print_clean(plans, dry_run=dry_run)
    done = [] if dry_run else opened.apply_clean(plans)
    if json:
        print_json({"cleaned": not dry_run, "jobs": [_clean_row(plan) for plan in plans]})
    elif done:
        print(
            "Done. `vitreous undelete JOB` brings files back, `vitreous empty-trash` frees space."
        )


def _clean_row(plan: CleanPlan) -> dict[str, object]:
    return {
        "name": plan.process.name,
        "harsh": plan.harsh,
        "refused": plan.refused,
        "bytes": plan.n_bytes,
        "files": [{"path": path, "bytes": size} for path, size in plan.files],
        "kept": [{"path": path, "reason": reason} for path, reason in plan.kept],
    }


def _print_clean(plans: list[CleanPlan], *, dry_run: bool) -> None:
    cells = [
        (
            plan.process.shown_name,
            str(len(plan.files)),
            human_size(plan.n_bytes),
            plan.refused or _kept(plan),
        )
        for plan in plans
        if plan.files or plan.kept or plan.refused
    ]
    if cells:
        print_table(("JOB", "FILES", "SIZE", "NOTE"), cells, right=(1, 2))
    count, size = sum(len(p.files) for p in plans), human_size(sum(p.n_bytes for p in plans))
    if not count:
        print("There is nothing to clean.")
    else:
        print(f"{count} files, {size}, {'would go' if dry_run else 'go'} to the Trash.")


def _kept(plan: CleanPlan) -> str:
    if not plan.kept:
        return ""
    path, reason = plan.kept[0]
    return f"{len(plan.kept)} kept, such as {path}: {reason}"


def flowchart(
    job: JobRef,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="An .svg or .pdf file elsewhere."),
    ] = None,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Draw how a job came about, as SVG and PDF in its folder."""
    files = open_project(project).flowchart(job, output)
    if json:
        print_json({"files": [str(path) for path in files]})
    else:
        for path in files:
            print(path)


def repair(
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Use only what each job's own folder holds, no backup."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Remove a lock whose owner cannot be judged too.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Make a lost or corrupted pipeline file anew, from the newest backup or the job folders."""
    done = open_project(project).repair("rebuild" if rebuild else "backup", force=force)
    if json:
        print_json(
            {
                "source": done.source,
                "kept_broken": done.kept_broken,
                "jobs": done.n_jobs,
                "nodes": done.n_nodes,
                "next_number": done.counter,
                "adopted": list(done.adopted),
                "dropped": list(done.dropped),
                "restated": [[name, old.value, new.value] for name, old, new in done.restated],
                "doubtful": list(done.doubtful),
            }
        )
        return
    for line in done.lines():
        print(line)


def unlock(
    force: Annotated[
        bool, typer.Option("--force", help="Also remove a lock whose owner cannot be judged.")
    ] = False,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Remove the lock that a program left behind when it died."""
    owner = open_project(project).unlock(force=force)
    if json:
        print_json({"removed": owner is not None, "owner": None if owner is None else str(owner)})
    else:
        print(f"Removed the lock of {owner}." if owner else "The project is not locked.")
