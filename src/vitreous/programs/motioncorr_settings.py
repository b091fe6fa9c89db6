"""What a motion correction job was asked for: its options and additional arguments together."""

from __future__ import annotations

from dataclasses import dataclass

from vitreous.engine.motion.align import Search
from vitreous.engine.motion.measure import Settings as Measuring
from vitreous.errors import InputError
from vitreous.jobs.motioncorr import GAIN_FLIPS, GAIN_ROTATIONS, MotionCorr
from vitreous.programs.extra_flags import Flags


@dataclass(frozen=True)
class Extra:
    """What only additional arguments can say.

    Parameters
    ----------
    relion_compat
        Do as RELION where it is known to be less exact.
    skip_hot
        Do not look for hot pixels.
    halves
        Write sums of even and odd frames.
    max_iterations
        Of each alignment.
    downsampling
        Frame over correlation map; 0 follows from the B-factor.
    eer_upsampling
        1 or 2.
    early_dose_e_per_A2
        Motion up to this dose counts as early.
    spectrum_px
        Side of power spectra.
    do_at_most
        Movies in this run; below 0 all.
    gpu
        Cards for the built-in program; None for the processor.
    """

    relion_compat: bool
    skip_hot: bool
    halves: bool
    max_iterations: int
    downsampling: float
    eer_upsampling: int
    early_dose_e_per_A2: float
    spectrum_px: int
    do_at_most: int
    gpu: str | None


def read_extra(text: str) -> Extra:
    """Read the additional arguments.

    Raises
    ------
    InputError
        One is unknown or out of range.
    """
    flags = Flags("MotionCorr")
    flags.add_argument("--relion_compat", action="store_true")
    flags.add_argument("--skip_defect", action="store_true")
    flags.add_argument("--even_odd_split", action="store_true")
    flags.add_argument("--max_iter", type=int, default=5)
    flags.add_argument("--ccf_downsample", type=float, default=0.0)
    flags.add_argument("--eer_upsampling", type=int, choices=(1, 2), default=1)
    flags.add_argument("--dose_motionstats_cutoff", type=float, default=4.0)
    flags.add_argument("--ps_size", type=int, default=512)
    flags.add_argument("--do_at_most", type=int, default=-1)
    flags.add_argument("--gpu", nargs="?", const="")
    for same in ("--early_binning", "--no_early_binning"):  # one result here: see docs
        flags.add_argument(same, action="store_true")
    given = flags.read(text)
    if given.max_iter < 1 or given.ps_size < 16 or given.ps_size % 2:
        raise InputError(
            f"Additional arguments: --max_iter {given.max_iter} --ps_size {given.ps_size}; wanted "
            "at least 1 iteration and an even size from 16 up."
        )
    return Extra(
        relion_compat=given.relion_compat,
        skip_hot=given.skip_defect,
        halves=given.even_odd_split,
        max_iterations=given.max_iter,
        downsampling=given.ccf_downsample,
        eer_upsampling=given.eer_upsampling,
        early_dose_e_per_A2=given.dose_motionstats_cutoff,
        spectrum_px=given.ps_size,
        do_at_most=given.do_at_most,
        gpu=given.gpu,
    )


def measuring(options: MotionCorr, extra: Extra) -> Measuring:
    """Return how motion is measured, in pixels of the movies as they were recorded."""
    search = Search(
        reach_px=50 * options.binning,
        max_iterations=extra.max_iterations,
        converged_px=0.5 * options.binning,
    )
    return Measuring(
        bfactor_px2=options.bfactor_A2,
        patches=(options.patches_x, options.patches_y),
        group_frames=options.group_frames,
        search=search,
        relion_compat=extra.relion_compat,
    )


def spectrum_group(options: MotionCorr) -> int:
    """Return how many frames are summed for each power spectrum; 0 where none is wanted."""
    if not options.save_power_spectra:
        return 0
    frames = options.power_spectrum_dose_e_per_A2 / options.dose_per_frame_e_per_A2
    return max(1, int(frames + 0.5))


def gain_turn(options: MotionCorr) -> tuple[int, int]:
    """Return the quarter turns and the flip of the gain reference."""
    return GAIN_ROTATIONS.index(options.gain_rotation), GAIN_FLIPS.index(options.gain_flip)


def binned_size(shape: tuple[int, int], binning: float, movie: str) -> tuple[int, int]:
    """Return ``(y, x)`` of the micrograph.

    Raises
    ------
    InputError
        A side would be odd; the nearest binnings that work are named.
    """
    if binning == 1:
        return shape
    size = (int(shape[0] / binning), int(shape[1] / binning))
    if size[0] % 2 == 0 and size[1] % 2 == 0:
        return size
    candidates = (number / 1000 for number in range(1000, int(max(4, binning + 1) * 1000)))
    works = [b for b in candidates if all(int(side / b) % 2 == 0 for side in shape)]
    near = sorted(works, key=lambda b: abs(b - binning))[:3]
    raise InputError(
        f"{movie}: {shape[1]} x {shape[0]} pixels binned {binning:g} times make {size[1]} x "
        f"{size[0]}; both must be even. Binnings near that which work: "
        f"{', '.join(f'{b:g}' for b in sorted(near)) or 'none'}."
    )
