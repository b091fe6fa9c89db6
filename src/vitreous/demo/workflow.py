"""From movies to a sharpened map of beta-galactosidase, in ordinary jobs of an ordinary project.

This is what ``vitreous demo`` runs, and a script to copy and change: each step names a job type,
gives the job an alias, and sets the options that differ from the defaults; ``vitreous describe
JOBTYPE`` tells what else there is. The output of a step is the input of the next. Steps that are
done are not done again (`vitreous.demo.steps`), so the script can be stopped and run at any time:
``python workflow.py`` in the folder of the project.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import Any

from vitreous import Project
from vitreous.actions.job import Job
from vitreous.demo.steps import Steps
from vitreous.io.atomic import write_text


@dataclass(frozen=True)
class Size:
    """How large a demonstration is, and which share of its time each step may take.

    Parameters
    ----------
    minutes
        What all of it may take on two cores.
    n_movies, n_particles, side_px, n_frames
        Movies, particles in each, side of a frame, frames.
    scaled_box_px
        Side of the particle images, which are 256 Å wide.
    n_classes, n_iterations
        Of the 2D classification.
    descent, sorting
        Iterations of InitialModel and Class3D.
    local_sampling
        From which step on Refine3D searches near the last orientation only.
    shares_s
        Seconds that each step may take.
    """

    minutes: int
    n_movies: int
    n_particles: int
    side_px: int
    n_frames: int
    scaled_box_px: int
    n_classes: int
    n_iterations: int
    descent: int
    sorting: int
    shares_s: dict[str, int]


PIXEL_A = 2.0
DOSE_PER_FRAME = 3.5
BOX_A = 256.0
DIAMETER_A = 200
POINT_GROUP = "D2"

_STEPS = (
    "microscope", "movies", "aligned", "ctf", "picks", "particles", "classes", "good", "first_map",
    "sorted", "refined", "mask", "sharpened", "local_resolution", "truth",
)  # fmt: skip


def _shares(*seconds: int) -> dict[str, int]:
    return dict(zip(_STEPS, seconds, strict=True))


SIZES = {
    "tiny": Size(
        2, 5, 40, 768, 8, 64, 6, 10, 50, 4,
        _shares(14, 2, 9, 7, 5, 3, 8, 4, 28, 6, 10, 3, 5, 5, 11),
    ),
    "small": Size(
        6, 20, 60, 1024, 12, 128, 12, 20, 50, 8,
        _shares(70, 3, 50, 15, 5, 4, 50, 4, 70, 12, 55, 3, 6, 6, 7),
    ),
    "medium": Size(
        60, 40, 100, 1536, 16, 128, 24, 25, 150, 15,
        _shares(600, 10, 450, 120, 60, 60, 400, 20, 500, 300, 800, 20, 40, 60, 120),
    ),
}  # fmt: skip


def solve(project: Project, size: Size, do: Steps, n_threads: int = 2) -> dict[str, Job]:
    """Run every step that is not done, and return the jobs by alias.

    Parameters
    ----------
    project
        The project; empty, or one that this function has worked on before.
    size
        How much there is to do.
    do
        Runs one step.
    n_threads
        Cores to use.
    """
    made: dict[str, Job] = {}

    def step(alias: str, job_type: str, **options: Any) -> Job:  # noqa: ANN401 - any option
        made[alias] = do(alias, job_type, **options)
        return made[alias]

    threads = {"n_threads": n_threads}
    seeded = {"other_arguments": "--random_seed 1", "mask_diameter_A": DIAMETER_A, **threads}

    # Movies. Instead of a microscope there is a program that simulates one: an External job.
    program = project.root / "simulate.sh"
    write_text(program, microscope_script(size, n_threads))
    program.chmod(0o755)
    microscope = step("microscope", "external", executable="./simulate.sh").name
    movies = step(
        "movies", "import", images=f"{microscope}Movies/*.tiff", pixel_size_A=PIXEL_A,
        mtf=f"{microscope}mtf.star",
    )  # fmt: skip
    aligned = step(
        "aligned", "motioncorr", movies=movies.outputs["movies"],
        dose_per_frame_e_per_A2=DOSE_PER_FRAME, patches_x=3, patches_y=3,
        gain_reference=f"{microscope}gain.mrc", defects=f"{microscope}defects.txt", **threads,
    )  # fmt: skip
    ctf = step(
        "ctf", "ctffind", micrographs=aligned.outputs["micrographs"], max_resolution_A=6,
        max_defocus_A=30000,
    )  # fmt: skip
    micrographs = ctf.outputs["micrographs"]

    # Particles, cleaned by their class averages.
    picks = step(
        "picks", "autopick", micrographs=micrographs, use_log=True, log_min_diameter_A=130,
        log_max_diameter_A=190,
    )  # fmt: skip
    particles = step(
        "particles", "extract", micrographs=micrographs, coordinates=picks.outputs["coordinates"],
        box_px=round(BOX_A / PIXEL_A), scale_down=True, scaled_box_px=size.scaled_box_px,
    )  # fmt: skip
    classes = step(
        "classes", "class2d", particles=particles.outputs["particles"], n_classes=size.n_classes,
        use_vdam=False, use_em=True, n_iterations_em=size.n_iterations, **seeded,
    )  # fmt: skip
    good = step(
        "good", "select", optimiser=classes.outputs["optimiser"], rank_classes=True, min_score=0.3
    ).outputs["particles"]

    # A map from nothing, no finer than a start must be; then sorted, refined, measured.
    seeded_to_20_A = seeded | {"other_arguments": "--random_seed 1 --strict_highres_exp 20"}
    first = step(
        "first_map", "initialmodel", particles=good, n_iterations=size.descent,
        point_group=POINT_GROUP, **seeded_to_20_A,
    ).outputs["map"]  # fmt: skip
    step(
        "sorted", "class3d", particles=good, map=first, n_classes=2, n_iterations=size.sorting,
        point_group=POINT_GROUP, initial_low_pass_A=40, angular_sampling="15 degrees", **seeded,
    )  # fmt: skip
    refined = step(
        "refined", "refine3d", particles=good, map=first, point_group=POINT_GROUP,
        initial_low_pass_A=40, **seeded,
    )  # fmt: skip
    scaled_A = BOX_A / size.scaled_box_px
    mask = step(
        "mask", "maskcreate", map=refined.outputs["map"], threshold=0.1,
        extend_px=round(10 / scaled_A), soft_edge_px=round(20 / scaled_A),
    ).outputs["mask"]  # fmt: skip
    halves = {"half_map": refined.outputs["half_map"], "mask": mask}
    step("sharpened", "postprocess", mtf_pixel_size_A=PIXEL_A, **halves)
    step(
        "local_resolution", "localres", use_resmap=False, built_in=True, pixel_size_A=-1, **halves
    )  # fmt: skip
    return made


def microscope_script(size: Size, n_threads: int) -> str:
    """Return the program that stands for the microscope; an External job calls it."""
    vitreous = f"{shlex.quote(sys.executable)} -P -m vitreous"
    words = [
        f"--n {size.n_movies} --angpix {PIXEL_A:g} --size {size.side_px} {size.side_px}",
        f"--frames {size.n_frames} --dose_per_frame {DOSE_PER_FRAME:g}",
        f"--particles {size.n_particles} --overlap 0.05 --random_seed 1 --j {n_threads}",
    ]
    flags = " \\\n    ".join(words)
    return f"""#!/bin/sh
# The microscope of the demonstration. An External job calls it with --o FOLDER.
set -e
{vitreous} simulate movies --overwrite --o "$2" \\
    {flags}
touch "$2/RELION_JOB_EXIT_SUCCESS"
"""


if __name__ == "__main__":
    here = Project.create()
    solve(here, SIZES["small"], Steps(here))
