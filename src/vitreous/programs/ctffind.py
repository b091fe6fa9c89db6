"""CTF estimation: defocus and astigmatism of every micrograph, and how far its rings go."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from vitreous.dataset.micrograph_ctf import (
    SPECTRUM,
    UNWEIGHTED,
    Estimate,
    Listed,
    Micrograph,
    read_list,
)
from vitreous.distributed import devices
from vitreous.errors import InputError, VitreousError
from vitreous.io import read_header
from vitreous.jobs.context import Run
from vitreous.jobs.ctffind import CtfFind
from vitreous.programs import ctffind_pictures
from vitreous.programs.ctffind_external import ExternalEstimation, Program
from vitreous.programs.ctffind_own import OwnEstimation, Wanted
from vitreous.programs.ctffind_settings import Extra, read_extra, search_range
from vitreous.programs.micrograph_list import Outcome, Settings, output_stems, process
from vitreous.programs.pdf_log import write_log

_ON_A_CARD = 8  # micrographs at once
_BYTES_PER_PIXEL_OF_SPECTRUM = 1200  # models and their slopes, for all candidates
_TILES_OVER_IMAGE = 4  # a row of tiles, their transforms and powers, beside the image
_PHASE = "Estimating CTFs"


def run(options: CtfFind, run: Run) -> None:
    """Estimate the CTF of all micrographs of a list."""
    extra, wanted = read_extra(options), _wanted(options)
    listed = read_list(run.project / options.micrographs)
    _tell_source(options, listed, run)
    names = [one.name for one in listed.micrographs]
    stems = dict(zip(names, output_stems(run.folder, names), strict=True))
    if extra.kind == "own":
        own = OwnEstimation(run, listed, stems, wanted)
        settings = _own_settings(run, listed, wanted, extra)
        outcome = process(run, listed.micrographs, own, settings)
    else:
        program = Program(options.ctffind_program, extra.kind, extra.gctf_words, extra.gpu_ids)
        external = ExternalEstimation(run, listed, stems, wanted, program)
        settings = Settings(_PHASE, "micrographs", unit_bytes=2**20, do_at_most=extra.do_at_most)
        outcome = process(run, listed.micrographs, external, settings)
    if outcome.leads:
        _report(run, outcome, wanted)
        ctffind_pictures.show(run, outcome.done, stems)
        write_log(run.path)


def _wanted(options: CtfFind) -> Wanted:
    return Wanted(
        search_range(options),
        options.min_resolution_A,
        options.max_resolution_A,
        options.box_px,
        options.window_px,
        options.use_power_spectra,
        options.use_unweighted,
    )


def _tell_source(options: CtfFind, listed: Listed, run: Run) -> None:
    """Say what is fitted; refuse what none of the micrographs has."""
    has_spectra = options.use_power_spectra and listed.has(SPECTRUM)
    if options.use_unweighted and not has_spectra and not listed.has(UNWEIGHTED):
        raise InputError(
            f"{options.micrographs}: there are no sums without dose weighting "
            "(rlnMicrographNameNoDW). Say No to “Use the unweighted micrographs”, or let "
            "MotionCorr write them."
        )
    if has_spectra:
        run.say("Fitting the power spectra of motion correction")
    else:
        if options.use_power_spectra:
            run.say(f"{options.micrographs} names no power spectra: the micrographs are used")
        if listed.has(UNWEIGHTED):
            run.say("Fitting the sums without dose weighting")


def _own_settings(run: Run, listed: Listed, wanted: Wanted, extra: Extra) -> Settings:
    """Say where it runs and what it takes."""
    all_mine = devices.of_rank(
        extra.gpu_ids, run.rank, run.n_ranks, use_gpu=extra.use_gpu, environ=os.environ
    )
    batch = _ON_A_CARD if extra.use_gpu else 1
    image, spectrum = _pixels(run, listed, wanted)
    side2 = max(wanted.box_px**2, spectrum)
    return Settings(
        _PHASE,
        "micrographs",
        unit_bytes=4 * max(image, spectrum) + 4 * side2,
        batch_bytes=batch * (_BYTES_PER_PIXEL_OF_SPECTRUM * side2 + _TILES_OVER_IMAGE * 4 * image),
        devices=all_mine,
        batch=batch,
        do_at_most=extra.do_at_most,
    )


def _pixels(run: Run, listed: Listed, wanted: Wanted) -> tuple[int, int]:
    """Return the pixels of a micrograph, and of a power spectrum, of the first that can be read.

    Either is 0 where it is not read.
    """
    for unit in listed.micrographs:
        is_spectrum = wanted.spectra and bool(unit.spectrum)
        path = run.project / (unit.spectrum if is_spectrum else unit.unweighted or unit.name)
        try:
            shape = read_header(path).shape
        except (VitreousError, OSError):
            continue
        n = int(shape[-1] * shape[-2])
        return (0, n) if is_spectrum else (n, 0)
    return 0, 0  # each is told when its turn comes


def _report(run: Run, outcome: Outcome[tuple[Micrograph, Estimate]], wanted: Wanted) -> None:
    """Hand in the numbers that the job is judged by."""
    estimates = [estimate for _, estimate in outcome.done]
    clear = [estimate for estimate in estimates if estimate.has_rings]
    for micrograph, estimate in outcome.done:
        if not estimate.has_rings:
            run.warn(
                "Some micrographs show no Thon rings: their defocus is a guess, and their figure "
                "of merit is 0. Leave them out with a Select job.",
                micrograph.name,
            )
    run.headline("micrographs", len(estimates), "", "Micrographs")
    run.headline("no_rings", len(estimates) - len(clear), "", "Micrographs without Thon rings")
    if not clear:
        return
    run.headline(
        "max_resolution", _median(clear, "resolution_A"), "Å", "Median resolution of the fits"
    )
    mean = [(one.defocus_u_A + one.defocus_v_A) / 2e4 for one in clear]
    run.headline("defocus", float(np.median(mean)), "µm", "Median defocus")
    n_at_limit = sum(one.resolution_A < wanted.finest_A * 1.03 for one in clear)
    if n_at_limit > len(clear) / 2:
        run.say(
            f"{n_at_limit:,} of {len(clear):,} fits go to the finest resolution that was asked for "
            f"({wanted.finest_A:g} A): with a finer limit they may go further"
        )


def _median(estimates: Sequence[Estimate], field: str) -> float:
    return float(np.median([getattr(one, field) for one in estimates]))
