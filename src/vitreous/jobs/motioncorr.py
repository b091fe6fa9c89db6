"""Motion correction: align the frames of movies and sum them."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files, Subfolders
from vitreous.project.node_types import LOG_PDF, MICROGRAPHS, MOVIES

GAIN_ROTATIONS = ("No rotation (0)", "90 degrees (1)", "180 degrees (2)", "270 degrees (3)")
GAIN_FLIPS = ("No flipping (0)", "Flip upside down (1)", "Flip left to right (2)")


@job(
    "relion.motioncorr",
    folder="MotionCorr",
    gui_name="Motion correction",
    number=1,
    hidden_prefix=".gui_motioncorr",
    place=2,
)
class MotionCorr(Options):
    """Align the frames of every movie and sum them to a micrograph."""

    movies: str = option(
        key="input_star_mics",
        label="Movies",
        relion_label="Input movies STAR file:",
        help="The movies.star of an Import job.",
        reads=MOVIES,
        pattern="STAR files (*.star)",
    )
    first_frame: int = option(
        default=1,
        key="first_frame_sum",
        label="First frame of the sum",
        relion_label="First frame for corrected sum:",
        help="Frames count from 1. Leave early frames in: dose weighting takes care of them.",
        low=1,
        high=32,
        step=1,
        at_least=1,
    )
    last_frame: int = option(
        default=-1,
        key="last_frame_sum",
        label="Last frame of the sum",
        relion_label="Last frame for corrected sum:",
        help="-1 or 0 takes all frames.",
        low=0,
        high=32,
        step=1,
        off=-1,
    )
    dose_per_frame_e_per_A2: float = option(
        default=1,
        key="dose_per_frame",
        label="Dose per frame (e/Å²)",
        relion_label="Dose per frame (e/A2):",
        help="Electrons per square ångström and frame; for EER per fraction as grouped below. "
        "Usually 0.5 to 2.",
        low=0,
        high=5,
        step=0.2,
        at_least=0,
    )
    pre_exposure_e_per_A2: float = option(
        default=0,
        key="pre_exposure",
        label="Dose before the first frame (e/Å²)",
        relion_label="Pre-exposure (e/A2):",
        help="What the sample had received before the movie began. Usually 0.",
        low=0,
        high=5,
        step=0.5,
        at_least=0,
    )
    eer_grouping: int = option(
        default=32,
        key="eer_grouping",
        label="EER frames per fraction",
        relion_label="EER fractionation:",
        help="Hardware frames of an EER file that are summed to one fraction. Choose it so that "
        "a fraction gets 0.5 to 1.25 e/Å². Other formats ignore it.",
        low=1,
        high=100,
        step=1,
        at_least=1,
    )
    write_float16: bool = option(
        default=True,
        like=common.WRITE_FLOAT16,
        help="Half the disk space; the loss is far below the noise. Needs the power spectra for "
        "CTF estimation, since some programs cannot read it.",
    )
    dose_weighting: bool = option(
        default=True,
        key="do_dose_weighting",
        label="Dose weighting",
        relion_label="Do dose-weighting?",
        help="Weight spatial frequencies of each frame by the radiation damage it had suffered. "
        "Yes, where the dose is known.",
    )
    save_unweighted: bool = option(
        default=False,
        key="do_save_noDW",
        label="Save the unweighted sum too",
        relion_label="Save non-dose weighted as well?",
        help="A second sum without dose weighting, for CTF estimation from the micrograph "
        "itself. The power spectra are the better way.",
        when="dose_weighting",
    )
    save_power_spectra: bool = option(
        default=True,
        key="do_save_ps",
        label="Save power spectra",
        relion_label="Save sum of power spectra?",
        help="Sum of the power spectra of groups of frames, from which CTF estimation is faster "
        "and better.",
    )
    power_spectrum_dose_e_per_A2: float = option(
        default=4,
        key="group_for_ps",
        label="Dose per power spectrum (e/Å²)",
        relion_label="Sum power spectra every e/A2:",
        help="Frames are averaged until they hold this dose before their power spectrum is "
        "added. About 4.",
        low=0,
        high=10,
        step=0.5,
        when="save_power_spectra",
    )
    bfactor_A2: float = option(
        default=150,
        key="bfactor",
        tab="Motion",
        label="B-factor of the alignment (Å²)",
        relion_label="Bfactor:",
        help="Damps high frequencies while frames are aligned; more for small or noisy ones. "
        "150 is usual; super-resolution movies may want more.",
        low=0,
        high=1500,
        step=50,
    )
    patches_x: int = option(
        default=1,
        key="patch_x",
        tab="Motion",
        row="Patches in x and y",
        label="Patches in x",
        relion_label="Number of patches X:",
        help="Motion is followed in this many patches along x: 5 for large detectors, 1 moves "
        "the whole frame at once.",
        at_least=1,
    )
    patches_y: int = option(
        default=1,
        key="patch_y",
        tab="Motion",
        row="Patches in x and y",
        label="Patches in y",
        relion_label="Number of patches Y:",
        help="The same along y.",
        at_least=1,
    )
    group_frames: int = option(
        default=1,
        key="group_frames",
        tab="Motion",
        label="Frames averaged for alignment",
        relion_label="Group frames:",
        help="Average so many frames before measuring shifts, for movies with little dose per "
        "frame. The sum still uses single frames.",
        low=1,
        high=5,
        step=1,
        at_least=1,
    )
    binning: float = option(
        default=1,
        key="bin_factor",
        tab="Motion",
        label="Binning",
        relion_label="Binning factor:",
        help="Fourier binning of the output. 2 for super-resolution movies, else 1; fractions "
        "work.",
        low=1,
        high=2,
        step=1,
        at_least=1,
    )
    gain_reference: str = option(
        default="",
        key="fn_gain_ref",
        tab="Motion",
        label="Gain reference",
        relion_label="Gain-reference image:",
        help="Image that the frames are multiplied with, as MRC or TIFF, or a .gain file for "
        "EER (divided). Empty if the movies are corrected already.",
        pattern="*.{mrc,gain}",
        directory=".",
    )
    gain_rotation: str = option(
        default="No rotation (0)",
        key="gain_rot",
        tab="Motion",
        label="Rotation of the gain reference",
        relion_label="Gain rotation:",
        help="Turn the gain reference before use, counter-clockwise, as some acquisition "
        "programs need. Look for a grid in the corrected sum if it is wrong.",
        choices=GAIN_ROTATIONS,
    )
    gain_flip: str = option(
        default="No flipping (0)",
        key="gain_flip",
        tab="Motion",
        label="Flip of the gain reference",
        relion_label="Gain flip:",
        help="Mirror the gain reference after turning it.",
        choices=GAIN_FLIPS,
    )
    defects: str = option(
        default="",
        key="fn_defect",
        tab="Motion",
        label="Defects",
        relion_label="Defect file:",
        help="Text file with x, y, width and height of bad areas on each line, or an image that "
        "is not 0 where the detector is bad. May be empty.",
        pattern="*",
        directory=".",
    )
    built_in: bool = option(
        default=True,
        key="do_own_motioncor",
        tab="Motion",
        label="Use the built-in program",
        relion_label="Use RELION's own implementation?",
        help="Yes uses our own; No runs UCSF MotionCor2, which needs its program and a GPU.",
    )
    motioncor2_program: str = option(
        default="",
        key="fn_motioncor2_exe",
        tab="Motion",
        label="MotionCor2 program",
        relion_label="MOTIONCOR2 executable:",
        help="Path of MotionCor2. RELION_MOTIONCOR2_EXECUTABLE gives the default.",
        pattern="*.*",
        directory=".",
        when="not built_in",
        default_env="RELION_MOTIONCOR2_EXECUTABLE",
    )
    gpu_ids: str = option(
        default="0",
        key="gpu_ids",
        tab="Motion",
        label="Which GPUs",
        relion_label="Which GPUs to use:",
        help="GPUs for MotionCor2. A colon separates ranks, as in 0:1:2.",
        when="not built_in",
        on_continue="free",
    )
    motioncor2_arguments: str = option(
        default="",
        key="other_motioncor2_args",
        tab="Motion",
        label="Other MotionCor2 arguments",
        relion_label="Other MOTIONCOR2 arguments",
        help="Text added to the MotionCor2 command. Usually empty.",
        when="not built_in",
    )
    running: Running = shared(default_factory=Running)

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.built_in and self.write_float16 and not self.save_power_spectra:
            yield Problem(
                "save_power_spectra",
                "is No; 16-bit micrographs need it for CTF estimation, or write 32-bit ones",
            )
        if not self.built_in and self.write_float16:
            yield Problem("write_float16", "is Yes, which MotionCor2 cannot do; switch it off")
        if not self.save_power_spectra:
            return
        if not self.built_in:
            yield Problem("save_power_spectra", "is Yes, which only the built-in program can do")
        if self.dose_per_frame_e_per_A2 <= 0:
            yield Problem(
                "dose_per_frame_e_per_A2", "must be above 0, to group frames for power spectra"
            )
        if self.power_spectrum_dose_e_per_A2 <= 0:
            yield Problem("power_spectrum_dose_e_per_A2", "must be above 0; 4 is usual")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        yield "own" if self.built_in else "motioncor2"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the micrographs and the report."""
        yield Output("corrected_micrographs.star", f"{MICROGRAPHS}.motioncorr")
        yield Output("logfile.pdf", f"{LOG_PDF}.motioncorr")

    def cleanup(self) -> Cleanup:
        """Return the logs of each movie; harshly the micrographs too."""
        logs = ("*.com", "*.err", "*.out", "*.log")
        return Cleanup(
            gentle=tuple(Files(pattern, below=True) for pattern in logs), harsh=(Subfolders(),)
        )

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "movies", "Movies aligned")
        yield Result("headline", "total_motion", "Median total motion", "Å")
        yield Result("headline", "early_motion", "Median motion in the first 4 e/Å²", "Å")
        yield Result("plot", "total_motion", "Total motion of every movie")
        yield Result("plot", "early_late_motion", "Early against late motion")
        yield Result("plot", "drift", "Path of the sample in each movie")
