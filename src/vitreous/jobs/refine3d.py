"""3D auto-refine: the best map from one kind of particle."""

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
    "relion.refine3d",
    folder="Refine3D",
    gui_name="3D auto-refine",
    number=10,
    hidden_prefix=".gui_auto3d",
    place=10,
)
class Refine3D(Options):
    """Refine one map to the highest resolution, in two independent halves."""

    particles: str = option(default="", like=common.INPUT_PARTICLES)
    map: str = option(
        default="",
        like=common.REFERENCE_MAP,
        help="Map to start from, low-pass filtered first. Of a half-map, each half starts from "
        "its own. The word None starts from nothing.",
    )
    mask: str = option(default="", like=common.REFERENCE_MASK)
    continue_from: str = option(
        default="", like=common.CONTINUE_FROM, pattern="STAR Files (*_it*_optimiser.star)"
    )
    reference: Reference = shared(default_factory=Reference)
    ctf: CtfModel = shared(default_factory=CtfModel)
    mask_diameter_A: float = option(default=200, like=common.MASK_DIAMETER)
    mask_with_zeros: bool = option(default=True, like=common.MASK_WITH_ZEROS)
    solvent_flattened_fsc: bool = option(
        default=False,
        key="do_solvent_fsc",
        tab="Optimisation",
        label="Correct the FSC for the mask",
        relion_label="Use solvent-flattened FSCs?",
        help="Measure resolution inside the mask while refining, with randomised phases. For "
        "particles that fill little of the box.",
        on_continue="free",
    )
    use_blush: bool = option(default=False, like=common.USE_BLUSH, tab="Optimisation")
    angular_sampling: str = option(
        default="7.5 degrees",
        like=common.FIRST_ANGULAR_SAMPLING,
        help="Step of the first search of orientations, made finer as the map improves. 7.5 "
        "degrees; 3.7 degrees for icosahedral particles.",
    )
    shift_range_px: float = option(default=5, like=common.FIRST_SHIFT_RANGE)
    shift_step_px: float = option(default=1, like=common.FIRST_SHIFT_STEP)
    local_sampling: str = option(
        default="1.8 degrees",
        key="auto_local_sampling",
        tab="Auto-sampling",
        label="Local searches from",
        relion_label="Local searches from auto-sampling:",
        help="From this angular step on only orientations near the present ones are searched. "
        "1.8 degrees; 0.9 degrees for icosahedral particles.",
        choices=common.SAMPLING,
    )
    relax_point_group: str = option(default="", like=common.RELAX_POINT_GROUP, tab="Auto-sampling")
    finer_sampling_sooner: bool = option(
        default=False,
        key="auto_faster",
        tab="Auto-sampling",
        label="Use finer steps sooner",
        relion_label="Use finer angular sampling faster?",
        help="Go to finer angles without waiting for convergence. Faster, with a small risk for "
        "hard particles.",
        on_continue="free",
    )
    helix: Helix3D = shared(default_factory=Helix3D)
    compute: Compute = shared(default_factory=Compute)
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        yield from check_continuation(self, start)
        if start.is_new:
            yield from needed(self, "particles")
            yield from needed(self, "map", f"or the word {NO_MAP}")

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
        """Yield particles, state and maps of the finished refinement."""
        root = run_root(self, start)
        yield Output(f"{root}_data.star", f"{PARTICLES}.refine3d")
        yield Output(f"{root}_optimiser.star", f"{OPTIMISER}.refine3d")
        yield Output(f"{root}_half1_class001_unfil.mrc", f"{DENSITY_MAP}.relion.halfmap.refine3d")
        yield Output(f"{root}_class001.mrc", f"{DENSITY_MAP}.relion.refine3d")

    def cleanup(self) -> Cleanup:
        """Return the files of all iterations but the last."""
        return Cleanup(gentle=(Iterations(),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "resolution", "Final resolution, without a mask", "Å")
        yield Result("headline", "particles", "Particles")
        yield Result("headline", "accuracy_rotation", "Accuracy of orientations", "°")
        yield Result("headline", "accuracy_shift", "Accuracy of shifts", "Å")
        yield Result("plot", "fsc", "Fourier shell correlation by iteration")
        yield Result("plot", "directions", "Distribution of directions")
        yield from refinement_results.by_iteration()
