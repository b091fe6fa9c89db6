"""Manual picking: mark particles by hand."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import COORDINATES, MICROGRAPHS


@job(
    "relion.manualpick",
    folder="ManualPick",
    gui_name="Manual picking",
    number=3,
    hidden_prefix=".gui_manualpick",
    place=4,
    queue=False,
)
class ManualPick(Options):
    """Mark particles in micrographs by hand."""

    micrographs: str = option(
        key="fn_in",
        label="Micrographs",
        relion_label="Input micrographs:",
        help="Micrographs to pick from: the list of a CtfFind, MotionCorr or Select job, or a "
        "pattern of MRC files.",
        reads=MICROGRAPHS,
        pattern="Input micrographs (*.{star,mrc})",
    )
    pick_filaments: bool = option(
        default=False,
        key="do_startend",
        label="Pick start and end of filaments",
        relion_label="Pick start-end coordinates helices?",
        help="Every two clicks mark the two ends of a filament.",
        on_continue="free",
    )
    use_fom_threshold: bool = option(
        default=False,
        key="do_fom_threshold",
        label="Hide picks of low merit",
        relion_label="Use autopick FOM threshold?",
        help="Show only picks of an auto-picking job above the figure of merit below.",
    )
    min_fom: float = option(
        default=0, like=common.MIN_FOM, help="Picks below are hidden and left out."
    )
    diameter_A: float = option(
        default=100,
        key="diameter",
        tab="Display",
        label="Particle diameter (Å)",
        relion_label="Particle diameter (A):",
        help="Diameter of the circles on screen.",
        low=0,
        high=500,
        step=50,
        at_least=0,
        on_continue="free",
    )
    scale: float = option(
        default=0.2,
        key="micscale",
        tab="Display",
        label="Scale of micrographs",
        relion_label="Scale for micrographs:",
        help="Size on screen relative to the micrograph.",
        low=0.1,
        high=1,
        step=0.05,
        at_least=0.001,
        on_continue="free",
    )
    contrast_sigma: float = option(
        default=3,
        key="sigma_contrast",
        tab="Display",
        label="Contrast (standard deviations)",
        relion_label="Sigma contrast:",
        help="Grey values from this many standard deviations below the mean to as many above. 0 "
        "uses the full range.",
        low=0,
        high=10,
        step=0.5,
        off=0,
        on_continue="free",
    )
    white_value: float = option(
        default=0,
        key="white_val",
        tab="Display",
        label="White value",
        relion_label="White value:",
        help="Fixed grey value shown white. 0 chooses one.",
        low=0,
        high=512,
        step=16,
        off=0,
        on_continue="free",
    )
    black_value: float = option(
        default=0,
        key="black_val",
        tab="Display",
        label="Black value",
        relion_label="Black value:",
        help="Fixed grey value shown black. 0 chooses one.",
        low=0,
        high=512,
        step=16,
        off=0,
        on_continue="free",
    )
    low_pass_A: float = option(
        default=20,
        like=common.LOW_PASS_MICROGRAPH,
        tab="Display",
        relion_label="Lowpass filter (A)",
        help="Filter for the screen; about a tenth of the particle. A negative number is off.",
        on_continue="free",
    )
    high_pass_A: float = option(
        default=-1,
        like=common.HIGH_PASS_MICROGRAPH,
        tab="Display",
        help="Filter against uneven ice, on screen only. -1 is off.",
        on_continue="free",
    )
    pixel_size_A: float = option(
        default=-1,
        like=common.PIXEL_SIZE,
        tab="Display",
        help="Pixel size of the micrographs. -1 takes it from the file.",
        on_continue="free",
    )
    denoise: bool = option(
        default=False,
        key="do_topaz_denoise",
        tab="Display",
        label="Denoise with Topaz",
        relion_label="OR: use Topaz denoising?",
        help="Micrographs are shown as Topaz denoised them, in place of the filters above. Topaz "
        "is an external program; --topaz_exe PROGRAM below says where it is.",
    )
    use_colors: bool = option(
        default=False,
        key="do_color",
        tab="Colors",
        label="Colour the picks",
        relion_label="Blue<>red color particles?",
        help="Colour picks from blue to red by a value.",
        on_continue="free",
    )
    color_label: str = option(
        default="rlnAutopickFigureOfMerit",
        key="color_label",
        tab="Colors",
        label="Value for the colour",
        relion_label="MetaDataLabel for color:",
        help="Label of the column with the value, such as rlnAutopickFigureOfMerit.",
        when="use_colors",
        on_continue="free",
    )
    color_file: str = option(
        default="",
        key="fn_color",
        tab="Colors",
        label="File with the values",
        relion_label="STAR file with color label: ",
        help="STAR file with the column. Empty looks in the coordinate files.",
        pattern="STAR file (*.star)",
        directory=".",
        when="use_colors",
        on_continue="free",
    )
    blue_value: float = option(
        default=0,
        key="blue_value",
        tab="Colors",
        label="Blue at",
        relion_label="Blue value: ",
        help="Value shown blue.",
        low=0,
        high=4,
        step=0.1,
        when="use_colors",
        on_continue="free",
    )
    red_value: float = option(
        default=2,
        key="red_value",
        tab="Colors",
        label="Red at",
        relion_label="Red value: ",
        help="Value shown red.",
        low=0,
        high=4,
        step=0.1,
        when="use_colors",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.pick_filaments:
            yield "helical"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the micrographs that were kept, and the coordinates."""
        kind = "manualpick.helixstartend" if self.pick_filaments else "manualpick"
        yield Output("micrographs_selected.star", MICROGRAPHS)
        yield Output("manualpick.star", f"{COORDINATES}.{kind}")

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: what was picked by hand cannot be made again."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "picks", "Picked particles")
        yield Result("headline", "micrographs", "Micrographs picked")
