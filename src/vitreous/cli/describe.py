"""`vitreous describe`: the job types, and a sheet of the options of one."""

from __future__ import annotations

import os
import sys
import textwrap
from itertools import groupby
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli import complete
from vitreous.cli.options import Json
from vitreous.cli.output import paint, print_json, print_table

if TYPE_CHECKING:
    from vitreous.actions.describe import OptionRow, TypeRow, TypeSheet

_INDENT = "    "


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Jobs")(describe)


def describe(
    job_type: Annotated[
        str | None,
        typer.Argument(
            metavar="JOBTYPE", help="Such as class2d.", autocompletion=complete.job_types
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Argument(metavar="KEY", help="One option only.", autocompletion=complete.keys),
    ] = None,
    json: Json = False,
) -> None:
    """List the job types, or the options of one: keys, defaults, ranges, meaning."""
    from vitreous.actions import describe as actions

    if job_type is None:
        rows = actions.job_types()
        print_json({"job_types": rows}) if json else _print_types(rows)
        return
    sheet = actions.job_type_sheet(job_type, os.environ)
    if key is not None:
        from vitreous.jobs import registry

        wanted = registry.find(job_type).spec(key).name
        sheet["options"] = [row for row in sheet["options"] if row["name"] == wanted]
    print_json(sheet) if json else _print_sheet(sheet)


def _print_types(rows: list[TypeRow]) -> None:
    cells = [
        (row["word"], row["name"], "" if row["built"] else "not built yet", row["about"])
        for row in rows
    ]
    styles = [("bold" if row["built"] else "dim", "", "dim", "") for row in rows]
    print_table(("JOBTYPE", "NAME", "", "WHAT IT DOES"), cells, styles)
    print("\n`vitreous describe JOBTYPE` lists the options of one.")


def _print_sheet(sheet: TypeSheet) -> None:
    state = "" if sheet["built"] else paint("  not built yet: shown, read and kept", "yellow")
    print(f"{paint(sheet['name'], 'bold')}  {sheet['word']}, {sheet['label']}{state}")
    print(sheet["about"])
    widths = [
        max((len(row[field]) for row in sheet["options"]), default=0) for field in ("name", "key")
    ]
    for tab, rows in groupby(sheet["options"], key=lambda row: row["tab"]):
        print(f"\n{paint(tab, 'bold cyan')}")
        heading = f"{'OPTION':{widths[0]}}  {'RELION KEY':{widths[1]}}  DEFAULT, RANGE"
        print(f"  {paint(heading, 'dim')}")
        for row in rows:
            _print_option(row, widths)


def _print_option(row: OptionRow, widths: list[int]) -> None:
    name = paint(f"{row['name']:{widths[0]}}", "bold")
    print(f"  {name}  {row['key']:{widths[1]}}  {', '.join(_values(row))}")
    room = min(get_terminal_size((100, 24)).columns, 110) if sys.stdout.isatty() else 100
    for paragraph in _meaning(row):
        print(textwrap.fill(paragraph, room, initial_indent=_INDENT, subsequent_indent=_INDENT))


def _values(row: OptionRow) -> list[str]:
    """Return default and range as texts."""
    words = ["required" if row["required"] else _default(row)]
    if row["low"] is not None and row["high"] is not None:
        words.append(f"usual {row['low']:g} to {row['high']:g}")
    if row["at_least"] is not None:
        words.append(f"at least {row['at_least']:g}")
    if row["at_most"] is not None:
        words.append(f"at most {row['at_most']:g}")
    if row["off"] is not None:
        words.append(f"{row['off']:g} = off or automatic")
    if row["kind"] == "boolean":
        words.append("Yes or No")
    return words


def _default(row: OptionRow) -> str:
    text = row["default_text"]
    return f"'{text}'" if " " in text else text or "empty"


def _meaning(row: OptionRow) -> list[str]:
    """Return what an option is for, in lines to wrap."""
    meaning = [f"{row['label']}. {row['help']}" if row["help"] else f"{row['label']}."]
    if row["choices"]:
        meaning.append("One of: " + "; ".join(row["choices"]))
    if row["reads"]:
        meaning.append(f"Reads {row['reads']}")
    notes = []
    if row["when"]:
        notes.append(f"only when {row['when']}")
    if row["on_continue"] == "only":
        notes.append("only when the job is continued")
    if notes:
        meaning.append(f"({'; '.join(notes)})")
    return meaning
