"""Mask creation: a soft solvent mask from a map."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.jobs import common
from vitreous.jobs.declare import Options, Output, Result, Start, job, option, shared
from vitreous.jobs.shared import Running
from vitreous.project.clean_rules import Cleanup
from vitreous.project.node_types import DENSITY_MAP, MASK


@job(
    "relion.maskcreate",
    folder="MaskCreate",
    gui_name="Mask creation",
    number=12,
    hidden_prefix=".gui_maskcreate",
    place=16,
)
class MaskCreate(Options):
    """Make a soft mask around the particle in a map."""

    map: str = option(
        key="fn_in",
        label="Map",
        relion_label="Input 3D map:",
        help="Map to start from, such as the result of a refinement or post-processing.",
        reads=DENSITY_MAP,
        pattern="MRC map files (*.mrc)",
    )
    low_pass_A: float = option(
        default=15,
        key="lowpass_filter",
        tab="Mask",
        label="Low-pass filter (Å)",
        relion_label="Lowpass filter map (A)",
        help="The map is smoothed to this resolution before the threshold. 15 Å is usual; 0 or "
        "less is off.",
        low=10,
        high=100,
        step=5,
        off=0,
        on_continue="free",
    )
    pixel_size_A: float = option(
        default=-1,
        like=common.PIXEL_SIZE,
        tab="Mask",
        help="-1 takes it from the map.",
        on_continue="free",
    )
    threshold: float = option(
        default=0.02,
        key="inimask_threshold",
        tab="Mask",
        label="Threshold",
        relion_label="Initial binarisation threshold:",
        help="Density from which on a voxel belongs to the particle. Look at the map at a level "
        "where no noise is left outside it.",
        low=0,
        high=0.5,
        step=0.01,
        on_continue="free",
    )
    extend_px: float = option(
        default=3,
        key="extend_inimask",
        tab="Mask",
        label="Extend by (px)",
        relion_label="Extend binary map this many pixels:",
        help="Grow the particle by this many voxels. 0 to 7.",
        low=0,
        high=20,
        step=1,
        on_continue="free",
    )
    soft_edge_px: float = option(
        default=3,
        key="width_mask_edge",
        tab="Mask",
        label="Soft edge (px)",
        relion_label="Add a soft-edge of this many pixels:",
        help="Width of the soft edge around it. 6 or more for post-processing, so that the edge "
        "does not raise the FSC.",
        low=0,
        high=20,
        step=1,
        at_least=0,
        on_continue="free",
    )
    is_helix: bool = option(
        default=False,
        key="do_helix",
        tab="Helix",
        label="Helix",
        relion_label="Mask a 3D helix?",
        help="Keep only the central part along z, since a helix goes through the box.",
        on_continue="free",
    )
    central_z_percent: float = option(
        default=30,
        like=common.CENTRAL_Z,
        tab="Helix",
        help="Part of the box along z that the mask covers. About 30 %.",
        when="is_helix",
        on_continue="free",
    )
    running: Running = shared(default_factory=Running, without=("n_ranks",))

    def outputs(self, start: Start) -> Iterator[Output]:
        """Yield the mask."""
        yield Output("mask.mrc", f"{MASK}.relion")

    def cleanup(self) -> Cleanup:
        """Refuse cleaning: there is nothing but the mask."""
        return Cleanup(refused=True)

    def results(self) -> Iterator[Result]:
        """Yield what a page about the job shows."""
        yield Result("headline", "volume", "Part of the box inside the mask", "%")
        yield Result("headline", "parts", "Separate parts at the threshold")
        yield Result("headline", "threshold", "Threshold that was found")
        yield Result("headline", "noise", "Deviation of the solvent")
        yield Result("plot", "noise", "Densities, noise of the solvent, and threshold")
        yield Result("plot", "slices", "Central slices of map and mask")
