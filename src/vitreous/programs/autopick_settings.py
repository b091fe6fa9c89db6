"""What an AutoPick job is asked for, checked, in the words of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from vitreous.engine.picking.blobs import NO_UPPER_LIMIT, BlobSearch
from vitreous.engine.picking.filaments import FilamentSearch
from vitreous.engine.picking.peaks import PeakSearch
from vitreous.errors import InputError
from vitreous.jobs.autopick import AutoPick
from vitreous.programs.extra_flags import Flags

FOM_MAP_LIMIT = 30


@dataclass(frozen=True)
class Extra:
    """The additional arguments.

    Parameters
    ----------
    do_at_most
        Micrographs of this run; below 0 for all.
    particle_diameter_A
        Of the mask of the references; below 0 it is found from them.
    gaussian
        Whether the reference is a Gaussian blob, and its peak.
    gaussian_peak
        See `gaussian`.
    shrink_mask_px, skip_side_px
        Passed on to the engine.
    no_fom_limit
        Write maps of merit of any number of micrographs.
    keep_size
        Do not look for sizes that transform fast.
    ctf_to_first_peak
        Divide by the CTF up to its first peak before blobs are searched.
    drop_close_pairs
        RELION's last step: of two peaks that are too close, neither is kept.
    neighbour, max_search
        See `BlobSearch`.
    local_diameter_A
        Diameter of the local average of filaments; below 0 three tube diameters.
    start_end
        Write both ends of each filament instead of segments.
    correlation_coefficient
        The merit of templates is the correlation coefficient inside the mask.
    local_contrast
        Blobs are searched in the contrast of their surroundings.
    """

    do_at_most: int
    particle_diameter_A: float
    gaussian: bool
    gaussian_peak: float
    shrink_mask_px: int
    skip_side_px: int
    no_fom_limit: bool
    keep_size: bool
    ctf_to_first_peak: bool
    drop_close_pairs: bool
    neighbour: float
    max_search: float
    local_diameter_A: float
    start_end: bool
    correlation_coefficient: bool
    local_contrast: bool


def read_extra(options: AutoPick) -> Extra:
    """Read the additional arguments."""
    found = _flags().read(options.running.other_arguments)
    if found.ref not in (None, "gauss"):
        raise InputError(
            f"Additional arguments: --ref is {found.ref}; only gauss can be given so. Name other "
            "references in the form."
        )
    return Extra(
        do_at_most=found.do_at_most,
        particle_diameter_A=found.particle_diameter,
        gaussian=found.ref == "gauss",
        gaussian_peak=found.gauss_max,
        shrink_mask_px=found.shrink_particle_mask,
        skip_side_px=found.skip_side,
        no_fom_limit=found.no_fom_limit,
        keep_size=found.skip_optimise_scale,
        ctf_to_first_peak=found.LoG_use_ctf,
        drop_close_pairs=found.drop_close_pairs,
        neighbour=found.LoG_neighbour / 100,
        max_search=found.Log_max_search,
        local_diameter_A=found.max_diam_local_avg,
        start_end=found.start_end,
        correlation_coefficient=found.correlation_coefficient,
        local_contrast=found.local_contrast,
    )


def blob_search(options: AutoPick, extra: Extra) -> BlobSearch:
    """Return what blobs are searched."""
    upper = options.log_upper_threshold_sigma
    return BlobSearch(
        options.log_min_diameter_A,
        options.log_max_diameter_A,
        options.log_threshold_sigma,
        NO_UPPER_LIMIT if upper >= 999 else upper,
        extra.neighbour,
        extra.max_search,
        extra.skip_side_px,
        extra.local_contrast,
    )


def peak_search(
    options: AutoPick, extra: Extra, box_px: int, radius_px: int, pixel_size_A: float
) -> PeakSearch:
    """Return which peaks of template matching are particles."""
    step_A = options.n_asymmetric_units * options.rise_A if options.pick_helix else -1.0
    distance_A = step_A if step_A > 0 else options.min_distance_A
    return PeakSearch(
        options.threshold,
        distance_A / pixel_size_A if distance_A > 0 else box_px / 2,
        extra.skip_side_px + box_px // 2,
        options.max_noise_sigma if options.max_noise_sigma > 0 else None,
        options.min_noise_average if options.min_noise_average > -900 else None,
        extra.drop_close_pairs,
        float(radius_px),
    )


def filament_search(options: AutoPick, search: PeakSearch, work_pixel_A: float) -> FilamentSearch:
    """Return what filaments are searched.

    The curvature is that of a circle as wide as the tube, times the option.
    """
    tube_radius = options.tube_diameter_A / 2 / work_pixel_A
    return FilamentSearch(
        search.threshold,
        tube_radius,
        max(0.0, options.min_tube_length_A) / work_pixel_A,
        options.max_curvature / tube_radius,
        options.is_amyloid,
    )


def require_few_maps(options: AutoPick, extra: Extra, n_micrographs: int) -> None:
    """Refuse to write maps of merit of many micrographs."""
    n = min(n_micrographs, extra.do_at_most) if extra.do_at_most >= 0 else n_micrographs
    if options.write_fom_maps and n > FOM_MAP_LIMIT and not extra.no_fom_limit:
        raise InputError(
            f"Maps of merit of {n:,} micrographs would fill the disk; they are for trying "
            f"thresholds on at most {FOM_MAP_LIMIT}. Pick from fewer (--do_at_most 10 as an "
            "additional argument), or insist with --no_fom_limit."
        )


def _flags() -> Flags:
    flags = Flags("AutoPick")
    add = flags.add_argument
    add("--do_at_most", type=int, default=-1)
    add("--particle_diameter", type=float, default=-1.0)
    add("--ref", default=None)
    add("--gauss_max", type=float, default=0.1)
    add("--shrink_particle_mask", type=int, default=2)
    add("--skip_side", type=int, default=0)
    add("--no_fom_limit", action="store_true")
    add("--skip_optimise_scale", action="store_true")
    add("--LoG_use_ctf", action="store_true")
    add("--LoG_neighbour", type=float, default=100.0)
    add("--Log_max_search", type=float, default=5.0)
    add("--max_diam_local_avg", type=float, default=-1.0)
    add("--start_end", action="store_true")
    add("--drop_close_pairs", action="store_true")
    add("--correlation_coefficient", action="store_true")
    add("--local_contrast", action="store_true")
    return flags
