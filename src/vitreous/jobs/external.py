"""External: any program, run inside the graph of jobs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Options, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.node_types import (
    COORDINATES,
    DENSITY_MAP,
    MASK,
    MICROGRAPHS,
    MOVIES,
    PARTICLES,
)

N_PARAMETERS = 10


@job(
    "relion.external",
    folder="External",
    gui_name="External",
    number=99,
    hidden_prefix=".gui_external",
    place=22,
)
class External(Options):
    """Run a program of your own as a job of the project."""

    executable: str = option(
        key="fn_exe",
        tab="Input",
        label="Program",
        relion_label="External executable:",
        help="Program or script to start. It gets --o with the job folder, the inputs below and "
        "the number of threads, and says that it is done by making the file "
        "RELION_JOB_EXIT_SUCCESS in its folder.",
        pattern="",
        directory=".",
    )
    movies: str = option(
        default="",
        key="in_mov",
        tab="Input",
        label="Movies",
        relion_label="Input movies: ",
        help="Movies for the program, passed as --in_movies. Leave empty if it takes none.",
        reads=MOVIES,
        pattern="movie STAR file (*.star)",
    )
    micrographs: str = option(
        default="",
        key="in_mic",
        tab="Input",
        label="Micrographs",
        relion_label="Input micrographs: ",
        help="Micrographs for the program, passed as --in_mics. Leave empty if it takes none.",
        reads=MICROGRAPHS,
        pattern="micrographs STAR file (*.star)",
    )
    particles: str = option(
        default="",
        key="in_part",
        tab="Input",
        label="Particles",
        relion_label="Input particles: ",
        help="Particles for the program, passed as --in_parts. Leave empty if it takes none.",
        reads=PARTICLES,
        pattern="particles STAR file (*.star)",
    )
    coordinates: str = option(
        default="",
        key="in_coords",
        tab="Input",
        label="Coordinates",
        relion_label="Input coordinates: ",
        help="Coordinates for the program, passed as --in_coords. Leave empty if it takes none.",
        reads=COORDINATES,
        pattern="STAR files (coords_suffix*.star)",
    )
    map: str = option(
        default="",
        key="in_3dref",
        tab="Input",
        label="Map",
        relion_label="Input 3D reference: ",
        help="Map for the program, passed as --in_3dref. Leave empty if it takes none.",
        reads=DENSITY_MAP,
        pattern="MRC files (*.mrc)",
    )
    mask: str = option(
        default="",
        key="in_mask",
        tab="Input",
        label="Mask",
        relion_label="Input 3D mask: ",
        help="Mask for the program, passed as --in_mask. Leave empty if it takes none.",
        reads=MASK,
        pattern="MRC files (*.mrc)",
    )
    parameter_1_name: str = option(
        default="",
        key="param1_label",
        tab="Parameters",
        row="Parameter 1",
        label="Name of parameter 1",
        relion_label="Param1 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_1_value: str = option(
        default="",
        key="param1_value",
        tab="Parameters",
        row="Parameter 1",
        label="Value of parameter 1",
        relion_label="Param1 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_2_name: str = option(
        default="",
        key="param2_label",
        tab="Parameters",
        row="Parameter 2",
        label="Name of parameter 2",
        relion_label="Param2 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_2_value: str = option(
        default="",
        key="param2_value",
        tab="Parameters",
        row="Parameter 2",
        label="Value of parameter 2",
        relion_label="Param2 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_3_name: str = option(
        default="",
        key="param3_label",
        tab="Parameters",
        row="Parameter 3",
        label="Name of parameter 3",
        relion_label="Param3 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_3_value: str = option(
        default="",
        key="param3_value",
        tab="Parameters",
        row="Parameter 3",
        label="Value of parameter 3",
        relion_label="Param3 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_4_name: str = option(
        default="",
        key="param4_label",
        tab="Parameters",
        row="Parameter 4",
        label="Name of parameter 4",
        relion_label="Param4 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_4_value: str = option(
        default="",
        key="param4_value",
        tab="Parameters",
        row="Parameter 4",
        label="Value of parameter 4",
        relion_label="Param4 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_5_name: str = option(
        default="",
        key="param5_label",
        tab="Parameters",
        row="Parameter 5",
        label="Name of parameter 5",
        relion_label="Param5 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_5_value: str = option(
        default="",
        key="param5_value",
        tab="Parameters",
        row="Parameter 5",
        label="Value of parameter 5",
        relion_label="Param5 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_6_name: str = option(
        default="",
        key="param6_label",
        tab="Parameters",
        row="Parameter 6",
        label="Name of parameter 6",
        relion_label="Param6 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_6_value: str = option(
        default="",
        key="param6_value",
        tab="Parameters",
        row="Parameter 6",
        label="Value of parameter 6",
        relion_label="Param6 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_7_name: str = option(
        default="",
        key="param7_label",
        tab="Parameters",
        row="Parameter 7",
        label="Name of parameter 7",
        relion_label="Param7 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_7_value: str = option(
        default="",
        key="param7_value",
        tab="Parameters",
        row="Parameter 7",
        label="Value of parameter 7",
        relion_label="Param7 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_8_name: str = option(
        default="",
        key="param8_label",
        tab="Parameters",
        row="Parameter 8",
        label="Name of parameter 8",
        relion_label="Param8 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_8_value: str = option(
        default="",
        key="param8_value",
        tab="Parameters",
        row="Parameter 8",
        label="Value of parameter 8",
        relion_label="Param8 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_9_name: str = option(
        default="",
        key="param9_label",
        tab="Parameters",
        row="Parameter 9",
        label="Name of parameter 9",
        relion_label="Param9 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_9_value: str = option(
        default="",
        key="param9_value",
        tab="Parameters",
        row="Parameter 9",
        label="Value of parameter 9",
        relion_label="Param9 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    parameter_10_name: str = option(
        default="",
        key="param10_label",
        tab="Parameters",
        row="Parameter 10",
        label="Name of parameter 10",
        relion_label="Param10 - label:",
        help="Name of an argument, without its dashes: threshold becomes --threshold.",
        on_continue="free",
    )
    parameter_10_value: str = option(
        default="",
        key="param10_value",
        tab="Parameters",
        row="Parameter 10",
        label="Value of parameter 10",
        relion_label="Param10 - value:",
        help="Value of that argument. Empty makes it a bare switch.",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks",))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield the texts that no shell can read: a quote in them is never closed."""
        parameters = [
            f"parameter_{number}_{part}"
            for number in range(1, N_PARAMETERS + 1)
            for part in ("name", "value")
        ]
        for name in ("executable", *parameters, "other_arguments"):
            try:
                shlex.split(str(self.value(name)))
            except ValueError:
                yield Problem(
                    name,
                    f"is {self.value(name)}, which the shell cannot read: a quote is not closed, "
                    "or a backslash ends it. Put a backslash before a quote that means itself",
                )

    def parameters(self) -> Iterator[tuple[str, str]]:
        """Yield name and value of every argument that has a name."""
        for number in range(1, N_PARAMETERS + 1):
            name = str(self.value(f"parameter_{number}_name"))
            if name:
                yield name, str(self.value(f"parameter_{number}_value"))
