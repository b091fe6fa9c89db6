"""Tools that need numbers: each is a program of its own, started in place of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

import typer

from vitreous.errors import no_package

TOOLS = {
    "simulate": "Make movies, micrographs or particles from a model or a map, with truth files.",
    "reconstruct": "Reconstruct a map from particles and their orientations.",
    "project": "Project a map into images.",
    "fsc": "Fourier shell correlation of two maps.",
    "image": "Convert, filter, rescale and measure images, stacks and maps.",
    "mask": "Make, combine, grow and soften masks.",
    "star": "Inspect, combine, split, sort and edit STAR files.",
    "cryosparc": "Turn particles of cryoSPARC (.cs) into a STAR file, or a STAR file into .cs.",
    "symmetry-expand": "Write each particle once for every operation of a point group.",
    "align-symmetry": "Turn a map so that its symmetry axes stand where a point group has them.",
    "benchmark": "Time programs side by side and write the result as JSON.",
}


def module_of(tool: str) -> str:
    """Return the module that a tool runs."""
    return "vitreous.programs." + tool.replace("-", "_")


def available() -> list[str]:
    """Return the tools whose program is part of this installation."""
    return [tool for tool in TOOLS if find_spec(module_of(tool)) is not None]


def command_line(tool: str, arguments: list[str]) -> list[str]:
    """Return the command that runs a tool; `-P` keeps the current folder off the import path."""
    return [sys.executable, "-P", "-m", module_of(tool), *arguments]


def register(app: typer.Typer) -> None:
    """Add one command for each tool of this installation."""
    everything_passes = {
        "ignore_unknown_options": True,
        "allow_extra_args": True,
        "help_option_names": [],
    }
    for tool in available():
        app.command(
            tool,
            help=TOOLS[tool],
            rich_help_panel="Tools (each has its own --help)",
            add_help_option=False,
            context_settings=everything_passes,
        )(_starter(tool))


def _starter(tool: str) -> Callable[[typer.Context], None]:
    def start(context: typer.Context) -> None:
        if find_spec("torch") is None:  # an installation that is not whole
            raise no_package("torch")
        command = command_line(tool, context.args)
        sys.stdout.flush()
        os.execv(command[0], command)  # the shell sees the tool's own output and exit code

    return start
