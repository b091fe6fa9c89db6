"""2D classification: average particles that look alike."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_continuation, needed
from vitreous.jobs.shared import Compute, CtfModel, Running
from vitreous.project.clean_rules import Cleanup, Iterations
from vitreous.project.node_types import OPTIMISER, PARTICLES


@job(
    "relion.class2d",
    folder="Class2D",
    gui_name="2D classification",
    number=8,
    hidden_prefix=".gui_class2d",
    place=7,
)
class Class2D(Options):
    """Sort particles into classes and average each."""

    particles: str = option(
        default="",
        key="fn_img",
        label="Particles",
        relion_label="Input images STAR file:",
        help="Particles to work on, from an Extract, Select or another refinement job.",
        reads=PARTICLES,
        pattern="STAR files (*.star) \t Image stacks (not recommended, read help!) (*.{spi,mrcs})",
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
    ctf: CtfModel = shared(default_factory=CtfModel)
    n_classes: int = option(
        default=1,
        key="nr_classes",
        tab="Optimisation",
        label="Number of classes",
        relion_label="Number of classes:",
        help="50 to 200 for a large set, about one for every 100 to 200 particles in a small one.",
        low=1,
        high=50,
        step=1,
        at_least=1,
    )
    regularisation: float = option(
        default=2,
        key="tau_fudge",
        tab="Optimisation",
        label="Regularisation T",
        relion_label="Regularisation parameter T:",
        help="How far the data are trusted over smoothness: 1 to 2 for 2D averages; higher "
        "shows more detail and more noise.",
        low=0.1,
        high=10,
        step=0.1,
        at_least=0,
        on_continue="free",
    )
    use_em: bool = option(
        default=False,
        key="do_em",
        tab="Optimisation",
        label="Use expectation maximisation",
        relion_label="Use EM algorithm?",
        help="Every iteration uses all particles. The better choice for small sets.",
    )
    n_iterations_em: int = option(
        default=25,
        key="nr_iter_em",
        tab="Optimisation",
        label="Number of iterations",
        relion_label="Number of EM iterations:",
        help="Total number, also when a job goes on. 25 is usual.",
        low=1,
        high=50,
        step=1,
        at_least=1,
        when="use_em",
        on_continue="free",
    )
    use_vdam: bool = option(
        default=True,
        key="do_grad",
        tab="Optimisation",
        label="Use VDAM",
        relion_label="Use VDAM algorithm?",
        help="Gradient descent on growing random subsets: much faster for large sets.",
    )
    n_iterations_vdam: int = option(
        default=200,
        key="nr_iter_grad",
        tab="Optimisation",
        label="Number of VDAM mini-batches",
        relion_label="Number of VDAM mini-batches:",
        help="Total number. 200 is usual; 100 is faster and often enough.",
        low=50,
        high=500,
        step=10,
        at_least=1,
        when="use_vdam",
        on_continue="free",
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
    center_classes: bool = option(
        default=True,
        key="do_center",
        tab="Optimisation",
        label="Centre the averages",
        relion_label="Center class averages?",
        help="Move every average to its centre of mass in each iteration.",
        on_continue="free",
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
    psi_step_deg: float = option(
        default=6,
        key="psi_sampling",
        tab="Sampling",
        label="In-plane step (°)",
        relion_label="In-plane angular sampling:",
        help="Step of the in-plane rotation. 5° to 6° is usual, 2° for high resolution.",
        low=0.5,
        high=20,
        step=0.5,
        at_least=0.01,
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
    is_helix: bool = option(
        default=False,
        key="do_helix",
        tab="Helix",
        label="Helical segments",
        relion_label="Classify 2D helical segments?",
        help="The particles are segments of filaments.",
    )
    tube_diameter_A: float = option(
        default=200,
        key="helical_tube_outer_diameter",
        tab="Helix",
        label="Tube diameter (Å)",
        relion_label="Tube diameter (A): ",
        help="Outer diameter of the filament, for the mask.",
        low=100,
        high=1000,
        step=10,
        at_least=0,
        when="is_helix",
        on_continue="free",
    )
    bimodal_psi: bool = option(
        default=True,
        key="do_bimodal_psi",
        tab="Helix",
        label="Search both directions",
        relion_label="Do bimodal angular searches?",
        help="Search in-plane angles around both directions of the filament.",
        when="is_helix",
        on_continue="free",
    )
    search_psi_deg: float = option(
        default=6,
        key="range_psi",
        tab="Helix",
        label="Search range of psi (°)",
        relion_label="Angular search range - psi (deg):",
        help="Range around the in-plane angle of the filament.",
        low=3,
        high=30,
        step=1,
        when="is_helix",
        on_continue="free",
    )
    restrict_shift_to_rise: bool = option(
        default=True,
        key="do_restrict_xoff",
        tab="Helix",
        label="Limit shifts to the rise",
        relion_label="Restrict helical offsets to rise:",
        help="Shift segments along the filament by half a rise at most.",
        when="is_helix",
        on_continue="free",
    )
    rise_A: float = option(
        default=4.75,
        key="helical_rise",
        tab="Helix",
        label="Helical rise (Å)",
        relion_label="Helical rise (A):",
        help="Rise for that limit. 4.75 Å for amyloids.",
        low=-1,
        high=100,
        step=1,
        off=-1,
        when="is_helix and restrict_shift_to_rise",
        on_continue="free",
    )
    compute: Compute = shared(default_factory=Compute, without=("skip_padding",))
    running: Running = shared(default_factory=Running)

    @property
    def n_iterations(self) -> int:
        """Total number of iterations or mini-batches."""
        return self.n_iterations_em if self.use_em else self.n_iterations_vdam

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        yield from check_continuation(self, start)
        if self.use_em == self.use_vdam:
            yield Problem("use_em", "switch exactly one on: expectation maximisation or VDAM")
        if self.use_vdam and self.running.n_ranks > 1:
            yield Problem(
                "n_ranks",
                f"is {self.running.n_ranks}; VDAM runs as one process, with many threads or GPUs",
            )
        if start.is_new:
            yield from needed(self, "particles")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.is_helix:
            yield "helical"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the particles of a new job."""
        if start.is_new:
            yield Input("particles")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield particles and state of the last iteration."""
        root = f"run_it{self.n_iterations:03d}"
        yield Output(f"{root}_data.star", f"{PARTICLES}.class2d")
        yield Output(f"{root}_optimiser.star", f"{OPTIMISER}.class2d")

    def cleanup(self) -> Cleanup:
        """Return the files of all iterations but the last."""
        return Cleanup(gentle=(Iterations(),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "best_resolution", "Resolution of the best class", "Å")
        yield Result("headline", "particles", "Particles")
        yield Result("headline", "classes", "Classes with particles")
        yield Result("plot", "occupancy", "Particles in every class")
        yield Result("plot", "changes", "Changes of class and orientation by iteration")
