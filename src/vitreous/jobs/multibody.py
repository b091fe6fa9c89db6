"""3D multi-body: refine parts that move against each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Compute, Running
from vitreous.project.clean_rules import Cleanup, Iterations
from vitreous.project.node_types import DENSITY_MAP, LOG_PDF, OPTIMISER, PARTICLES

# From here on a limit of a component does not appear in a file name.
_FAR = 99998
_ITERATION = re.compile(r"_it(\d{3})(?!.*_it)")


@job(
    "relion.multibody",
    folder="MultiBody",
    gui_name="3D multi-body",
    number=19,
    hidden_prefix=".gui_multibody",
    place=11,
)
class MultiBody(Options):
    """Refine rigid parts of a particle separately and analyse how they move."""

    consensus: str = option(
        default="",
        key="fn_in",
        label="Consensus refinement",
        relion_label="Consensus refinement optimiser.star: ",
        help="Optimiser file of the last iteration of a Refine3D job, run_itNNN_optimiser.star.",
        pattern="STAR Files (run_it*_optimiser.star)",
        directory="Refine3D/.",
    )
    continue_from: str = option(
        default="",
        like=common.CONTINUE_FROM,
        help="Optimiser file of the iteration to go on from. Empty only repeats the analysis of "
        "a finished job.",
    )
    bodies: str = option(
        default="",
        key="fn_bodies",
        label="List of bodies",
        relion_label="Body STAR file:",
        help="STAR file with a mask, the body it moves against, and the sizes of the motions, "
        "for each body; larger bodies first.",
        pattern="STAR Files (*.{star})",
        directory=".",
    )
    subtract_other_bodies: bool = option(
        default=True,
        key="do_subtracted_bodies",
        label="Subtract other bodies",
        relion_label="Reconstruct subtracted bodies?",
        help="Reconstruct each body from images with the others subtracted.",
    )
    use_blush: bool = option(default=False, like=common.USE_BLUSH)
    angular_sampling: str = option(
        default="1.8 degrees",
        like=common.FIRST_ANGULAR_SAMPLING,
        help="Step of the first search, around the orientations of the consensus. 1.8 degrees "
        "is usual.",
    )
    shift_range_px: float = option(default=3, like=common.FIRST_SHIFT_RANGE)
    shift_step_px: float = option(default=0.75, like=common.FIRST_SHIFT_STEP)
    analyse: bool = option(
        default=True,
        key="do_analyse",
        tab="Analyse",
        label="Analyse the motions",
        relion_label="Run flexibility analysis?",
        help="Principal components of the relative motions of the bodies.",
        on_continue="free",
    )
    n_components: int = option(
        default=3,
        key="nr_movies",
        tab="Analyse",
        label="Number of movies",
        relion_label="Number of eigenvector movies:",
        help="For so many components a series of maps along the motion is made.",
        low=0,
        high=16,
        step=1,
        at_least=0,
        when="analyse",
        on_continue="free",
    )
    select_particles: bool = option(
        default=False,
        key="do_select",
        tab="Analyse",
        label="Select particles by component",
        relion_label="Select particles based on eigenvalues?",
        help="Write the particles with a component within the limits below.",
        when="analyse",
        on_continue="free",
    )
    component: int = option(
        default=1,
        key="select_eigenval",
        tab="Analyse",
        label="Component",
        relion_label="Select on eigenvalue:",
        help="Which component, from 1: the largest motion.",
        low=1,
        high=20,
        step=1,
        at_least=1,
        when="analyse and select_particles",
        on_continue="free",
    )
    component_min: float = option(
        default=-999,
        key="eigenval_min",
        tab="Analyse",
        label="Smallest value",
        relion_label="Minimum eigenvalue:",
        help="Particles below are left out. -999 has no limit.",
        low=-50,
        high=50,
        step=1,
        off=-999,
        when="analyse and select_particles",
        on_continue="free",
    )
    component_max: float = option(
        default=999,
        key="eigenval_max",
        tab="Analyse",
        label="Largest value",
        relion_label="Maximum eigenvalue:",
        help="Particles above are left out. 999 has no limit.",
        low=-50,
        high=50,
        step=1,
        off=999,
        when="analyse and select_particles",
        on_continue="free",
    )
    compute: Compute = shared(default_factory=Compute)
    running: Running = shared(default_factory=Running)

    def refines(self, start: Start) -> bool:
        """Tell whether bodies are refined, not only motions analysed."""
        return start.is_new or bool(self.continue_from)

    def root(self, start: Start) -> str:
        """Return the beginning of the names of output files."""
        if start.is_new:
            return "run"
        iteration = _ITERATION.search(self.continue_from)
        return f"run_ct{int(iteration[1])}" if iteration else "run_ct0"

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if not start.exists(self.bodies):
            found = f"is {self.bodies}, which does not exist" if self.bodies else "is empty"
            yield Problem("bodies", f"{found}; give a STAR file that lists the masks of the bodies")
        if start.is_continue and self.continue_from and not _ITERATION.search(self.continue_from):
            yield Problem(
                "continue_from",
                f"is {self.continue_from}; give the run_itNNN_optimiser.star of an iteration",
            )
        if start.is_continue and not self.continue_from and not self.analyse:
            yield Problem(
                "continue_from", "is empty and no analysis is wanted: there is nothing to do"
            )
        if self.analyse and self.select_particles and self.component_min >= self.component_max:
            yield Problem(
                "component_min",
                f"is {self.component_min:g}, which is not below {self.component_max:g}",
            )

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the consensus refinement of a new job."""
        if start.is_new:
            yield Input("consensus", f"{OPTIMISER}.refine3d")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield a half-map of every body, and what the analysis makes."""
        if self.refines(start):
            n_bodies, root = start.rows(self.bodies), self.root(start)
            names = [f"body{number:03d}" for number in range(1, n_bodies + 1)]
            for name in names if n_bodies > 1 else ["class001"]:
                yield Output(
                    f"{root}_half1_{name}_unfil.mrc", f"{DENSITY_MAP}.relion.halfmap.multibody"
                )
        if self.analyse and self.select_particles:
            yield Output(self._selection(), f"{PARTICLES}.flexanalysis.eigenselected")
        if self.analyse:
            yield Output("analyse_logfile.pdf", f"{LOG_PDF}.flexanalysis")

    def _selection(self) -> str:
        name = f"analyse_eval{self.component:03d}_select"
        low, high = round(self.component_min), round(self.component_max)
        if low > -_FAR:
            name += f"_min{low}"
        if high < _FAR:
            name += f"_max{high}"
        return f"{name}.star"

    def cleanup(self) -> Cleanup:
        """Return the files of all iterations but the last; harshly the series of maps too."""
        series = "analyse_component???_bin???.mrc"
        return Cleanup(gentle=(Iterations(),), harsh=(Iterations(also=(series,)),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "bodies", "Bodies")
        yield Result("headline", "resolution", "Resolution of the best body", "Å")
        yield Result("plot", "fsc", "Fourier shell correlation of every body")
        if self.analyse:
            yield Result("headline", "variance", "Motion in the first three components", "%")
            yield Result("plot", "components", "Motion explained by each component")
            yield Result("plot", "amplitudes", "Distribution of amplitudes")
