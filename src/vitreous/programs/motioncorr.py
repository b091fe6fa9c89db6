"""Motion correction: align the frames of every movie and add them up."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from vitreous.dataset.motion_table import Corrected, MovieList, micrograph_list, read_movies
from vitreous.distributed import devices
from vitreous.distributed.memory import available_bytes
from vitreous.engine.motion.measure import FEWEST_PATCHES
from vitreous.errors import InputError, MissingFileError
from vitreous.io import write_star
from vitreous.jobs.context import Run
from vitreous.jobs.motioncorr import MotionCorr
from vitreous.programs.micrograph_list import Settings, Work, output_stems, process
from vitreous.programs.motioncorr_external import MotionCor2Work, gpu_of_rank
from vitreous.programs.motioncorr_files import Files
from vitreous.programs.motioncorr_frame import Task
from vitreous.programs.motioncorr_inputs import Detector
from vitreous.programs.motioncorr_memory import need_of
from vitreous.programs.motioncorr_own import OwnWork
from vitreous.programs.motioncorr_report import report, warn_of_frame_counts
from vitreous.programs.motioncorr_settings import Extra, read_extra, spectrum_group

RESULT = "corrected_micrographs.star"
Publish = Callable[[Sequence[Corrected]], None]

_SHARE_OF_FREE = 0.5  # that the raw frames of a movie may take; else they are read for each pass
_MOTIONCOR2_BYTES = 64 << 20


def run(options: MotionCorr, run: Run) -> None:
    """Correct all movies of the list."""
    extra = read_extra(options.running.other_arguments)
    movies = read_movies(options.movies)
    _require_files(options)
    stems = _plain(output_stems(run.folder, [row.name for row in movies.rows]))
    files = Files(stems, _endings(options, extra), extra.early_dose_e_per_A2)

    def publish(done: Sequence[Corrected]) -> None:
        write_star(run.path / RESULT, micrograph_list(movies, done, options.binning))

    if options.built_in:
        work, settings = _built_in(options, extra, movies, files, publish, run)
    else:
        work, settings = _external(options, extra, files, publish, run)
    outcome = process(run, movies.rows, work, settings)
    if outcome.leads:
        warn_of_frame_counts(outcome.done, movies.rows, run)
        report(outcome.done, run)


def _built_in(
    options: MotionCorr, extra: Extra, movies: MovieList, files: Files, publish: Publish, run: Run
) -> tuple[Work[Any, Any, Any, Corrected], Settings]:
    """Return the built-in work and how it is spread over memory and devices."""
    patches = (options.patches_x, options.patches_y)
    if run.rank == 0 and max(patches) > 1 and min(patches) < FEWEST_PATCHES:
        run.warn(
            f"{patches[0]} x {patches[1]} patches are too few for a model of local motion, which "
            f"needs {FEWEST_PATCHES} along both axes: movies are aligned as a whole only."
        )
    detector = Detector(options, extra, run.folder, run.n_threads)
    need = need_of(detector, options, extra, movies.rows)
    free = available_bytes() / run.n_ranks
    keep = need is None or need.raw_bytes < _SHARE_OF_FREE * free
    if not keep:
        run.say("Memory is short: frames are read again for each pass")
    n_at_once = 1
    if need is not None and extra.gpu is None:
        n_at_once = need.at_once(_SHARE_OF_FREE * free, run.n_threads, len(movies.rows), keep=keep)
    if n_at_once > 1:
        torch.set_num_threads(max(1, run.n_threads // n_at_once))
    cards = devices.of_rank(
        extra.gpu or "", run.rank, run.n_ranks, use_gpu=extra.gpu is not None, environ=os.environ
    )
    settings = Settings(
        phase="Aligning movies",
        noun="movies",
        unit_bytes=0 if need is None else need.unit_bytes(keep=keep),
        batch_bytes=0 if need is None else need.compute_bytes,
        devices=devices.of_threads(cards, n_at_once),
        do_at_most=extra.do_at_most,
    )
    return OwnWork(Task(options, extra, run, files, detector, publish), keep=keep), settings


def _external(
    options: MotionCorr, extra: Extra, files: Files, publish: Publish, run: Run
) -> tuple[Work[Any, Any, Any, Corrected], Settings]:
    """Return the work of MotionCor2; one movie at a time on each card of this rank."""
    cards = gpu_of_rank(options.gpu_ids, run.rank)
    settings = Settings(
        phase="Aligning movies with MotionCor2",
        noun="movies",
        unit_bytes=_MOTIONCOR2_BYTES,
        devices=(devices.CPU,),
        do_at_most=extra.do_at_most,
    )
    detector = Detector(options, extra, run.folder, 1)
    return MotionCor2Work(Task(options, extra, run, files, detector, publish), cards), settings


def _require_files(options: MotionCorr) -> None:
    """Refuse files that are named and are not there, all at once."""
    named = {
        "Gain reference": options.gain_reference,
        "Defects": options.defects,
        "MotionCor2 program": "" if options.built_in else options.motioncor2_program,
    }
    lost = [f"{what} {name}" for what, name in named.items() if name and not Path(name).is_file()]
    if lost:
        raise MissingFileError(f"{'; '.join(lost)}: no such file. Paths are relative to the "
                               "project folder.")  # fmt: skip
    if not options.built_in and not options.motioncor2_program:
        raise InputError(
            "No MotionCor2 program is given. Name it in motioncor2_program, or set "
            "RELION_MOTIONCOR2_EXECUTABLE, or use the built-in program (built_in=Yes)."
        )


def _endings(options: MotionCorr, extra: Extra) -> tuple[str, ...]:
    """Return what follows the stem in the names of the images of every movie."""
    wanted = {
        "": True,
        "_noDW": options.dose_weighting and options.save_unweighted,
        "_PS": options.built_in and spectrum_group(options) > 0,
        "_EVN": extra.halves,
        "_ODD": extra.halves,
    }
    return tuple(ending for ending, is_wanted in wanted.items() if is_wanted)


def _plain(stems: Sequence[str]) -> tuple[str, ...]:
    """Replace dots in names, which some programs would take for endings; keep names apart."""
    taken: set[str] = set()
    plain = []
    for stem in stems:
        path = PurePosixPath(stem)
        wanted = name = str(path.with_name(path.name.replace(".", "_")))
        number = 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        plain.append(name)
    return tuple(plain)
