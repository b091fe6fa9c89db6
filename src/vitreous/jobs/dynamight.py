"""DynaMight flexibility: continuous motion with a network."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.node_types import DENSITY_MAP, PARTICLES


@job(
    "dynamight",
    folder="DynaMight",
    gui_name="DynaMight flexibility",
    number=22,
    hidden_prefix=".gui_dynamight",
    place=15,
)
class DynaMight(Options):
    """Model continuous motion of a particle with a neural network."""

    particles: str = option(
        default="",
        key="fn_star",
        label="Particles",
        relion_label="Input images STAR file:",
        help="Refined particles, of a Refine3D job.",
        reads=PARTICLES,
        pattern=common.IMAGES_OR_STAR,
    )
    map: str = option(
        default="",
        key="fn_map",
        label="Consensus map",
        relion_label="Consensus map:",
        help="Map of the same refinement.",
        reads=DENSITY_MAP,
        pattern="Image Files (*.{spi,vol,mrc})",
    )
    n_gaussians: int = option(
        default=10000,
        key="nr_gaussians",
        label="Number of Gaussians",
        relion_label="Number of Gaussians: ",
        help="How many pseudo-atoms describe the map: about one for every two residues.",
        low=5000,
        high=40000,
        step=1000,
        at_least=1,
    )
    threshold: float | None = option(
        default=None,
        key="initial_threshold",
        label="Threshold of the map",
        relion_label="Initial map threshold (optional): ",
        help="Density from which on Gaussians are placed. Empty chooses one.",
    )
    regularisation: float = option(
        default=1,
        key="reg_factor",
        label="Regularisation",
        relion_label="Regularization factor: ",
        help="Weight of the restraints on neighbouring Gaussians; more makes motion smoother.",
        low=0.2,
        high=5,
        step=0.1,
    )
    dynamight_program: str = option(
        default="relion_python_dynamight",
        key="fn_dynamight_exe",
        label="DynaMight program",
        relion_label="DynaMight executable:",
        help="Command that starts DynaMight.",
    )
    gpu_id: str = option(
        default="0",
        key="gpu_id",
        label="Which GPU",
        relion_label="Which (single) GPU to use:",
        help="Number of the GPU; DynaMight uses one.",
        on_continue="free",
    )
    preload_images: bool = option(
        default=False,
        key="do_preload",
        label="Keep images in memory",
        relion_label="Preload images in RAM?",
        help="Faster, where they fit.",
        on_continue="free",
    )
    checkpoint: str = option(
        default="",
        key="fn_checkpoint",
        tab="Tasks",
        label="Checkpoint",
        relion_label="Checkpoint file:",
        help="State of the network to use. Empty takes the latest of this job.",
        pattern="Checkpoint files (*.pth)",
        directory="CURRENT_ODIR/forward_deformations/checkpoints",
        on_continue="only",
    )
    visualise: bool = option(
        default=False,
        key="do_visualize",
        tab="Tasks",
        label="Look at the motion",
        relion_label="Do visualization?",
        help="Open a window with the latent space of the particles.",
        on_continue="only",
    )
    half_set: int = option(
        default=1,
        key="halfset",
        tab="Tasks",
        label="Half-set to look at",
        relion_label="Half-set to visualize: ",
        help="1 or 2; 0 is the validation set.",
        low=0,
        high=2,
        step=1,
        at_least=0,
        at_most=2,
        when="visualise",
        on_continue="free",
    )
    estimate_inverse: bool = option(
        default=False,
        key="do_inverse",
        tab="Tasks",
        label="Estimate inverse deformations",
        relion_label="Do inverse-deformation estimation?",
        help="Train the network that undoes the motion. Needed before the reconstruction.",
        on_continue="only",
    )
    n_epochs: int = option(
        default=200,
        key="nr_epochs",
        tab="Tasks",
        label="Number of epochs",
        relion_label="Number of epochs to perform: ",
        help="Epochs of that training. 200 is usual.",
        low=50,
        high=500,
        step=10,
        at_least=1,
        when="estimate_inverse",
        on_continue="free",
    )
    store_deformations: bool = option(
        default=False,
        key="do_store_deform",
        tab="Tasks",
        label="Keep deformations in memory",
        relion_label="Store deformations in RAM?",
        help="Faster, where they fit.",
        when="estimate_inverse",
        on_continue="free",
    )
    reconstruct: bool = option(
        default=False,
        key="do_reconstruct",
        tab="Tasks",
        label="Reconstruct without motion",
        relion_label="Do deformed backprojection?",
        help="Reconstruct half-maps from particles whose motion is undone.",
        on_continue="only",
    )
    batch_size: int = option(
        default=10,
        key="backproject_batchsize",
        tab="Tasks",
        label="Particles at a time",
        relion_label="Backprojection batchsize: ",
        help="Particles on the GPU at once; less if its memory runs out.",
        low=1,
        high=500,
        step=10,
        at_least=1,
        when="reconstruct",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks",))

    def task(self, start: Start) -> str:
        """Return which of its tasks the job does; a new one trains."""
        tasks = {
            "visualise": self.visualise,
            "inverse": self.estimate_inverse,
            "reconstruct": self.reconstruct,
        }
        if start.is_new:
            return "train"
        return next((task for task, is_on in tasks.items() if is_on), "train")

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        tasks = self.visualise + self.estimate_inverse + self.reconstruct
        if start.is_continue and tasks != 1:
            yield Problem("", "switch exactly one task on: look, estimate inverse, or reconstruct")

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield particles and map of a new job."""
        if start.is_new:
            yield Input("particles")
            yield Input("map")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the half-maps of a reconstruction."""
        if self.task(start) == "reconstruct":
            for half in ("half1", "half2"):
                yield Output(
                    f"backprojection/map_{half}.mrc", f"{DENSITY_MAP}.relion.halfmap.dynamight"
                )
