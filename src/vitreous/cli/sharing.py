"""Commands that pass a project on: to an older or newer RELION, or its plan of jobs to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.manage import Form
from vitreous.cli.options import HERE, Json, ProjectDir, open_project
from vitreous.cli.output import print_json

_SECTION = "Project"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("change-form", rich_help_panel=_SECTION)(change_form)
    app.command("export-scheduled", rich_help_panel=_SECTION)(export_scheduled)
    app.command("import-scheduled", rich_help_panel=_SECTION)(import_scheduled)


def change_form(
    form: Annotated[Form, typer.Argument(help="Of which RELION: 5.0, 4.0 or 3.1.")],
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write the pipeline file in the form of another RELION; the old file is kept."""
    kept = open_project(project).change_form(form.value)
    if json:
        print_json({"form": form.value, "kept": str(kept) if kept else None})
    elif kept is None:
        print(f"The project has the form of RELION {form.value} already.")
    else:
        print(f"The project has the form of RELION {form.value} now. The old file is {kept}.")


def export_scheduled(
    name: Annotated[str, typer.Argument(help="Name of the export.")],
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Write all scheduled jobs to ExportJobs/NAME, for another project to take up."""
    folder = open_project(project).export_scheduled(name)
    if json:
        print_json({"folder": str(folder)})
    else:
        print(f"{folder}: `vitreous import-scheduled` adds these jobs to another project.")


def import_scheduled(
    folder: Annotated[Path, typer.Argument(help="Folder of the export, or its exported.star.")],
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Add the jobs of an export, with new numbers, as scheduled jobs."""
    jobs = open_project(project).import_scheduled(folder)
    if json:
        print_json({"jobs": [job.name for job in jobs]})
        return
    for job in jobs:
        print(job.name)
