"""Arguments and flags that many commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from vitreous.cli import complete

if TYPE_CHECKING:
    from vitreous.actions import Project

ProjectDir: TypeAlias = Annotated[
    Path,
    typer.Option("--project", "-p", metavar="DIR", help="The project folder.", show_default=False),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
JobRef: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Path, alias or number of a job.", autocompletion=complete.jobs
    ),
]
JobRefs: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB", help="Paths, aliases or numbers of jobs.", autocompletion=complete.jobs
    ),
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]
HERE = Path()


def open_project(folder: Path, *, read_only: bool = False) -> Project:
    """Open the project that a command works on."""
    from vitreous.actions import Project

    return Project(folder, read_only=read_only)


def confirm(question: str) -> bool:
    """Ask on a terminal; elsewhere the answer is no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    return typer.confirm(question, err=True)
