"""Bayesian polishing: follow every particle through its movie."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files
from vitreous.project.node_types import LOG_PDF, MICROGRAPHS, PARTICLES, POLISH_PARAMS


@job(
    "relion.polish",
    folder="Polish",
    gui_name="Bayesian polishing",
    number=20,
    hidden_prefix=".gui_bayespolish",
    place=14,
)
class Polish(Options):
    """Follow every particle through its movie and sum its frames anew."""

    micrographs: str = option(
        key="fn_mic",
        label="Micrographs",
        relion_label="Micrographs (from MotionCorr):",
        help="Micrographs of the MotionCorr job, which know their movies and the motion.",
        reads=MICROGRAPHS,
        pattern="STAR files (*.star)",
    )
    particles: str = option(
        key="fn_data",
        label="Particles",
        relion_label="Particles (from Refine3D or CtfRefine):",
        help="Refined particles, of a Refine3D or CtfRefine job.",
        reads=PARTICLES,
        pattern="STAR files (*.star)",
    )
    postprocess: str = option(like=common.POSTPROCESSED)
    first_frame: int = option(
        default=1,
        key="first_frame",
        label="First frame",
        relion_label="First movie frame: ",
        help="Frames count from 1. Usually all frames are used; their weight is found by the job.",
        low=1,
        high=10,
        step=1,
        at_least=1,
    )
    last_frame: int = option(
        default=-1,
        key="last_frame",
        label="Last frame",
        relion_label="Last movie frame: ",
        help="-1 or 0 takes all frames.",
        low=5,
        high=50,
        step=1,
        off=-1,
    )
    box_px: int = option(
        default=-1,
        key="extract_size",
        label="Box (px of the movie)",
        relion_label="Extraction size (pix in unbinned movie):",
        help="Side of the box in pixels of the movie before binning. -1 keeps that of the "
        "particles.",
        low=64,
        high=1024,
        step=8,
        off=-1,
    )
    scaled_box_px: int = option(
        default=-1,
        like=common.SCALED_BOX,
        help="Side of the scaled box. -1 keeps that of the particles.",
        high=1024,
        off=-1,
    )
    write_float16: bool = option(default=True, like=common.WRITE_FLOAT16)
    train: bool = option(
        default=False,
        key="do_param_optim",
        tab="Train",
        label="Train the parameters",
        relion_label="Train optimal parameters?",
        help="Find the three numbers that describe how particles move in this data set. Once "
        "for each, on some thousand particles.",
        on_continue="free",
    )
    test_fraction: float = option(
        default=0.5,
        key="eval_frac",
        tab="Train",
        label="Part of the data for testing",
        relion_label="Fraction of Fourier pixels for testing: ",
        help="Part of the Fourier pixels that judge the parameters. 0.5 is usual.",
        low=0,
        high=1,
        step=0.01,
        when="train",
        on_continue="free",
    )
    n_training_particles: int = option(
        default=10000,
        key="optim_min_part",
        tab="Train",
        label="Particles for training",
        relion_label="Use this many particles: ",
        help="Micrographs are added until there are so many. More than 4000 give good parameters.",
        low=5000,
        high=50000,
        step=1000,
        at_least=1,
        when="train",
        on_continue="free",
    )
    polish: bool = option(
        default=True,
        key="do_polish",
        tab="Polish",
        label="Polish the particles",
        relion_label="Perform particle polishing?",
        help="Fit the motion of all particles and write new images.",
    )
    parameters: str = option(
        default="",
        key="opt_params",
        tab="Polish",
        label="Trained parameters",
        relion_label="Optimised parameter file:",
        help="The opt_params_all_groups.txt of a training job.",
        reads=POLISH_PARAMS,
        pattern="TXT files (*.txt)",
        when="polish",
    )
    use_own_parameters: bool = option(
        default=False,
        key="do_own_params",
        tab="Polish",
        label="Use parameters of your own",
        relion_label="OR use your own parameters?",
        help="Give the three numbers below.",
        when="polish",
    )
    velocity_sigma: float = option(
        default=0.2,
        key="sigma_vel",
        tab="Polish",
        label="Sigma of velocity (Å per dose)",
        relion_label="Sigma for velocity (A/dose): ",
        help="How fast particles move. 0.2 is usual; more lets them move more.",
        low=0.1,
        high=10,
        step=0.1,
        when="polish and use_own_parameters",
    )
    divergence_sigma_A: float = option(
        default=5000,
        key="sigma_div",
        tab="Polish",
        label="Sigma of divergence (Å)",
        relion_label="Sigma for divergence (A): ",
        help="Distance over which neighbours move alike. 5000 is usual.",
        low=0,
        high=10000,
        step=10000,
        when="polish and use_own_parameters",
    )
    acceleration_sigma: float = option(
        default=2,
        key="sigma_acc",
        tab="Polish",
        label="Sigma of acceleration (Å per dose)",
        relion_label="Sigma for acceleration (A/dose): ",
        help="How fast the velocity changes. 2 is usual. A negative number trains two "
        "parameters only.",
        low=-1,
        high=7,
        step=0.1,
        off=-1,
        when="polish and use_own_parameters",
    )
    bfactor_min_resolution_A: float = option(
        default=20,
        key="minres",
        tab="Polish",
        label="Lowest resolution of the B-factor fit (Å)",
        relion_label="Minimum resolution for B-factor fit (A): ",
        help="Where the fit of the weights of frames begins. 20 Å is usual.",
        low=8,
        high=40,
        step=1,
        at_least=0.1,
        when="polish",
    )
    bfactor_max_resolution_A: float = option(
        default=-1,
        key="maxres",
        tab="Polish",
        label="Highest resolution of the B-factor fit (Å)",
        relion_label="Maximum resolution for B-factor fit (A): ",
        help="Where it ends. -1 takes it from the FSC.",
        low=-1,
        high=15,
        step=1,
        off=-1,
        when="polish",
    )
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.train == self.polish:
            yield Problem("train", "switch exactly one on: train the parameters or polish")
        if not 0.1 < self.test_fraction <= 0.9:
            yield Problem(
                "test_fraction", f"is {self.test_fraction:g}; it must lie between 0.1 and 0.9"
            )
        if self.polish:
            yield from self._check_polish()

    def _check_polish(self) -> Iterator[Problem]:
        if not self.use_own_parameters:
            yield from needed(self, "parameters", "or use parameters of your own")
        box, scaled = self.box_px, self.scaled_box_px
        if box * scaled <= 0:
            yield Problem("scaled_box_px", "give both sizes, or -1 for both")
        elif box > 0 and (box % 2 or scaled % 2 or scaled > box):
            yield Problem(
                "scaled_box_px",
                f"is {scaled} of a box of {box}; both must be even, and it not the larger",
            )

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.train:
            yield "train"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield all that the result depends on."""
        yield Input("micrographs")
        yield Input("particles")
        yield Input("postprocess")
        if self.polish and not self.use_own_parameters:
            yield Input("parameters")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the parameters, or the report and the particles."""
        if self.train:
            yield Output("opt_params_all_groups.txt", POLISH_PARAMS)
        if self.polish:
            yield Output("logfile.pdf", f"{LOG_PDF}.polish")
            yield Output("shiny.star", f"{PARTICLES}.polished")

    def cleanup(self) -> Cleanup:
        """Return the sums of each micrograph; harshly the polished images too."""
        sums = ("*_FCC_cc.mrc", "*_FCC_w0.mrc", "*_FCC_w1.mrc")
        gentle = tuple(Files(pattern, below=True) for pattern in sums)
        images = (Files("*_shiny.mrcs", below=True), Files("*_shiny.star", below=True))
        return Cleanup(gentle=gentle, harsh=gentle + images)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "particles", "Particles")
        if self.train:
            yield Result("headline", "velocity_sigma", "Sigma of velocity", "Å per dose")
            yield Result("headline", "divergence_sigma", "Sigma of divergence", "Å")
            yield Result("headline", "acceleration_sigma", "Sigma of acceleration", "Å per dose")
            return
        yield Result("headline", "motion", "Median motion of a particle", "Å")
        yield Result("plot", "bfactors", "B-factor and weight of every frame")
        yield Result("plot", "tracks", "Tracks of particles")
