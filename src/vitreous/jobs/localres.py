"""Local resolution: how resolution varies over a map."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.errors import Problem
from vitreous.jobs import common
from vitreous.jobs.declare import Input, Options, Output, Result, Start, job, option, shared
from vitreous.jobs.needs import check_half_map, needed
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import DENSITY_MAP, LOCRES_MAP, LOG_PDF, MASK


@job(
    "relion.localres",
    folder="LocalRes",
    gui_name="Local resolution",
    number=16,
    hidden_prefix=".gui_localres",
    place=20,
)
class LocalRes(Options):
    """Measure the resolution of every part of a map."""

    half_map: str = option(like=common.HALF_MAP_FILE)
    mask: str = option(
        default="",
        key="fn_mask",
        label="Mask",
        relion_label="User-provided solvent mask:",
        help="ResMap needs it. The built-in method only uses it for the histogram of resolutions.",
        reads=MASK,
        pattern="Image Files (*.{spi,vol,msk,mrc})",
        on_continue="free",
    )
    pixel_size_A: float = option(
        default=1, like=common.CALIBRATED_PIXEL_SIZE, help="Pixel size of the map.", at_least=0.001
    )
    use_resmap: bool = option(
        default=True,
        key="do_resmap_locres",
        tab="ResMap",
        label="Use ResMap",
        relion_label="Use ResMap?",
        help="Run the ResMap program, which opens a window of its own. The built-in method is "
        "usually the better choice.",
    )
    resmap_program: str = option(
        default="",
        key="fn_resmap",
        tab="ResMap",
        label="ResMap program",
        relion_label="ResMap executable:",
        help="Path of ResMap. RELION_RESMAP_EXECUTABLE gives the default.",
        pattern="ResMap*",
        directory=".",
        when="use_resmap",
        default_env="RELION_RESMAP_EXECUTABLE",
    )
    p_value: float = option(
        default=0.05,
        key="pval",
        tab="ResMap",
        label="P-value",
        relion_label="P-value:",
        help="Significance that ResMap asks for. 0.05 is usual.",
        low=0,
        high=1,
        step=0.01,
        when="use_resmap",
    )
    finest_A: float = option(
        default=0,
        key="minres",
        tab="ResMap",
        label="Finest resolution (Å)",
        relion_label="Highest resolution (A): ",
        help="Where ResMap begins. 0 chooses twice the pixel size.",
        low=0,
        high=10,
        step=0.1,
        off=0,
        when="use_resmap",
    )
    coarsest_A: float = option(
        default=0,
        key="maxres",
        tab="ResMap",
        label="Coarsest resolution (Å)",
        relion_label="Lowest resolution (A): ",
        help="Where ResMap ends. 0 chooses four times the pixel size.",
        low=0,
        high=10,
        step=0.1,
        off=0,
        when="use_resmap",
    )
    step_A: float = option(
        default=1,
        key="stepres",
        tab="ResMap",
        label="Step (Å)",
        relion_label="Resolution step size (A)",
        help="Step of ResMap's search.",
        low=0.1,
        high=3,
        step=0.1,
        when="use_resmap",
    )
    built_in: bool = option(
        default=False,
        key="do_relion_locres",
        tab="Built-in",
        label="Use the built-in method",
        relion_label="Use Relion?",
        help="Correlate the half-maps within a soft sphere that moves over the map, and filter "
        "the map accordingly.",
    )
    bfactor_A2: float = option(
        default=-100,
        key="adhoc_bfac",
        tab="Built-in",
        label="B-factor (Å²)",
        relion_label="User-provided B-factor:",
        help="B-factor for the locally filtered map; negative numbers sharpen. Take the one of "
        "post-processing, or a little less.",
        low=-500,
        high=0,
        step=-25,
        when="built_in",
    )
    mtf: str = option(
        default="",
        like=common.MTF,
        tab="Built-in",
        help="STAR file with the modulation transfer function of the detector. May be empty.",
        when="built_in",
    )
    running: Running = shared(default_factory=Running, without=("n_threads",))

    def check(self, start: Start) -> Iterator[Problem]:
        """Yield what cannot work."""
        if self.use_resmap == self.built_in:
            yield Problem("built_in", "switch exactly one on: ResMap or the built-in method")
        yield from check_half_map(self)
        if not self.use_resmap:
            return
        if not self.resmap_program:
            yield Problem(
                "resmap_program",
                "is empty; give the path of ResMap, or use the built-in method",
            )
        yield from needed(self, "mask", "for ResMap")
        if self.running.use_queue:
            yield Problem("use_queue", "is Yes; ResMap asks questions, so it cannot be queued")
        if self.running.n_ranks > 1:
            yield Problem("n_ranks", f"is {self.running.n_ranks}; ResMap runs as one process")

    def sublabels(self, start: Start) -> Iterator[str]:
        """Yield what is added to the label."""
        if self.use_resmap:
            yield "resmap"
        elif self.built_in:
            yield "own"

    def inputs(self, start: Start) -> Iterator[Input]:
        """Yield the half-map, and the mask where the result depends on it."""
        yield Input("half_map")
        if self.use_resmap:
            yield Input("mask")

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the maps of local resolution, RELION's label for both programs."""
        if self.use_resmap:
            yield Output("half1_resmap.mrc", LOCRES_MAP)
        if not self.built_in:
            return
        if self.mask:
            yield Output("histogram.pdf", f"{LOG_PDF}.localres")
        yield Output("relion_locres_filtered.mrc", f"{DENSITY_MAP}.relion.localresfiltered")
        yield Output("relion_locres.mrc", LOCRES_MAP)

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: there are only results."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "median_resolution", "Median local resolution", "Å")
        yield Result("headline", "best_resolution", "Best local resolution", "Å")
        yield Result("plot", "histogram", "Distribution of local resolution")
        yield Result("plot", "resolution_slices", "Local resolution, central slices")
        if self.built_in:
            yield Result("plot", "filtered_slices", "Locally filtered map, central slices")
