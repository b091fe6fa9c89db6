"""Local resolution: how resolution varies over a map, and the map filtered accordingly."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitreous.engine import fourier_volume, resolution, sharpening
from vitreous.engine.kernels import shells
from vitreous.engine.local_resolution import LocalSums, Measurement, Place, Probe
from vitreous.errors import InputError
from vitreous.io import Table, write_star, write_volume
from vitreous.jobs.context import Run
from vitreous.jobs.localres import LocalRes
from vitreous.programs.extra_flags import Flags
from vitreous.programs.half_maps import HalfMaps, read_halves, read_mask
from vitreous.programs.localres_report import report
from vitreous.programs.localres_resmap import run_resmap
from vitreous.programs.localres_work import MeasurePlaces
from vitreous.programs.postprocess_settings import read_mtf

_SHELL_0_A = 999.0
_INSIDE = 0.5


def run(options: LocalRes, run: Run) -> None:
    """Measure local resolution with the built-in method or with ResMap."""
    if not options.use_resmap:
        _run_own(options, run)
    elif run.rank == 0:
        run_resmap(options, run)


def _run_own(options: LocalRes, run: Run) -> None:
    extra = _extra(options)
    with run.phase("Reading maps", 2, "files") as progress:
        halves = read_halves(run, options.half_map, extra.i2, options.pixel_size_A)
        inside = read_mask(run, options.mask, halves) > _INSIDE if options.mask else None
        progress.advance(2)
    box_px, pixel_size_A = halves.box_px, halves.pixel_size_A
    probe = _probe(halves, extra)
    centres = probe.places(box_px)
    if not centres:
        raise InputError(
            f"No sphere of {probe.radius_px * pixel_size_A:.4g} Å radius, "
            f"{probe.step_px * pixel_size_A:.4g} Å from the next, fits into the box of "
            f"{box_px * pixel_size_A:.4g} Å; make --locres_maskrad or --locres_sampling smaller."
        )
    curve = _curve(halves, options, extra, run)
    measurement = Measurement(
        (halves.first, halves.second),
        _randomised(halves, probe, extra.random_seed, run),
        partial(_sharpened, halves.first, halves.second, curve),
        pixel_size_A,
        probe,
        whole=extra.whole_maps,
    )
    work = MeasurePlaces(run, measurement, _sense(extra, halves, run.project))
    del halves  # the measurement lets go of them as soon as it can
    run.say(
        f"{len(centres):,} places, {probe.step_px} pixels apart; windows of "
        f"{measurement.side} pixels for a box of {box_px}"
    )
    places = work.through(centres)
    if run.rank > 0:
        return
    _tell_limits(places, pixel_size_A, run)
    measurement.forget()
    sums = LocalSums(box_px)
    with run.phase("Filtering locally", len(places), "places") as progress:
        for place in places:
            measurement.join(place, sums)
            progress.advance()
            run.check_abort()
    resolution_A, filtered = sums.finish()
    root = run.path / "relion_locres"
    for name, volume in (("", resolution_A), ("_filtered", filtered)):
        write_volume(f"{root}{name}.mrc", np.asarray(volume), pixel_size_A)
    write_star(f"{root}_fscs.star", _tables(places, box_px, pixel_size_A))
    work.forget()
    del work, measurement, sums  # their memory serves the report
    report(run, resolution_A, inside, filtered)


def _sense(extra: argparse.Namespace, halves: HalfMaps, project: Path) -> str:
    """Return what measured places depend on: those of another are not taken over."""
    used = {name: value for name, value in vars(extra).items() if name != "mtf_angpix"}
    files = [(name, (project / name).stat().st_mtime_ns) for name in halves.names]
    return repr((sorted(used.items()), halves.pixel_size_A, files))


def _extra(options: LocalRes) -> argparse.Namespace:
    flags = Flags("LocalRes")
    flags.add_argument("--i2", default="")
    flags.add_argument("--whole_maps", action="store_true")
    flags.add_argument("--locres_sampling", type=float, default=25.0)
    for name in ("locres_maskrad", "locres_edgwidth", "mtf_angpix"):
        flags.add_argument(f"--{name}", type=float, default=-1.0)
    flags.add_argument("--locres_randomize_at", type=float, default=25.0)
    flags.add_argument("--locres_minres", type=float, default=50.0)
    flags.add_argument("--random_seed", type=int, default=0)
    extra = flags.read(options.running.other_arguments)
    for name in ("locres_sampling", "locres_randomize_at", "locres_minres"):
        value = getattr(extra, name)
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"Additional arguments: --{name} is {value:g}; wanted Å above 0.")
    return extra


def _probe(halves: HalfMaps, extra: argparse.Namespace) -> Probe:
    """Return the moving sphere, in whole pixels as RELION has it.

    Its size follows the sampling where none was given.
    """
    sampling_A, pixel_size_A = extra.locres_sampling, halves.pixel_size_A
    radius_A = extra.locres_maskrad if extra.locres_maskrad > 0 else sampling_A / 2
    edge_A = extra.locres_edgwidth if extra.locres_edgwidth > 0 else sampling_A
    shell = int(halves.box_px * pixel_size_A / extra.locres_randomize_at)
    if not 1 <= shell <= halves.box_px // 2:
        raise InputError(
            f"Additional arguments: --locres_randomize_at is {extra.locres_randomize_at:g} Å; "
            f"wanted between {2 * pixel_size_A:.3g} Å (Nyquist) and "
            f"{halves.box_px * pixel_size_A:.4g} Å (the box). Is the pixel size "
            f"({pixel_size_A:g} Å) right?"
        )
    step_px, radius_px, edge_px = (
        max(1, int(size_A / pixel_size_A + 0.5)) for size_A in (sampling_A, radius_A, edge_A)
    )
    return Probe(step_px, radius_px, edge_px, shell, extra.locres_minres)


def _randomised(halves: HalfMaps, probe: Probe, seed: int, run: Run) -> tuple[Tensor, Tensor]:
    """Return the half-maps with random phases, drawn once for the whole maps.

    Their correlation is looked at on the way.
    """
    generator = torch.Generator().manual_seed(seed)
    transforms = [fourier_volume.forward(half) for half in (halves.first, halves.second)]
    curve = resolution.fsc_of_transforms(transforms[0], transforms[1], 3)
    if resolution.first_below(curve, resolution.THRESHOLD) is None:
        run.warn(
            "The FSC of the whole half-maps, without a mask, never falls below 0.143: up to "
            f"{2 * halves.pixel_size_A:.3g} Å (Nyquist) they are alike even in the solvent. They "
            "are not independent (filtered, masked, or refined together), or the pixels are too "
            "coarse for this map. Local resolutions are then only limits.",
            halves.names[0],
        )
    made = []
    while transforms:
        turned = shells.randomise_(transforms.pop(0), probe.randomised_from, generator)
        made.append(fourier_volume.inverse_(turned, halves.box_px))
        del turned
    return made[0], made[1]


def _tell_limits(places: Sequence[Place], pixel_size_A: float, run: Run) -> None:
    """Say at how many places the curve never falls, so that there is no resolution but a limit."""
    n_never = sum(
        resolution.first_below(place.corrected, resolution.THRESHOLD) is None for place in places
    )
    if n_never:
        run.warn(
            f"At {n_never:,} of {len(places):,} places the FSC never falls below 0.143: the local "
            f"resolution given there, {2 * pixel_size_A:.3g} Å, is only the limit that the pixels "
            "set. Use smaller pixels (less binning) to see more; if these places lie in the "
            "solvent, the half-maps are not independent."
        )


def _curve(halves: HalfMaps, options: LocalRes, extra: argparse.Namespace, run: Run) -> Tensor:
    """Return what makes the sum of the half-maps their mean, without MTF, with the B-factor."""
    size = halves.box_px
    curve = sharpening.flat(size) / 2
    if options.mtf:
        detector_A = extra.mtf_angpix
        if detector_A <= 0:
            detector_A = halves.pixel_size_A
            run.warn(
                "The MTF is taken to belong to pixels of the size of the map "
                f"({detector_A:g} Å). If the particles were binned, give the pixel size of the "
                "detector as --mtf_angpix in the additional arguments.",
                options.mtf,
            )
        ratio = detector_A / halves.pixel_size_A
        curve = curve * sharpening.mtf_curve(size, *read_mtf(run.project, options.mtf), ratio)
    if options.bfactor_A2:
        curve = curve * sharpening.b_factor_curve(size, options.bfactor_A2, halves.pixel_size_A)
    return curve


def _sharpened(first: Tensor, second: Tensor, curve: Tensor) -> Tensor:
    """Return the transform of the map that is filtered."""
    return shells.multiply_(fourier_volume.forward(first, plus=second), curve)


def _tables(places: Sequence[Place], box_px: int, pixel_size_A: float) -> list[Table]:
    """Return a list of the places (pixels from the centre), and the curves of each."""
    centres = np.array([place.centre_px for place in places])
    columns: dict[str, object] = {
        f"rlnCoordinate{axis}": centres[:, number] for number, axis in enumerate("XYZ")
    }
    columns["rlnAngstromResolution"] = [place.resolution_A for place in places]
    tables = [Table.from_columns("places", columns)]
    shells = np.arange(box_px // 2 + 1)
    frequency = shells / (box_px * pixel_size_A)
    frequency[0] = 1 / _SHELL_0_A
    random = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
    for place in places:
        x, y, z = place.centre_px
        curves: dict[str, object] = {
            "rlnSpectralIndex": shells,
            "rlnResolution": frequency,
            "rlnAngstromResolution": 1 / frequency,
            "rlnFourierShellCorrelationCorrected": place.corrected.numpy(),
            "rlnFourierShellCorrelationMaskedMaps": place.masked.numpy(),
            random: place.randomised.numpy(),
        }
        tables.append(Table.from_columns(f"fsc_{x:05d}_{y:05d}_{z:05d}", curves))
    return tables
