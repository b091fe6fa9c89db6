"""Auto-picking: find particles in micrographs."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import autopick_picking as picking
from vitreous.jobs import autopick_topaz as topaz
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files
from vitreous.project.node_types import (
    COORDINATES,
    DENSITY_MAP,
    IMAGES_2D,
    LOG_PDF,
    MICROGRAPHS,
)


@job(
    "relion.autopick",
    folder="AutoPick",
    gui_name="Auto-picking",
    number=4,
    hidden_prefix=".gui_autopick",
    place=5,
)
class AutoPick(Options):
    """Find particles in micrographs without picking by hand."""

    micrographs: str = option(
        default="",
        key="fn_input_autopick",
        label="Micrographs",
        relion_label="Input micrographs for autopick:",
        help="Micrographs to pick from: the list of a CtfFind or Select job.",
        reads=MICROGRAPHS,
        pattern="Input micrographs (*.{star})",
    )
    pixel_size_A: float = option(
        default=-1,
        like=common.PIXEL_SIZE,
        relion_label="Pixel size in micrographs (A)",
        help="Pixel size of the micrographs. -1 takes it from the file.",
    )
    use_templates: bool = option(
        default=False,
        key="do_refs",
        label="Match templates",
        relion_label="Use reference-based template-matching?",
        help="Find what looks like 2D class averages or projections of a map.",
    )
    use_log: bool = option(
        default=False,
        key="do_log",
        label="Use the Laplacian of Gaussian",
        relion_label="OR: use Laplacian-of-Gaussian?",
        help="Find blobs of a given size: needs no template, good for the first picks.",
    )
    use_topaz: bool = option(
        default=False,
        key="do_topaz",
        label="Use Topaz",
        relion_label="OR: use Topaz?",
        help="Find particles with a neural network, or train one.",
    )
    continue_by_hand: bool = option(
        default=False,
        key="continue_manual",
        label="Go on by hand",
        relion_label="OR: continue manually?",
        help="Open the picks of this job for correction by hand instead of picking again.",
        on_continue="only",
    )
    log_min_diameter_A: float = option(
        default=200,
        key="log_diam_min",
        tab="Laplacian",
        label="Smallest diameter (Å)",
        relion_label="Min. diameter for LoG filter (A)",
        help="Smallest diameter of the particles: the short axis.",
        low=50,
        high=500,
        step=10,
        at_least=1,
    )
    log_max_diameter_A: float = option(
        default=250,
        key="log_diam_max",
        tab="Laplacian",
        label="Largest diameter (Å)",
        relion_label="Max. diameter for LoG filter (A)",
        help="Largest diameter of the particles: the long axis.",
        low=50,
        high=500,
        step=10,
        at_least=1,
    )
    log_white: bool = option(
        default=False,
        key="log_invert",
        tab="Laplacian",
        label="Particles are white",
        relion_label="Are the particles white?",
        help="Yes where particles are brighter than the ice, as in negative stain with inverted "
        "contrast.",
    )
    log_max_resolution_A: float = option(
        default=20,
        key="log_maxres",
        tab="Laplacian",
        label="Resolution (Å)",
        relion_label="Maximum resolution to consider (A)",
        help="Micrographs are reduced to this resolution. 20 Å is usual.",
        low=10,
        high=100,
        step=5,
        at_least=1,
    )
    log_threshold_sigma: float = option(
        default=0,
        key="log_adjust_thr",
        tab="Laplacian",
        label="Adjust the threshold (standard deviations)",
        relion_label="Adjust default threshold (stddev):",
        help="Shifts the automatic threshold: a negative number gives more picks, a positive "
        "one fewer.",
        low=-1,
        high=1,
        step=0.05,
        on_continue="free",
    )
    log_upper_threshold_sigma: float = option(
        default=999,
        key="log_upper_thr",
        tab="Laplacian",
        label="Upper threshold (standard deviations)",
        relion_label="Upper threshold (stddev):",
        help="Drop picks above this many standard deviations over the average: ice and dirt. 5 "
        "is a good try; 999 is off.",
        low=0,
        high=10,
        step=0.5,
        off=999,
        on_continue="free",
    )
    topaz_program: str = option(default="relion_python_topaz", like=topaz.PROGRAM)
    topaz_diameter_A: float = option(default=-1, like=topaz.DIAMETER)
    topaz_train: bool = option(default=False, like=topaz.TRAIN)
    topaz_n_particles: int = option(default=-1, like=topaz.N_PARTICLES)
    topaz_coordinates: str = option(default="", like=topaz.FROM_COORDINATES)
    topaz_use_particles: bool = option(default=False, like=topaz.USE_PARTICLES)
    topaz_particles: str = option(default="", like=topaz.FROM_PARTICLES)
    topaz_pick: bool = option(default=False, like=topaz.PICK)
    topaz_model: str = option(default="", like=topaz.MODEL)
    topaz_filaments: bool = option(default=False, like=topaz.FILAMENTS)
    topaz_filament_threshold: float = option(default=-5, like=topaz.FILAMENT_THRESHOLD)
    topaz_hough_length_A: float = option(default=-1, like=topaz.HOUGH_LENGTH)
    topaz_arguments: str = option(default="", like=topaz.ARGUMENTS)
    templates: str = option(
        default="",
        key="fn_refs_autopick",
        tab="References",
        label="2D templates",
        relion_label="2D references:",
        help="Class averages, as selected in a Select job.",
        reads=IMAGES_2D,
        pattern="Input references (*.{star,mrcs})",
    )
    use_map: bool = option(
        default=False,
        key="do_ref3d",
        tab="References",
        label="Make templates from a map",
        relion_label="OR: provide a 3D reference?",
        help="Project a map in all directions instead of taking class averages.",
    )
    map: str = option(
        default="",
        key="fn_ref3d_autopick",
        tab="References",
        label="Map",
        relion_label="3D reference:",
        help="Map to project.",
        reads=DENSITY_MAP,
        pattern="Input reference (*.{mrc})",
        when="use_map",
    )
    point_group: str = option(
        default="C1",
        key="ref3d_symmetry",
        tab="References",
        label="Symmetry of the map",
        relion_label="Symmetry:",
        help="Point group of the map, so that no view is made twice.",
        when="use_map",
    )
    template_sampling: str = option(
        default="30 degrees",
        key="ref3d_sampling",
        tab="References",
        label="Angles between projections",
        relion_label="3D angular sampling:",
        help="Angular step of the projections. 30 degrees is usual.",
        choices=common.SAMPLING,
        when="use_map",
    )
    low_pass_A: float = option(
        default=20,
        like=common.LOW_PASS_MICROGRAPH,
        tab="References",
        relion_label="Lowpass filter references (A)",
        help="Templates and micrographs are filtered to this resolution. 20 Å keeps noise from "
        "being picked. A negative number is off.",
    )
    high_pass_A: float = option(
        default=-1,
        like=common.HIGH_PASS_MICROGRAPH,
        tab="References",
        help="Removes uneven ice: 200 to 400 Å. -1 is off.",
    )
    template_pixel_size_A: float = option(
        default=-1,
        key="angpix_ref",
        tab="References",
        label="Pixel size of the templates (Å)",
        relion_label="Pixel size in references (A)",
        help="-1 takes that of the file.",
        low=0.3,
        high=5,
        step=0.1,
        off=-1,
    )
    in_plane_step_deg: float = option(
        default=5,
        key="psi_sampling_autopick",
        tab="References",
        label="In-plane step (°)",
        relion_label="In-plane angular sampling (deg)",
        help="Step of the in-plane rotation of templates. 5° is usual, 15° is faster.",
        low=1,
        high=30,
        step=1,
        at_least=0.1,
    )
    invert_templates: bool = option(
        default=True,
        key="do_invert_refs",
        tab="References",
        label="Templates have inverted contrast",
        relion_label="References have inverted contrast?",
        help="Yes for class averages with white particles, searched in micrographs with black "
        "ones: the usual case.",
    )
    templates_are_ctf_corrected: bool = option(
        default=True,
        key="do_ctf_autopick",
        tab="References",
        label="Templates are CTF-corrected",
        relion_label="Are References CTF corrected?",
        help="Apply the CTF of each micrograph to the templates. Yes for averages made with CTF "
        "correction.",
    )
    ignore_ctf_before_first_peak: bool = option(
        default=False,
        key="do_ignore_first_ctfpeak_autopick",
        tab="References",
        label="Ignore the CTF before its first peak",
        relion_label="Ignore CTFs until first peak?",
        help="Use it if the templates were made so.",
        when="templates_are_ctf_corrected",
    )
    threshold: float = option(default=0.05, like=picking.THRESHOLD)
    min_distance_A: float = option(default=100, like=picking.MIN_DISTANCE)
    max_noise_sigma: float = option(default=1.1, like=picking.MAX_NOISE_SIGMA)
    min_noise_average: float = option(default=-999, like=picking.MIN_NOISE_AVERAGE)
    write_fom_maps: bool = option(default=False, like=picking.WRITE_FOM_MAPS)
    read_fom_maps: bool = option(default=False, like=picking.READ_FOM_MAPS)
    shrink: float = option(default=0, like=picking.SHRINK)
    use_gpu: bool = option(default=False, like=common.USE_GPU, tab="Picking")
    gpu_ids: str = option(default="", like=common.GPU_IDS, tab="Picking", when="use_gpu")
    pick_helix: bool = option(default=False, like=picking.PICK_HELIX)
    tube_diameter_A: float = option(
        default=200,
        like=common.TUBE_DIAMETER,
        help="Outer diameter of the filament.",
        when="pick_helix",
        on_continue="free",
    )
    min_tube_length_A: float = option(default=-1, like=picking.MIN_TUBE_LENGTH)
    max_curvature: float = option(default=0.1, like=picking.MAX_CURVATURE)
    n_asymmetric_units: int = option(
        default=1,
        like=common.N_ASYMMETRIC_UNITS,
        tab="Helix",
        help="Asymmetric units from one segment to the next.",
        when="pick_helix",
        on_continue="free",
    )
    rise_A: float = option(
        default=-1,
        like=common.RISE,
        help="Rise; times the number of units it is the distance of segments. -1 if not known.",
        low=0,
        high=100,
        step=0.01,
        off=-1,
        when="pick_helix",
        on_continue="free",
    )
    is_amyloid: bool = option(default=False, like=picking.IS_AMYLOID)
    running: Running = shared(default_factory=Running, without=("n_threads",))

    def by_hand(self, start: Start) -> bool:
        """Tell whether picks of this job are only corrected by hand."""
        return start.is_continue and self.continue_by_hand

    @property
    def is_training(self) -> bool:
        """Whether a network is trained and nothing is picked."""
        return self.use_topaz and self.topaz_train

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.by_hand(start):
            return
        if self.use_log + self.use_topaz + self.use_templates != 1:
            yield Problem("", "switch exactly one on: templates, Laplacian of Gaussian or Topaz")
        yield from needed(self, "micrographs")
        if self.use_topaz and self.topaz_train + self.topaz_pick != 1:
            yield Problem("topaz_pick", "switch exactly one on: train a model or pick with one")
        if self.is_training and not self.use_gpu:
            yield Problem("use_gpu", "is No; training Topaz needs a GPU")
        if self.use_log and self.use_gpu:
            yield Problem("use_gpu", "is Yes; the Laplacian of Gaussian has no GPU version")
        if self.use_templates:
            yield from needed(self, "map" if self.use_map else "templates", "to match")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.by_hand(start):
            yield "continuemanual"
        elif self.use_topaz:
            yield "topaz"
            if self.topaz_train:
                yield "train"
            elif self.topaz_pick:
                yield "pick"
        elif self.use_log:
            yield "log"
        elif self.use_templates:
            yield "ref3d" if self.use_map else "ref2d"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the micrographs and what is matched."""
        yield Input("micrographs")
        if self.use_templates and not self.by_hand(start):
            yield Input("map" if self.use_map else "templates")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the coordinates and the report."""
        if self.by_hand(start):
            yield Output("autopick.star", f"{COORDINATES}.autopick")
            yield Output("micrographs_selected.star", MICROGRAPHS)
        elif not self.is_training:
            yield Output("autopick.star", f"{COORDINATES}.autopick")
            yield Output("logfile.pdf", f"{LOG_PDF}.autopick")
        elif self.topaz_use_particles:
            yield Output("input_training_coords.star", COORDINATES)

    def cleanup(self) -> Cleanup:
        """Return the maps of the figure of merit."""
        return Cleanup(gentle=(Files("*.spi", below=True),))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        if self.is_training:
            yield Result("headline", "precision", "Average precision on test micrographs")
            yield Result("plot", "training", "Training curve")
            return
        yield Result("headline", "picks", "Picked particles")
        yield Result("headline", "picks_per_micrograph", "Median per micrograph")
        yield Result("plot", "picks", "Picks of every micrograph")
        yield Result("plot", "fom", "Distribution of the figure of merit")
