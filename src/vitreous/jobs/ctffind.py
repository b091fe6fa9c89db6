"""CTF estimation: defocus and astigmatism of micrographs."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup, Files, Subfolders
from vitreous.project.node_types import LOG_PDF, MICROGRAPHS

_SMALLEST_BOX_PX = 64  # that of the engine's spectra


@job(
    "relion.ctffind",
    folder="CtfFind",
    gui_name="CTF estimation",
    number=2,
    hidden_prefix=".gui_ctffind",
    place=3,
)
class CtfFind(Options):
    """Estimate defocus and astigmatism of every micrograph."""

    micrographs: str = option(
        key="input_star_mics",
        label="Micrographs",
        relion_label="Input micrographs STAR file:",
        help="The corrected_micrographs.star of a MotionCorr job, or imported micrographs.",
        reads=MICROGRAPHS,
        pattern="STAR files (*.star)",
    )
    use_unweighted: bool = option(
        default=False,
        key="use_noDW",
        label="Use the unweighted micrographs",
        relion_label="Use micrograph without dose-weighting?",
        help="Fit the sums without dose weighting, which keep their Thon rings at high "
        "resolution. Not needed with power spectra. The built-in estimation and the wrappers take "
        "them anyway where they are known; Yes refuses micrographs that have none.",
    )
    fit_phase_shift: bool = option(
        default=False,
        key="do_phaseshift",
        label="Estimate phase shifts",
        relion_label="Estimate phase shifts?",
        help="For data taken with a phase plate.",
    )
    phase_shift_min_deg: float = option(
        default=0,
        key="phase_min",
        row="Phase shift (°)",
        label="Smallest phase shift (°)",
        relion_label="Phase shift (deg) - Min:",
        help="Lower end of the search.",
        when="fit_phase_shift",
    )
    phase_shift_max_deg: float = option(
        default=180,
        key="phase_max",
        row="Phase shift (°)",
        label="Largest phase shift (°)",
        relion_label="Phase shift (deg) - Max:",
        help="Upper end of the search.",
        when="fit_phase_shift",
    )
    phase_shift_step_deg: float = option(
        default=10,
        key="phase_step",
        row="Phase shift (°)",
        label="Step of the phase shift (°)",
        relion_label="Phase shift (deg) - Step:",
        help="Step of the search.",
        when="fit_phase_shift",
    )
    astigmatism_A: float = option(
        default=100,
        key="dast",
        label="Amount of astigmatism (Å)",
        relion_label="Amount of astigmatism (A):",
        help="How far the two defoci are expected to differ; larger differences cost. 100 Å is "
        "usual.",
        low=0,
        high=2000,
        step=100,
        at_least=0,
    )
    ctffind_program: str = option(
        default="",
        key="fn_ctffind_exe",
        tab="CTFFIND",
        label="CTFFIND program",
        relion_label="CTFFIND-4.1 executable:",
        help="Path of CTFFIND 4.1 or 5, or of Gctf. Empty uses the built-in estimation. "
        "RELION_CTFFIND_EXECUTABLE gives the default.",
        pattern="*",
        directory=".",
        default_env="RELION_CTFFIND_EXECUTABLE",
    )
    use_power_spectra: bool = option(
        default=True,
        key="use_given_ps",
        tab="CTFFIND",
        label="Use power spectra of motion correction",
        relion_label="Use power spectra from MotionCorr job?",
        help="Fit the power spectra that motion correction wrote: faster, and better at high "
        "resolution.",
    )
    exhaustive_search: bool = option(
        default=False,
        key="slow_search",
        tab="CTFFIND",
        label="Exhaustive search",
        relion_label="Use exhaustive search?",
        help="Search all defocus pairs rather than one defocus first. Slower; for very "
        "astigmatic images or those that fail.",
    )
    window_px: int = option(
        default=-1,
        key="ctf_win",
        tab="CTFFIND",
        label="Window (px)",
        relion_label="Estimate CTF on window size (pix) ",
        help="Use only the central square of so many pixels. -1 uses the whole micrograph.",
        low=-16,
        high=4096,
        step=16,
        off=-1,
    )
    box_px: int = option(
        default=512,
        key="box",
        tab="CTFFIND",
        label="Size of the spectrum (px)",
        relion_label="FFT box size (pix):",
        help="Side of the power spectrum. 512 is usual; more for high defocus.",
        low=64,
        high=1024,
        step=8,
        at_least=16,
    )
    min_resolution_A: float = option(
        default=30,
        key="resmin",
        tab="CTFFIND",
        label="Lowest resolution of the fit (Å)",
        relion_label="Minimum resolution (A):",
        help="Where the fit begins. 30 Å is usual.",
        low=10,
        high=200,
        step=10,
        at_least=0.1,
    )
    max_resolution_A: float = option(
        default=5,
        key="resmax",
        tab="CTFFIND",
        label="Highest resolution of the fit (Å)",
        relion_label="Maximum resolution (A):",
        help="Where the fit ends. 5 Å is usual; 3.5 Å for very good data.",
        low=1,
        high=20,
        step=1,
        at_least=0.1,
    )
    min_defocus_A: float = option(
        default=5000,
        key="dfmin",
        tab="CTFFIND",
        label="Smallest defocus (Å)",
        relion_label="Minimum defocus value (A):",
        help="Lower end of the search. 5000 Å is usual.",
        low=0,
        high=25000,
        step=1000,
    )
    max_defocus_A: float = option(
        default=50000,
        key="dfmax",
        tab="CTFFIND",
        label="Largest defocus (Å)",
        relion_label="Maximum defocus value (A):",
        help="Upper end of the search. 50000 Å is usual.",
        low=20000,
        high=100000,
        step=1000,
    )
    defocus_step_A: float = option(
        default=500,
        key="dfstep",
        tab="CTFFIND",
        label="Step of the defocus (Å)",
        relion_label="Defocus step size (A):",
        help="Step of the search. 500 Å is usual.",
        low=200,
        high=2000,
        step=100,
        at_least=1,
    )
    running: Running = shared(default_factory=Running, without=("n_threads",))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work: warnings, as RELION makes such a job; the program refuses it."""
        if not self.min_defocus_A < self.max_defocus_A:
            yield Problem(
                "min_defocus_A",
                f"the search goes from {self.min_defocus_A:g} to {self.max_defocus_A:g} A; the "
                "smallest defocus must be below the largest",
                "warning",
            )
        if not self.max_resolution_A < self.min_resolution_A:
            yield Problem(
                "max_resolution_A",
                f"the fit goes from {self.min_resolution_A:g} to {self.max_resolution_A:g} A; the "
                "highest resolution must be a smaller number than the lowest",
                "warning",
            )
        if not self.ctffind_program and self.box_px < _SMALLEST_BOX_PX:
            yield Problem(
                "box_px",
                f"the spectrum has {self.box_px} pixels; at least {_SMALLEST_BOX_PX} are needed to "
                "see rings, and 512 are usual",
                "warning",
            )
        has_range = self.phase_shift_min_deg < self.phase_shift_max_deg
        if self.fit_phase_shift and not (has_range and self.phase_shift_step_deg > 0):
            yield Problem(
                "phase_shift_min_deg",
                f"phase shifts go from {self.phase_shift_min_deg:g} to "
                f"{self.phase_shift_max_deg:g} degrees in steps of "
                f"{self.phase_shift_step_deg:g}; wanted a range and a step above 0",
                "warning",
            )

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label: RELION knows one kind of program."""
        yield "ctffind4"

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the micrographs with their CTF and the report."""
        yield Output("micrographs_ctf.star", f"{MICROGRAPHS}.ctf")
        yield Output("logfile.pdf", f"{LOG_PDF}.ctffind")

    def cleanup(self) -> Cleanup:
        """Return the logs, and the spectra of each micrograph that nothing refers to."""
        return Cleanup(gentle=(Files("gctf*.out"), Files("gctf*.err"), Subfolders()))

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "micrographs", "Micrographs")
        yield Result("headline", "no_rings", "Micrographs without Thon rings")
        yield Result("headline", "max_resolution", "Median resolution of the fits", "Å")
        yield Result("headline", "defocus", "Median defocus", "µm")
        yield Result("plot", "defocus", "Defocus of every micrograph")
        yield Result("plot", "astigmatism", "Astigmatism of every micrograph")
        yield Result("plot", "max_resolution", "Resolution of the fit of every micrograph")
        yield Result("plot", "figure_of_merit", "Figure of merit of every micrograph")
        yield Result("plot", "rings", "Thon rings along lines of equal phase, and the fit")
        yield Result("plot", "spectra", "Spectra (left) beside the fitted CTF (right)")
