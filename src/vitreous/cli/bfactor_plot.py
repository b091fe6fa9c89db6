"""The command that refines subsets of the particles: resolution against their number."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vitreous.cli.options import HERE, Json, ProjectDir, open_project
from vitreous.cli.output import print_json, warn


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bfactor-plot", rich_help_panel="Jobs")(bfactor_plot)


def bfactor_plot(
    refinement: Annotated[
        str, typer.Argument(metavar="REFINE3D", help="Finished refinement of all particles.")
    ],
    postprocess: Annotated[
        str, typer.Argument(metavar="POSTPROCESS", help="Post-processing of that refinement.")
    ],
    minimum_nr_particles: Annotated[
        int,
        typer.Option(
            "--minimum_nr_particles", help="Particles of the smallest subset; doubled from there."
        ),
    ] = 100,
    maximum_nr_particles: Annotated[
        int, typer.Option("--maximum_nr_particles", help="No larger subset than this.")
    ] = 10**9,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="DIR", help="Folder of the results.")
    ] = "BfactorPlot",
    random_seed: Annotated[
        int, typer.Option("--random_seed", help="Of the draw of the subsets.")
    ] = 1,
    project: ProjectDir = HERE,
    json: Json = False,
) -> None:
    """Refine subsets of the particles; plot resolution against their number and fit a B-factor.

    The same call goes on where it was stopped.
    """
    from vitreous.actions import bfactor_plot as action

    wanted = action.Wanted(
        refinement,
        postprocess,
        minimum_nr_particles,
        maximum_nr_particles,
        output,
        random_seed,
    )
    echo = (lambda line: print(line, file=sys.stderr)) if json else print
    results = action.plot(open_project(project), wanted, echo)
    if json:
        print_json(results)
        return
    for one in results["headline"]:
        value = f"{one['value']:.4g}" if isinstance(one["value"], float) else one["value"]
        print(f"{one['label']}: {value} {one['unit']}".rstrip())
    for one in results["warnings"]:
        warn(one["what"])
    print(f"{output}/logfile.pdf")
