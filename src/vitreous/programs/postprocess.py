"""Post-processing: the resolution of a map inside a mask, and its sharpening.

Steps and numbers are those of postprocessing.md section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vitreous.engine import fourier_volume, resolution, sharpening
from vitreous.engine.kernels import shells
from vitreous.errors import InputError
from vitreous.io import write_volume
from vitreous.jobs.context import Run
from vitreous.jobs.postprocess import PostProcess
from vitreous.programs import postprocess_report
from vitreous.programs.half_maps import HalfMaps, read_halves, read_mask, share_inside
from vitreous.programs.maps import central_slices
from vitreous.programs.pdf_log import write_log
from vitreous.programs.postprocess_files import (
    Guinier,
    Measured,
    write_fsc_text,
    write_fsc_xml,
    write_report,
)
from vitreous.programs.postprocess_settings import Extra, read_extra, read_mtf

_ROOT = "postprocess"
_MASK_ADDS = 0.1
_Room = tuple[Tensor, Tensor]  # memory for two transforms, used again and again


@dataclass(frozen=True)
class Sharpened:
    """A sharpened map, and what was found on the way.

    Parameters
    ----------
    volume
        ``z y x``.
    guinier
        Of the steps done.
    b_factor_A2
        0 where there was neither a fit nor a given one.
    """

    volume: Tensor
    guinier: Guinier
    b_factor_A2: float


def run(options: PostProcess, run: Run) -> None:
    """Correlate the half-maps, sharpen their mean, write and show it."""
    extra = read_extra(options)
    if options.fit_bfactor and options.use_given_bfactor:
        raise InputError(
            "Both “Estimate the B-factor” and “Use a B-factor of your own” are on; "
            "switch one of them off."
        )
    with run.phase("Reading maps", 2, "files") as progress:
        halves = read_halves(run, options.half_map, extra.i2, options.pixel_size_A)
        mask = read_mask(run, options.mask, halves)
        mtf = read_mtf(run.project, options.mtf) if options.mtf else None
        progress.advance(2)
    if not extra.skip_validation:
        from vitreous.programs import validation  # loads much that is not needed without it
    seen = None if extra.skip_validation else validation.watch(mask)
    room = fourier_volume.room(halves.first), fourier_volume.room(halves.second)
    with run.phase("Correlating the half-maps", 1, "pairs") as progress:
        measured = measure(halves, mask, options.mask, extra, run, seen, room)
        progress.advance()
    run.check_abort()
    wanted = _Wanted(options, extra, mtf, measured, room)
    with run.phase("Sharpening", 1 + 2 * extra.half_maps, "maps") as progress:
        both = fourier_volume.forward(halves.first, plus=halves.second, out=room[0])
        result = sharpen(both, 2, wanted, run)
        volume = result.volume
        shown = central_slices(volume)
        _write(volume, "", mask, wanted, run)
        progress.advance()
        if extra.half_maps:
            fixed = replace(wanted, b_factor_A2=result.b_factor_A2)
            for number, half in enumerate((halves.first, halves.second), start=1):
                run.check_abort()
                same = sharpen(fourier_volume.forward(half, out=room[0]), 1, fixed, run)
                _write(same.volume, f"_half{number}", mask, wanted, run)
                progress.advance()
    root = run.path / _ROOT
    star, maps = root.with_suffix(".star"), f"{run.folder}{_ROOT}"
    write_report(star, maps, measured, result.guinier, result.b_factor_A2)
    write_fsc_xml(run.path / f"{_ROOT}_fsc.xml", measured)
    write_fsc_text(run.path / f"{_ROOT}_fsc.dat", measured)
    postprocess_report.tell(run, measured, result.guinier, result.b_factor_A2, shown)
    if seen is not None:
        checks = validation.Wanted(extra.particles, extra.sym, extra.n_splits, extra.random_seed)
        validation.report(run, halves, mask, seen, measured.curves, checks)
    write_log(run.path)


def measure(
    halves: HalfMaps,
    mask: Tensor,
    mask_name: str,
    extra: Extra,
    run: Run,
    watch: resolution.Watch | None = None,
    room: _Room | None = None,
) -> Measured:
    """Correlate the half-maps without and with the mask, and read off the resolution.

    Where the unmasked curve goes further than the masked one, the mask is no good and the
    unmasked curve counts, unless `force_mask` is set.
    """
    box_px, pixel_size_A = halves.box_px, halves.pixel_size_A
    generator = torch.Generator().manual_seed(extra.random_seed)
    curves = resolution.fsc_curves(
        halves.first,
        halves.second,
        mask,
        generator,
        randomise=resolution.Randomising(
            _start_shell(box_px, pixel_size_A, extra), extra.randomize_at_fsc, extra.n_random
        ),
        watch=watch,
        room=room,
    )
    if curves.never_fell:
        run.warn(
            "The FSC without a mask never falls below "
            f"{extra.randomize_at_fsc:g}, so there is nowhere to randomise phases and the effect "
            "of the mask cannot be told. Either the pixels are too coarse for this map, or the "
            "half-maps are not independent (filtered, masked, or refined together)."
        )
    unmasked_shell = resolution.resolution_shell(curves.unmasked)
    shell = resolution.resolution_shell(curves.best)
    if unmasked_shell > shell and not extra.force_mask:
        run.warn(
            "Without the mask the FSC goes further "
            f"({_text(unmasked_shell, box_px, pixel_size_A)}) than inside it "
            f"({_text(shell, box_px, pixel_size_A)}), so the unmasked curve is used. The mask "
            "may cut into the particle. --force_mask in the additional arguments keeps it.",
            mask_name,
        )
        curves = replace(curves, corrected=curves.unmasked)
        shell = unmasked_shell
    elif (added := _added(curves, shell)) > _MASK_ADDS:
        run.warn(
            f"At {_text(shell, box_px, pixel_size_A)} the FSC with randomised phases is still "
            f"{added:.2f}: the mask itself makes that much "
            "correlation. It is too tight or its edge too hard for this resolution to be "
            "trusted; use a wider, softer mask.",
            mask_name,
        )
    return Measured(
        halves.names,
        mask_name,
        curves,
        box_px,
        pixel_size_A,
        inside=share_inside(mask),
        weight_kDa=extra.molweight,
    )


def _added(curves: resolution.FscCurves, shell: int) -> float:
    """Return the correlation that the mask makes; 0 where there were no random phases to tell."""
    if curves.randomised is None or curves.never_fell:
        return 0.0
    return float(curves.randomised[shell])


def _start_shell(box_px: int, pixel_size_A: float, extra: Extra) -> int | None:
    """Return the shell of the resolution asked for, None to leave it to the curve."""
    if extra.randomize_at_A <= 0:
        return None
    shell = int(box_px * pixel_size_A / extra.randomize_at_A)
    if not 1 <= shell <= box_px // 2:
        raise InputError(
            f"Additional arguments: --randomize_at_A is {extra.randomize_at_A:g}; wanted between "
            f"{2 * pixel_size_A:.3g} Å (Nyquist) and {box_px * pixel_size_A:.4g} Å (the box)."
        )
    return shell


def _text(shell: int, box_px: int, pixel_size_A: float) -> str:
    return f"{box_px * pixel_size_A / shell:.2f} Å" if shell else "no resolution"


@dataclass(frozen=True)
class _Wanted:
    """How a map is sharpened; a B-factor that is known is not fitted again."""

    options: PostProcess
    extra: Extra
    mtf: tuple[Tensor, Tensor] | None
    measured: Measured
    room: _Room
    b_factor_A2: float | None = None


def sharpen(transform: Tensor, n_maps: int, wanted: _Wanted, run: Run) -> Sharpened:
    """Divide by the MTF, weight by the FSC, apply the B-factor, filter.

    The map lies in memory that the next one takes, and the transform is destroyed.

    Parameters
    ----------
    transform
        ``z y xh``, of a half-map or of the sum of both.
    n_maps
        How many were added; their mean is sharpened.
    wanted
        How.
    run
        Is told what was found.
    """
    options, measured = wanted.options, wanted.measured
    size, pixel_size_A = measured.box_px, measured.pixel_size_A
    curve = sharpening.flat(size) / n_maps
    amplitudes = shells.amplitudes(transform)
    axis = sharpening.guinier_axis(size, pixel_size_A)
    plot = Guinier(axis, sharpening.guinier(amplitudes, size, curve))
    if wanted.mtf is not None:
        ratio = options.mtf_pixel_size_A / pixel_size_A
        curve = curve * sharpening.mtf_curve(size, *wanted.mtf, ratio)
        plot = replace(plot, without_mtf=sharpening.guinier(amplitudes, size, curve))
    if not options.skip_fsc_weighting:
        curve = curve * sharpening.fsc_curve(size, measured.curves.best)
        plot = replace(plot, weighted=sharpening.guinier(amplitudes, size, curve))
    b_factor_A2 = wanted.b_factor_A2
    if b_factor_A2 is None and options.use_given_bfactor:
        b_factor_A2 = options.given_bfactor_A2
    elif b_factor_A2 is None and options.fit_bfactor:
        plot = replace(plot, line=_fit(plot, wanted, run))
        b_factor_A2 = plot.line.b_factor_A2 if plot.line else 0.0
    if b_factor_A2:
        curve = curve * sharpening.b_factor_curve(size, b_factor_A2, pixel_size_A)
        plot = replace(plot, sharpened=sharpening.guinier(amplitudes, size, curve))
    low_pass_A = _low_pass_A(wanted)
    if low_pass_A > 0:
        edge = wanted.extra.filter_edge_width
        curve = curve * sharpening.low_pass_curve(size, low_pass_A, pixel_size_A, edge)
    filtered = shells.multiply_(transform, curve)
    out = fourier_volume.as_map(wanted.room[1], size)
    volume = fourier_volume.inverse_(filtered, size, out=out, reach=_reach(curve))
    return Sharpened(volume, plot, b_factor_A2 or 0.0)


def _reach(curve: Tensor) -> int:
    """Return the length of the longest whole-number frequency that a curve leaves."""
    return math.isqrt(int(torch.nonzero(curve)[-1])) if curve.any() else 0


def _fit(plot: Guinier, wanted: _Wanted, run: Run) -> sharpening.Line | None:
    coarsest_A, finest_A = wanted.options.fit_from_A, wanted.extra.autob_highres
    line = sharpening.fit_line(plot.inverse_d2, plot.last_amplitudes, coarsest_A, finest_A)
    found = wanted.measured.resolution_text
    if line is None:
        run.warn(
            f"No B-factor was fitted: the map ({found}) has fewer than two shells beyond "
            f"{coarsest_A:g} Å, where the line begins. The map is not sharpened; raise “Fit "
            "from” or give a B-factor of your own."
        )
        return None
    if line.n_points < 5:
        run.warn(
            f"The B-factor rests on {line.n_points} shells between {coarsest_A:g} Å and the "
            f"resolution ({found}), too few for a line. Judge it by the map, or give one of "
            "your own."
        )
    if line.slope > 0:
        run.warn(
            f"The fitted B-factor is positive ({line.b_factor_A2:.0f} Å²): it blurs the map. "
            "Was the map sharpened or filtered before? Give the unfiltered half-maps."
        )
    return line


def _low_pass_A(wanted: _Wanted) -> float:
    """Return where the map is filtered, 0 for nowhere."""
    if wanted.extra.low_pass:
        asked = wanted.extra.low_pass
    else:
        asked = wanted.options.low_pass_A if wanted.options.skip_fsc_weighting else 0.0
    found_A = wanted.measured.resolution_A
    return (found_A if math.isfinite(found_A) else 0.0) if asked < 0 else asked


def _write(volume: Tensor, suffix: str, mask: Tensor, wanted: _Wanted, run: Run) -> None:
    """Write a sharpened map, and the same inside the mask, which is then what `volume` holds."""
    pixel_size_A = wanted.measured.pixel_size_A
    write_volume(run.path / f"{_ROOT}{suffix}.mrc", volume.numpy(), pixel_size_A)
    write_volume(run.path / f"{_ROOT}{suffix}_masked.mrc", volume.mul_(mask).numpy(), pixel_size_A)
