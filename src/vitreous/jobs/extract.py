"""Particle extraction: cut boxes out of micrographs."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files, Subfolders
from vitreous.project.node_types import COORDINATES, MICROGRAPHS, PARTICLES


@job(
    "relion.extract",
    folder="Extract",
    gui_name="Particle extraction",
    number=5,
    hidden_prefix=".gui_extract",
    place=6,
)
class Extract(Options):
    """Cut particles out of micrographs, normalised and scaled."""

    micrographs: str = option(
        key="star_mics",
        label="Micrographs",
        relion_label="micrograph STAR file: ",
        help="Micrographs to cut from, with their CTF: the list of a CtfFind or Select job.",
        reads=MICROGRAPHS,
        pattern="Input STAR file (*.{star})",
    )
    coordinates: str = option(
        default="",
        key="coords_suffix",
        label="Coordinates",
        relion_label="Input coordinates: ",
        help="Coordinates of an AutoPick or ManualPick job, or imported ones.",
        reads=COORDINATES,
        pattern="Input coordinates list file (*.star)",
    )
    reextract: bool = option(
        default=False,
        key="do_reextract",
        label="Extract refined particles again",
        relion_label="OR re-extract refined particles? ",
        help="Take positions from a particles file, for example to get larger boxes of good "
        "particles.",
    )
    refined_particles: str = option(
        default="",
        key="fndata_reextract",
        label="Refined particles",
        relion_label="Refined particles STAR file: ",
        help="Particles whose positions are used.",
        reads=PARTICLES,
        pattern="Input STAR file (*.{star})",
        when="reextract",
    )
    reset_shifts: bool = option(
        default=False,
        key="do_reset_offsets",
        label="Set shifts to zero",
        relion_label="Reset the refined offsets to zero? ",
        help="Forget the refined shifts and keep the old positions.",
        when="reextract",
    )
    recenter: bool = option(
        default=False,
        key="do_recenter",
        label="Centre on the refined shifts",
        relion_label="OR: re-center refined coordinates? ",
        help="Move positions by the refined shifts, so that particles are in the middle of "
        "their boxes. Usually wanted.",
        when="reextract",
    )
    center_x_px: float = option(
        default=0,
        key="recenter_x",
        row="New centre (px)",
        label="Centre x (px)",
        relion_label="Re-center on X-coordinate (in pix): ",
        help="x of the point of the reference that becomes the centre, in its pixels from the "
        "middle.",
        when="reextract and recenter",
    )
    center_y_px: float = option(
        default=0,
        key="recenter_y",
        row="New centre (px)",
        label="Centre y (px)",
        relion_label="Re-center on Y-coordinate (in pix): ",
        help="y of that point.",
        when="reextract and recenter",
    )
    center_z_px: float = option(
        default=0,
        key="recenter_z",
        row="New centre (px)",
        label="Centre z (px)",
        relion_label="Re-center on Z-coordinate (in pix): ",
        help="z of that point.",
        when="reextract and recenter",
    )
    write_float16: bool = option(default=True, like=common.WRITE_FLOAT16)
    box_px: int = option(
        default=128,
        key="extract_size",
        tab="Extract",
        label="Box (px)",
        relion_label="Particle box size (pix):",
        help="Side of the box in pixels of the micrograph: 1.5 to 2 times the diameter of the "
        "particle. Even.",
        low=64,
        high=512,
        step=8,
        at_least=2,
    )
    invert: bool = option(
        default=True,
        key="do_invert",
        tab="Extract",
        label="Invert the contrast",
        relion_label="Invert contrast?",
        help="Make particles white. Yes for micrographs with black particles, the usual case.",
    )
    normalise: bool = option(
        default=True,
        key="do_norm",
        tab="Extract",
        label="Normalise",
        relion_label="Normalize particles?",
        help="Give the background mean 0 and standard deviation 1. Always wanted, unless it was "
        "done before.",
    )
    background_diameter_px: int = option(
        default=-1,
        key="bg_diameter",
        tab="Extract",
        label="Diameter of the background circle (px)",
        relion_label="Diameter background circle (pix): ",
        help="Outside this circle, in pixels before scaling, is background. -1 takes 75 % of "
        "the box.",
        low=-1,
        high=600,
        step=10,
        off=-1,
        when="normalise",
    )
    white_dust_sigma: float = option(
        default=-1,
        key="white_dust",
        tab="Extract",
        label="Remove white dust (standard deviations)",
        relion_label="Stddev for white dust removal: ",
        help="Replace pixels that are brighter than this by noise. -1 is off; 5 if there is dust.",
        low=-1,
        high=10,
        step=0.1,
        off=-1,
        when="normalise",
    )
    black_dust_sigma: float = option(
        default=-1,
        key="black_dust",
        tab="Extract",
        label="Remove black dust (standard deviations)",
        relion_label="Stddev for black dust removal: ",
        help="Replace pixels that are darker than this by noise. -1 is off; 5 if there is dust.",
        low=-1,
        high=10,
        step=0.1,
        off=-1,
        when="normalise",
    )
    scale_down: bool = option(
        default=False,
        key="do_rescale",
        tab="Extract",
        label="Scale particles down",
        relion_label="Rescale particles?",
        help="Make smaller images, which makes classification faster: 3 to 4 Å pixels do for 2D "
        "classes.",
    )
    scaled_box_px: int = option(
        default=128,
        like=common.SCALED_BOX,
        tab="Extract",
        help="Side of the scaled box. Even.",
        high=512,
        at_least=2,
        when="scale_down",
    )
    use_fom_threshold: bool = option(
        default=False,
        key="do_fom_threshold",
        tab="Extract",
        label="Drop picks of low merit",
        relion_label="Use autopick FOM threshold?",
        help="Extract only picks above the figure of merit below.",
    )
    min_fom: float = option(
        default=0,
        like=common.MIN_FOM,
        tab="Extract",
        help="Picks below are dropped. For Topaz -3 keeps most.",
    )
    is_helix: bool = option(
        default=False,
        key="do_extract_helix",
        tab="Helix",
        label="Helical segments",
        relion_label="Extract helical segments?",
        help="Extract segments of filaments.",
    )
    tube_diameter_A: float = option(
        default=200,
        like=common.TUBE_DIAMETER,
        help="Outer diameter of the filament, for normalisation.",
        when="is_helix",
    )
    bimodal_priors: bool = option(
        default=True,
        key="helical_bimodal_angular_priors",
        tab="Helix",
        label="Polarity is not known",
        relion_label="Use bimodal angular priors?",
        help="Write priors for both directions of a filament. Yes, unless the polarity is known.",
        when="is_helix",
    )
    are_start_end: bool = option(
        default=True,
        key="do_extract_helical_tubes",
        tab="Helix",
        label="Coordinates are start and end",
        relion_label="Coordinates are start-end only?",
        help="Coordinates mark the two ends of each filament.",
        when="is_helix",
    )
    cut_segments: bool = option(
        default=True,
        key="do_cut_into_segments",
        tab="Helix",
        label="Cut filaments into segments",
        relion_label="Cut helical tubes into segments?",
        help="Place overlapping boxes along each filament. No makes one box of each.",
        when="is_helix and are_start_end",
    )
    n_asymmetric_units: int = option(
        default=1,
        like=common.N_ASYMMETRIC_UNITS,
        tab="Helix",
        help="Asymmetric units from one box to the next.",
        when="is_helix and are_start_end",
    )
    rise_A: float = option(
        default=1,
        like=common.RISE,
        help="Rise; times the number of units it is the distance of boxes.",
        low=0,
        high=100,
        step=0.01,
        when="is_helix and are_start_end",
    )
    running: Running = shared(default_factory=Running, without=("n_threads",))

    @property
    def is_start_end(self) -> bool:
        """Whether segments are placed along lines between two ends."""
        return self.is_helix and self.are_start_end

    @property
    def background_radius_px(self) -> int:
        """Radius of the background circle in the scaled box."""
        given = self.background_diameter_px
        diameter = 0.75 * self.box_px if given < 0 else float(given)
        scale = self.scaled_box_px / self.box_px if self.scale_down else 1.0
        return int(diameter / 2 * scale)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if not self.reextract:
            yield from needed(self, "coordinates")
            return
        yield from needed(self, "refined_particles", "to extract again")
        if self.reset_shifts and self.recenter:
            yield Problem("recenter", "either set shifts to zero or centre on them, not both")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.reextract:
            yield "reextract"
        if self.is_helix:
            yield "helical"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the micrographs and where the positions come from."""
        yield Input("micrographs")
        yield Input("refined_particles" if self.reextract else "coordinates")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the particles, and the coordinates where they are new."""
        kinds = (
            ("reextract.star", "reextract", self.reextract),
            ("helix_segments.star", "helixstartend", self.is_start_end),
        )
        for name, kind, is_on in kinds:
            if is_on:
                yield Output("extractpick.star", f"{COORDINATES}.{kind}")
                yield Output(name, f"{COORDINATES}.{kind}")
        yield Output(
            "particles.star", f"{PARTICLES}.helicalsegments" if self.is_helix else PARTICLES
        )

    def cleanup(self) -> Cleanup:
        """Return the lists of each micrograph; harshly the images too."""
        return Cleanup(gentle=(Files("*_extract.star", below=True),), harsh=(Subfolders(),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "particles", "Particles")
        yield Result("headline", "micrographs", "Micrographs")
        yield Result("headline", "pixel_size", "Pixel size", "Å")
        yield Result("headline", "box", "Box", "px")
        yield Result("plot", "mean_image", "Mean of the particles")
        yield Result("plot", "power_spectrum", "Power spectrum of the particles")
        yield Result("plot", "per_micrograph", "Particles of every micrograph")
