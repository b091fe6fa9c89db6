"""2D classification: average particles that look alike."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common, refinement_results
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_continuation, needed, run_root
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

    particles: str = option(default="", like=common.INPUT_PARTICLES, pattern=common.IMAGES_OR_STAR)
    continue_from: str = option(default="", like=common.CONTINUE_FROM)
    ctf: CtfModel = shared(default_factory=CtfModel)
    n_classes: int = option(
        default=1,
        like=common.N_CLASSES,
        help="50 to 200 for a large set, about one for every 100 to 200 particles in a small one.",
    )
    regularisation: float = option(
        default=2,
        like=common.REGULARISATION,
        help="How far the data are trusted over smoothness: 1 to 2 for 2D averages; higher "
        "shows more detail and more noise.",
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
        like=common.N_ITERATIONS,
        key="nr_iter_em",
        relion_label="Number of EM iterations:",
        when="use_em",
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
        default=200, like=common.N_MINI_BATCHES, key="nr_iter_grad", when="use_vdam"
    )
    mask_diameter_A: float = option(default=200, like=common.MASK_DIAMETER)
    mask_with_zeros: bool = option(default=True, like=common.MASK_WITH_ZEROS)
    resolution_limit_A: float = option(default=-1, like=common.RESOLUTION_LIMIT)
    center_classes: bool = option(
        default=True,
        key="do_center",
        tab="Optimisation",
        label="Centre the averages",
        relion_label="Center class averages?",
        help="Move every average to its centre of mass in each iteration.",
        on_continue="free",
    )
    align: bool = option(default=True, like=common.ALIGN)
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
    shift_range_px: float = option(default=5, like=common.SHIFT_RANGE)
    shift_step_px: float = option(default=1, like=common.SHIFT_STEP)
    allow_coarser: bool = option(default=False, like=common.ALLOW_COARSER)
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
        like=common.TUBE_DIAMETER,
        help="Outer diameter of the filament, for the mask.",
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
        like=common.RISE,
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
        n = self.n_iterations
        root = f"{run_root(self, start, n)}_it{n:03d}"
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
        yield Result("plot", "class_sizes", "Sizes of the classes by iteration")
        yield refinement_results.signal()
        yield from refinement_results.by_iteration()
