"""3D initial reference: a first map from particles alone."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common, refinement_results
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_continuation, needed, run_root
from vitreous.jobs.shared import Compute, CtfModel, Running
from vitreous.project.clean_rules import Cleanup, Iterations
from vitreous.project.node_types import DENSITY_MAP


@job(
    "relion.initialmodel",
    folder="InitialModel",
    gui_name="3D initial reference",
    number=18,
    hidden_prefix=".gui_inimodel",
    place=8,
)
class InitialModel(Options):
    """Make a first map from particles alone."""

    particles: str = option(default="", like=common.INPUT_PARTICLES, pattern=common.IMAGES_OR_STAR)
    continue_from: str = option(default="", like=common.CONTINUE_FROM)
    ctf: CtfModel = shared(default_factory=CtfModel)
    n_iterations: int = option(default=200, like=common.N_MINI_BATCHES, key="nr_iter")
    regularisation: float = option(
        default=4,
        like=common.REGULARISATION,
        help="How far the data are trusted over smoothness. 4 is usual.",
    )
    n_classes: int = option(
        default=1,
        like=common.N_CLASSES,
        help="More than 1 lets bad particles go to classes of their own.",
    )
    mask_diameter_A: float = option(default=200, like=common.MASK_DIAMETER)
    flatten_solvent: bool = option(
        default=True,
        key="do_solvent",
        tab="Optimisation",
        label="Flatten the solvent",
        relion_label="Flatten and enforce non-negative solvent?",
        help="Mask the map with a sphere and allow no negative density: finds the right "
        "solution more often.",
    )
    point_group: str = option(
        default="C1",
        like=common.POINT_GROUP,
        tab="Optimisation",
        help="Point group of the particle: C1, C4, D2, T, O, I1 and so on.",
    )
    symmetrise_later: bool = option(
        default=True,
        key="do_run_C1",
        tab="Optimisation",
        label="Run in C1 and apply symmetry later",
        relion_label="Run in C1 and apply symmetry later? ",
        help="Find the map without symmetry, then turn it to its axes and symmetrise: succeeds "
        "more often.",
    )
    compute: Compute = shared(default_factory=Compute, without=("skip_padding",))
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.running.n_ranks > 1:
            yield Problem(
                "n_ranks",
                f"is {self.running.n_ranks}; this runs as one process, with many threads or GPUs",
            )
        yield from check_continuation(self, start, of_iteration=False)
        if start.is_new:
            yield from needed(self, "particles")

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the particles of a new job."""
        if start.is_new:
            yield Input("particles")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the final map, and the map of every class where there are several."""
        yield Output("initial_model.mrc", f"{DENSITY_MAP}.relion.initialmodel")
        n = self.n_iterations
        root = f"{run_root(self, start, n)}_it{n:03d}"
        for number in range(1, self.n_classes + 1 if self.n_classes > 1 else 1):
            yield Output(f"{root}_class{number:03d}.mrc", f"{DENSITY_MAP}.relion.initialmodel")

    def cleanup(self) -> Cleanup:
        """Return the files of all iterations but the last."""
        return Cleanup(gentle=(Iterations(),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "resolution", "Resolution of the map", "Å")
        yield Result("headline", "particles", "Particles")
        yield Result("headline", "agreement", "Symmetry mates agree to", "Å")
        yield Result("plot", "occupancy", "Particles in every class")
        yield Result("plot", "directions", "Distribution of directions")
        yield refinement_results.signal()
        yield from refinement_results.by_iteration()
