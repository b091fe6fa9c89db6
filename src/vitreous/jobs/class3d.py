"""3D classification: sort particles by structure."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common, refinement_results
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_continuation, needed, run_root
from vitreous.jobs.shared import Compute, CtfModel, Helix3D, Reference, Running
from vitreous.project.clean_rules import Cleanup, Iterations
from vitreous.project.node_types import DENSITY_MAP, OPTIMISER, PARTICLES

# What stands for "no reference".
NO_MAP = "None"


@job(
    "relion.class3d",
    folder="Class3D",
    gui_name="3D classification",
    number=9,
    hidden_prefix=".gui_class3d",
    place=9,
)
class Class3D(Options):
    """Sort particles into several maps."""

    particles: str = option(default="", like=common.INPUT_PARTICLES)
    map: str = option(
        default="",
        like=common.REFERENCE_MAP,
        help="Map to start from, low-pass filtered first. The word None starts from nothing.",
    )
    mask: str = option(default="", like=common.REFERENCE_MASK)
    continue_from: str = option(default="", like=common.CONTINUE_FROM)
    reference: Reference = shared(default_factory=Reference)
    ctf: CtfModel = shared(default_factory=CtfModel)
    n_classes: int = option(
        default=1, like=common.N_CLASSES, help="How many maps to sort into: 3 to 8 is usual."
    )
    regularisation: float = option(
        default=4,
        like=common.REGULARISATION,
        help="How far the data are trusted over smoothness. 4 is usual; 10 to 40 when particles "
        "are not aligned.",
    )
    n_iterations: int = option(
        default=25, like=common.N_ITERATIONS, key="nr_iter", relion_label="Number of iterations:"
    )
    fast_subsets: bool = option(
        default=False,
        key="do_fast_subsets",
        tab="Optimisation",
        label="Use fast subsets",
        relion_label="Use fast subsets (for large data sets)?",
        help="First iterations on random subsets, for sets of several 100,000 particles.",
    )
    mask_diameter_A: float = option(default=200, like=common.MASK_DIAMETER)
    mask_with_zeros: bool = option(default=True, like=common.MASK_WITH_ZEROS)
    resolution_limit_A: float = option(default=-1, like=common.RESOLUTION_LIMIT)
    use_blush: bool = option(default=False, like=common.USE_BLUSH, tab="Optimisation")
    align: bool = option(default=True, like=common.ALIGN)
    angular_sampling: str = option(
        default="7.5 degrees",
        key="sampling",
        tab="Sampling",
        label="Angular step",
        relion_label="Angular sampling interval:",
        help="Step of the search of orientations. 7.5 degrees is usual; 3.7 degrees for "
        "icosahedral particles.",
        choices=common.SAMPLING,
        when="align",
        on_continue="free",
    )
    shift_range_px: float = option(default=5, like=common.SHIFT_RANGE)
    shift_step_px: float = option(default=1, like=common.SHIFT_STEP)
    search_locally: bool = option(
        default=False,
        key="do_local_ang_searches",
        tab="Sampling",
        label="Search locally",
        relion_label="Perform local angular searches?",
        help="Search only near the orientations that the particles have.",
        when="align",
        on_continue="free",
    )
    local_range_deg: float = option(
        default=5,
        key="sigma_angles",
        tab="Sampling",
        label="Local range (°)",
        relion_label="Local angular search range:",
        help="How far from the present orientation to search.",
        low=0,
        high=15,
        step=0.1,
        at_least=0,
        when="align and search_locally",
        on_continue="free",
    )
    relax_point_group: str = option(
        default="", like=common.RELAX_POINT_GROUP, tab="Sampling", when="align and search_locally"
    )
    allow_coarser: bool = option(default=False, like=common.ALLOW_COARSER)
    helix: Helix3D = shared(default_factory=Helix3D)
    compute: Compute = shared(default_factory=Compute)
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        yield from check_continuation(self, start, of_iteration=False)
        if start.is_new:
            yield from needed(self, "particles")
            yield from needed(self, "map", f"or the word {NO_MAP}")
        if self.compute.use_gpu and not self.align:
            yield Problem("use_gpu", "is Yes, which needs alignment of the images; switch one")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if start.is_new and self.helix.is_helix:
            yield "helical"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield particles and reference of a new job, and the mask."""
        if start.is_new:
            yield Input("particles")
            if self.map != NO_MAP:
                yield Input("map")
        yield Input("mask")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield particles, state and maps of the last iteration, with RELION's own labels."""
        n = self.n_iterations
        root = f"{run_root(self, start, n)}_it{n:03d}"
        yield Output(f"{root}_data.star", f"{PARTICLES}.refine3d")
        yield Output(f"{root}_optimiser.star", f"{OPTIMISER}.class3d")
        for number in range(1, self.n_classes + 1):
            yield Output(f"{root}_class{number:03d}.mrc", f"{DENSITY_MAP}.relion.class3d")

    def cleanup(self) -> Cleanup:
        """Return the files of all iterations but the last."""
        return Cleanup(gentle=(Iterations(),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "best_resolution", "Resolution of the best class", "Å")
        yield Result("headline", "largest_class", "Particles in the largest class", "%")
        yield Result("headline", "particles", "Particles")
        yield Result("plot", "occupancy", "Particles in every class by iteration")
        yield Result("plot", "directions", "Distribution of directions")
        yield refinement_results.signal()
        yield from refinement_results.by_iteration()
