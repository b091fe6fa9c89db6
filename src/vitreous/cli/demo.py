"""`vitreous demo`: from simulated movies to a map, in ordinary jobs of an ordinary project."""

from __future__ import annotations

import shlex
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.options import Json
from vitreous.cli.output import (
    human_time,
    paint,
    print_json,
    print_line,
    print_progress,
    print_table,
)
from vitreous.errors import InputError

if TYPE_CHECKING:
    from vitreous.actions import Project
    from vitreous.demo.summary import Spent

_SIZE = "demo.size"


class SizeName(StrEnum):
    """How much there is to do."""

    TINY = "tiny"
    SMALL = "small"
    MEDIUM = "medium"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Start here")(demo)


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Project folder to work in.")
    ] = Path("demo"),
    size: Annotated[
        SizeName,
        typer.Option(help="On two cores: tiny takes 2 minutes, small 6, medium an hour."),
    ] = SizeName.SMALL,
    threads: Annotated[int, typer.Option("--j", metavar="N", help="Cores to use.", min=1)] = 2,
    json: Json = False,
) -> None:
    """Simulate movies of beta-galactosidase and solve its structure, from import to the map.

    It needs no data and no graphics card. Every step is an ordinary job of an ordinary project.
    Stopped at any moment, it goes on when it is run again.
    """
    from vitreous.actions import Project
    from vitreous.demo import summary
    from vitreous.demo.steps import Steps
    from vitreous.demo.workflow import SIZES, solve

    chosen = SIZES[size]
    _same_size(folder, size)
    project = Project.create(folder)
    (project.root / _SIZE).write_text(f"{size}\n")
    began = time.monotonic()
    if not json:
        print(
            f"Simulated movies of beta-galactosidase become a map, in {project.root} "
            f"({size}: about {chosen.minutes} minutes on two cores).\n"
            "Ctrl-C stops; the same command goes on. A second terminal may look on:\n"
            f"    vitreous gui --project {shlex.quote(str(project.root))}\n"
        )
    steps = Steps(
        project,
        tell=_quiet if json else print_line,
        on_progress=print_progress if sys.stdout.isatty() and not json else None,
    )
    jobs = solve(project, chosen, steps, threads)
    if not json:
        print_line("Comparing with the truth")
    rows = summary.spent(jobs, chosen)
    found = summary.findings(jobs, summary.compared(project, jobs))
    summary.write(project.root, size, rows, found)
    if json:
        print_json({"size": size, **found, "jobs": [vars(row) for row in rows]})
        return
    _tell(project, rows, found, time.monotonic() - began)


def _same_size(folder: Path, size: SizeName) -> None:
    """Refuse a folder that holds something else than this demonstration."""
    try:
        known = (folder / _SIZE).read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        if (folder / "default_pipeline.star").exists():
            raise InputError(
                f"{folder} is a project of its own. Give the demonstration another folder: "
                "`vitreous demo DIR`."
            ) from None
        return
    if known != size:
        raise InputError(
            f"{folder} holds a demonstration of size {known}. Go on with it (`--size {known}`), "
            "or give another folder."
        )


def _quiet(line: str) -> None:
    del line


def _tell(project: Project, rows: list[Spent], found: dict[str, object], seconds: float) -> None:
    """Print what was found and what it took."""
    from vitreous.demo import summary

    print()
    cells = [
        [row.job, row.alias, f"{row.seconds:.0f}", f"{row.processor_s:.0f}", str(row.share_s),
         f"{row.peak_MiB:.0f}"]
        for row in rows
    ]  # fmt: skip
    headings = ["Job", "Alias", "Seconds", "Processor s", "Share s", "Peak MiB"]
    print_table(headings, cells, right=[2, 3, 4, 5])
    print(f"\nThis run took {human_time(seconds)}.\n")
    for heading, sentence in summary.sentences(found):
        print(f"{paint(f'{heading:18}', 'bold')} {sentence}")
    where = shlex.quote(str(project.root))
    print(
        f"\nThe map is {project.job('sharpened').name}postprocess_masked.mrc. Look at everything:\n"
        f"    vitreous gui --project {where}"
    )
