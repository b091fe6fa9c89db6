"""`vitreous doctor`: what this machine has and lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from vitreous.cli.options import HERE, Json, ProjectDir
from vitreous.cli.output import paint, print_json

if TYPE_CHECKING:
    from vitreous.actions.doctor import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Machine")(doctor)


def doctor(project: ProjectDir = HERE, json: Json = False) -> None:
    """Report what this machine has and lacks: memory, GPUs, kernels, Slurm, other programs."""
    from vitreous.actions.doctor import examine

    findings = examine(project, os.environ)
    if json:
        lacks = [one.name for one in findings if one.state == "missing"]
        print_json({"lacks": lacks, "findings": [one.as_dict() for one in findings]})
        return
    _print_findings(findings)


def _print_findings(findings: list[Finding]) -> None:
    colour = {"ok": "green", "missing": "red", "info": ""}
    word = {"ok": "ok", "missing": "LACKS", "info": ""}
    label_width = max(len(one.label) for one in findings)
    section = ""
    for one in findings:
        if one.section != section:
            section = one.section
            print(f"\n{paint(section, 'bold cyan')}")
        mark = paint(f"{word[one.state]:5}", colour[one.state])
        print(f"  {mark}  {one.label:{label_width}}  {one.value}")
        if one.advice:
            print(f"  {'':5}  {'':{label_width}}  {paint(one.advice, 'dim')}")
    lacks = [one.label for one in findings if one.state == "missing"]
    print(f"\n{'This machine lacks: ' + ', '.join(lacks) if lacks else 'Nothing is wrong.'}")
