"""3D classification: sort particles by structure."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_continuation, needed
from vitreous.jobs.shared import SAMPLING, Compute, CtfModel, Helix3D, Reference, Running
from vitreous.project.clean_rules import Cleanup, Iterations
from vitreous.project.node_types import DENSITY_MAP, MASK, OPTIMISER, PARTICLES

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

    particles: str = option(
        default="",
        key="fn_img",
        label="Particles",
        relion_label="Input images STAR file:",
        help="Particles to work on, from an Extract, Select or another refinement job.",
        reads=PARTICLES,
        pattern="STAR files (*.star)",
    )
    map: str = option(
        default="",
        key="fn_ref",
        label="Reference map",
        relion_label="Reference map:",
        help="Map to start from, low-pass filtered first. The word None starts from nothing.",
        reads=DENSITY_MAP,
        pattern="Image Files (*.{spi,vol,mrc})",
    )
    mask: str = option(
        default="",
        key="fn_mask",
        label="Mask",
        relion_label="Reference mask (optional):",
        help="Soft mask of the particle, values 0 to 1. Empty uses a sphere of the mask diameter.",
        reads=MASK,
        pattern="Image Files (*.{spi,vol,msk,mrc})",
        on_continue="free",
    )
    continue_from: str = option(
        default="",
        key="fn_cont",
        label="Continue from",
        relion_label="Continue from here: ",
        help="Optimiser file of the iteration to go on from, such as run_it017_optimiser.star "
        "of this job.",
        pattern="STAR Files (*_optimiser.star)",
        directory="CURRENT_ODIR",
        on_continue="only",
    )
    reference: Reference = shared(default_factory=Reference)
    ctf: CtfModel = shared(default_factory=CtfModel)
    n_classes: int = option(
        default=1,
        key="nr_classes",
        tab="Optimisation",
        label="Number of classes",
        relion_label="Number of classes:",
        help="How many maps to sort into: 3 to 8 is usual.",
        low=1,
        high=50,
        step=1,
        at_least=1,
    )
    regularisation: float = option(
        default=4,
        key="tau_fudge",
        tab="Optimisation",
        label="Regularisation T",
        relion_label="Regularisation parameter T:",
        help="How far the data are trusted over smoothness. 4 is usual; 10 to 40 when particles "
        "are not aligned.",
        low=0.1,
        high=10,
        step=0.1,
        at_least=0,
        on_continue="free",
    )
    n_iterations: int = option(
        default=25,
        key="nr_iter",
        tab="Optimisation",
        label="Number of iterations",
        relion_label="Number of iterations:",
        help="Total number, also when a job goes on. 25 is usual.",
        low=1,
        high=50,
        step=1,
        at_least=1,
        on_continue="free",
    )
    fast_subsets: bool = option(
        default=False,
        key="do_fast_subsets",
        tab="Optimisation",
        label="Use fast subsets",
        relion_label="Use fast subsets (for large data sets)?",
        help="First iterations on random subsets, for sets of several 100,000 particles.",
    )
    mask_diameter_A: float = option(
        default=200,
        key="particle_diameter",
        tab="Optimisation",
        label="Mask diameter (Å)",
        relion_label="Mask diameter (A):",
        help="Diameter of the soft circular mask around each particle: 10 to 20 % more than the "
        "particle's longest axis.",
        low=0,
        high=1000,
        step=10,
        at_least=0,
        on_continue="free",
    )
    mask_with_zeros: bool = option(
        default=True,
        key="do_zero_mask",
        tab="Optimisation",
        label="Mask particles with zeros",
        relion_label="Mask individual particles with zeros?",
        help="Fill the outside of the mask with zeros. No fills it with noise: use that where "
        "density reaches beyond the mask.",
    )
    resolution_limit_A: float = option(
        default=-1,
        key="highres_limit",
        tab="Optimisation",
        label="Limit resolution to (Å)",
        relion_label="Limit resolution E-step to (A): ",
        help="Use no data beyond this resolution to align and classify. -1 has no limit; 10 to "
        "15 Å prevents overfitting of hard 2D cases.",
        low=-1,
        high=20,
        step=1,
        off=-1,
    )
    use_blush: bool = option(
        default=False,
        key="do_blush",
        tab="Optimisation",
        label="Use Blush regularisation",
        relion_label="Use Blush regularisation?",
        help="Denoise the map with a trained network in every iteration instead of assuming "
        "smoothness. Helps with small or noisy particles; needs the network.",
    )
    align: bool = option(
        default=True,
        key="dont_skip_align",
        tab="Sampling",
        label="Align the images",
        relion_label="Perform image alignment?",
        help="Search orientations. No classifies with the orientations that the particles came "
        "with.",
        on_continue="free",
    )
    angular_sampling: str = option(
        default="7.5 degrees",
        key="sampling",
        tab="Sampling",
        label="Angular step",
        relion_label="Angular sampling interval:",
        help="Step of the search of orientations. 7.5 degrees is usual; 3.7 degrees for "
        "icosahedral particles.",
        choices=SAMPLING,
        when="align",
        on_continue="free",
    )
    shift_range_px: float = option(
        default=5,
        key="offset_range",
        tab="Sampling",
        label="Range of shifts (px)",
        relion_label="Offset search range (pix):",
        help="Shifts are searched in a circle of this radius, around those of the last iteration.",
        low=0,
        high=30,
        step=1,
        at_least=0,
        when="align",
        on_continue="free",
    )
    shift_step_px: float = option(
        default=1,
        key="offset_step",
        tab="Sampling",
        label="Step of shifts (px)",
        relion_label="Offset search step (pix):",
        help="Step of the search for shifts.",
        low=0.1,
        high=5,
        step=0.1,
        at_least=0.01,
        when="align",
        on_continue="free",
    )
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
        default="",
        key="relax_sym",
        tab="Sampling",
        label="Relax symmetry",
        relion_label="Relax symmetry:",
        help="Point group whose copies of each orientation are tried too, where a particle is "
        "only nearly symmetric. Usually empty.",
        when="align and search_locally",
        on_continue="free",
    )
    allow_coarser: bool = option(
        default=False,
        key="allow_coarser",
        tab="Sampling",
        label="Allow coarser sampling",
        relion_label="Allow coarser sampling?",
        help="Use coarser angles and shifts in early iterations, as far as the estimated "
        "accuracy allows. Faster.",
        when="align",
        on_continue="free",
    )
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
        root = f"run_it{self.n_iterations:03d}"
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
        yield Result("plot", "changes", "Changes of class and orientation by iteration")
        yield Result("plot", "directions", "Distribution of directions")
