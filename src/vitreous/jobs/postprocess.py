"""Post-processing: sharpen a map and measure its resolution."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_half_map
from vitreous.jobs.shared import Running
from vitreous.project.node_types import DENSITY_MAP, LOG_PDF, MASK, POSTPROCESS


@job(
    "relion.postprocess",
    folder="PostProcess",
    gui_name="Post-processing",
    number=15,
    hidden_prefix=".gui_post",
    place=19,
)
class PostProcess(Options):
    """Sharpen a refined map and measure its resolution inside a mask."""

    half_map: str = option(like=common.HALF_MAP_FILE)
    mask: str = option(
        key="fn_mask",
        label="Solvent mask",
        relion_label="Solvent mask:",
        help="Soft mask around the particle. Its edge must be soft enough: the FSC with "
        "randomised phases shows how much it adds.",
        reads=MASK,
        pattern="Image Files (*.{spi,vol,msk,mrc})",
    )
    pixel_size_A: float = option(
        default=-1,
        like=common.CALIBRATED_PIXEL_SIZE,
        help="Pixel size, if a better one is known than that in the file. -1 takes it from the "
        "file.",
        on_continue="free",
    )
    fit_bfactor: bool = option(
        default=True,
        key="do_auto_bfac",
        tab="Sharpen",
        label="Estimate the B-factor",
        relion_label="Estimate B-factor automatically?",
        help="Fit a line to the Guinier plot. Needs a map better than about 10 Å.",
        on_continue="free",
    )
    fit_from_A: float = option(
        default=10,
        key="autob_lowres",
        tab="Sharpen",
        label="Fit from (Å)",
        relion_label="Lowest resolution for auto-B fit (A):",
        help="Low-resolution end of the line, below which the shape of the particle dominates. "
        "10 Å is usual.",
        low=8,
        high=15,
        step=0.5,
        at_least=0.1,
        when="fit_bfactor",
        on_continue="free",
    )
    use_given_bfactor: bool = option(
        default=False,
        key="do_adhoc_bfac",
        tab="Sharpen",
        label="Use a B-factor of your own",
        relion_label="Use your own B-factor?",
        help="Sharpen with a given B-factor rather than the fitted one.",
        on_continue="free",
    )
    given_bfactor_A2: float = option(
        default=-1000,
        key="adhoc_bfac",
        tab="Sharpen",
        label="B-factor (Å²)",
        relion_label="User-provided B-factor:",
        help="Negative numbers sharpen: -50 to -200 for most maps.",
        low=-2000,
        high=0,
        step=-50,
        when="use_given_bfactor",
        on_continue="free",
    )
    skip_fsc_weighting: bool = option(
        default=False,
        key="do_skip_fsc_weighting",
        tab="Sharpen",
        label="Skip FSC weighting",
        relion_label="Skip FSC-weighting?",
        help="Do not weight by the FSC; filter at the resolution below instead. For looking at "
        "details at a chosen resolution.",
        on_continue="free",
    )
    low_pass_A: float = option(
        default=5,
        key="low_pass",
        tab="Sharpen",
        label="Low-pass filter (Å)",
        relion_label="Ad-hoc low-pass filter (A):",
        help="Resolution to filter at.",
        low=1,
        high=40,
        step=1,
        at_least=0.1,
        when="skip_fsc_weighting",
        on_continue="free",
    )
    mtf: str = option(
        default="",
        like=common.MTF,
        tab="Sharpen",
        help="STAR file with the modulation transfer function of the detector, which is divided "
        "out. Empty if the optics table of the particles has it.",
        on_continue="free",
    )
    mtf_pixel_size_A: float = option(
        default=1,
        key="mtf_angpix",
        tab="Sharpen",
        label="Pixel size of the detector (Å)",
        relion_label="Original detector pixel size:",
        help="Pixel size of the original images, before any binning, to which the MTF belongs.",
        low=0.3,
        high=2,
        step=0.1,
        at_least=0.001,
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks", "n_threads"))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        yield from check_half_map(self)

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the sharpened maps, the report and the numbers."""
        yield Output("postprocess.mrc", f"{DENSITY_MAP}.relion.postprocess")
        yield Output("postprocess_masked.mrc", f"{DENSITY_MAP}.relion.postprocess.masked")
        yield Output("logfile.pdf", f"{LOG_PDF}.postprocess")
        yield Output("postprocess.star", POSTPROCESS)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "resolution", "Final resolution", "Å")
        yield Result("headline", "bfactor", "B-factor", "Å²")
        yield Result("headline", "mask_volume", "Part of the box inside the mask", "%")
        yield Result("plot", "fsc", "Fourier shell correlation")
        yield Result("plot", "guinier", "Guinier plot")
        yield Result("plot", "slices", "Central slices of the sharpened map")
        yield from _validation()


def _validation() -> Iterator[Result]:
    """Yield what is told of the map beyond its FSC (`programs.validation`)."""
    for name, label, unit in (
        ("resolution_error", "Standard error of the resolution", "Å"),
        ("best_direction", "Resolution of the best tenth of directions", "Å"),
        ("worst_direction", "Resolution of the worst tenth of directions", "Å"),
        ("anisotropy", "Worst over best tenth of directions", ""),
        ("anisotropy_by_chance", "Worst over best tenth, an isotropic map", ""),
        ("sphericity", "Sphericity of the resolution", ""),
        ("sphericity_by_chance", "Sphericity, an isotropic map", ""),
        ("mask_correlation", "FSC made by the mask at the resolution", ""),
        ("mask_gain", "Resolution in a wider mask over that expected", ""),
        ("shared_noise", "FSC beyond the resolution", ""),
        ("scf", "Sampling compensation factor", ""),
        ("scf_by_chance", "Sampling compensation factor, as many even views", ""),
        ("unsampled", "Directions without any view", "%"),
        ("split_resolution", "Resolution of random half splits, mean", "Å"),
        ("split_deviation", "Resolution of random half splits, deviation", "Å"),
    ):
        yield Result("headline", name, label, unit)
    for name, label in (
        ("mask", "Tightness of the mask"),
        ("spread", "FSC and how far it may be off"),
        ("directional_fsc", "FSC by direction"),
        ("occupancy", "Fourier shell occupancy"),
        ("directions", "Resolution by direction"),
        ("views", "Views and sampling"),
        ("splits", "FSC of random half splits of the particles"),
    ):
        yield Result("plot", name, label)
