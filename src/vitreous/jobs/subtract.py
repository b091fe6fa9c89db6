"""Particle subtraction: remove part of the density from particles."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files
from vitreous.project.node_types import MASK, OPTIMISER, PARTICLES


@job(
    "relion.subtract",
    folder="Subtract",
    gui_name="Particle subtraction",
    number=14,
    hidden_prefix=".gui_subtract",
    place=18,
)
class Subtract(Options):
    """Subtract projections of part of a map from the particles."""

    optimiser: str = option(
        default="",
        key="fn_opt",
        label="Refinement",
        relion_label="Input optimiser.star: ",
        help="Optimiser file of the refinement whose map is projected and subtracted.",
        reads=OPTIMISER,
        pattern="STAR Files (*_optimiser.star)",
    )
    mask: str = option(
        default="",
        key="fn_mask",
        label="Mask of what to keep",
        relion_label="Mask of the signal to keep:",
        help="Soft mask, 1 where density stays and 0 where it is subtracted.",
        reads=MASK,
        pattern="Image Files (*.{spi,vol,msk,mrc})",
    )
    use_other_particles: bool = option(
        default=False,
        key="do_data",
        label="Use other particles",
        relion_label="Use different particles?",
        help="Subtract from other particles than those of the refinement; they need "
        "orientations of the same map.",
    )
    particles: str = option(
        default="",
        key="fn_data",
        label="Particles",
        relion_label="Input particle star file:",
        help="Particles to subtract from.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="use_other_particles",
    )
    write_float16: bool = option(default=True, like=common.WRITE_FLOAT16)
    revert: bool = option(
        default=False,
        key="do_fliplabel",
        label="Go back to the original particles",
        relion_label="OR revert to original particles?",
        help="Do not subtract: make subtracted particles refer to their original images again, "
        "with the orientations found since.",
    )
    particles_to_revert: str = option(
        default="",
        key="fn_fliplabel",
        label="Particles to revert",
        relion_label="revert this particle star file:",
        help="Subtracted particles, for example of a refinement of them.",
        reads=PARTICLES,
        pattern="particle STAR file (*.star)",
        when="revert",
    )
    center_on_mask: bool = option(
        default=True,
        key="do_center_mask",
        tab="Centering",
        label="Centre on the mask",
        relion_label="Do center subtracted images on mask?",
        help="Move the centre of mass of the mask to the centre of the new images.",
    )
    center_on_point: bool = option(
        default=False,
        key="do_center_xyz",
        tab="Centering",
        label="Centre on a point",
        relion_label="Do center on my coordinates?",
        help="Move a point of the map to the centre of the new images.",
        when="not center_on_mask",
    )
    center_x_px: float = option(
        default=0,
        key="center_x",
        tab="Centering",
        row="Centre (px)",
        label="Centre x (px)",
        relion_label="Center coordinate (pix) - X:",
        help="x of the point, in voxels from the centre of the map.",
        when="not center_on_mask and center_on_point",
    )
    center_y_px: float = option(
        default=0,
        key="center_y",
        tab="Centering",
        row="Centre (px)",
        label="Centre y (px)",
        relion_label="Center coordinate (pix) - Y:",
        help="y of the point, in voxels from the centre of the map.",
        when="not center_on_mask and center_on_point",
    )
    center_z_px: float = option(
        default=0,
        key="center_z",
        tab="Centering",
        row="Centre (px)",
        label="Centre z (px)",
        relion_label="Center coordinate (pix) - Z:",
        help="z of the point, in voxels from the centre of the map.",
        when="not center_on_mask and center_on_point",
    )
    box_px: int = option(
        default=-1,
        key="new_box",
        tab="Centering",
        label="New box (px)",
        relion_label="New box size:",
        help="Smaller box for what is left. -1 keeps the size.",
        low=64,
        high=512,
        step=32,
        off=-1,
    )
    running: Running = shared(default_factory=Running, without=("n_threads",))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.revert:
            if self.running.n_ranks > 1:
                yield Problem(
                    "n_ranks", f"is {self.running.n_ranks}; reverting runs as one process"
                )
            return
        yield from needed(self, "optimiser")
        if self.use_other_particles:
            yield from needed(self, "particles", "to subtract from")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.revert:
            yield "revert"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield what is subtracted, or what is reverted."""
        if self.revert:
            yield Input("particles_to_revert")
            return
        yield Input("optimiser")
        yield Input("mask")
        if self.use_other_particles:
            yield Input("particles")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the particles."""
        if self.revert:
            yield Output("original.star", PARTICLES)
        else:
            yield Output("particles_subtracted.star", f"{PARTICLES}.subtracted")

    def cleanup(self) -> Cleanup:
        """Return nothing; harshly the images, of RELION 3.0 and of today."""
        return Cleanup(harsh=(Files("subtracted.*"), Files("Particles/subtracted*.mrcs")))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "particles", "Particles")
        if not self.revert:
            yield Result("headline", "box", "Box", "px")
            yield Result("headline", "strength", "Strength of the subtracted part")
            yield Result("plot", "examples", "Particles before and after")
