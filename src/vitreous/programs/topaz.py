"""Topaz, an external program that picks with a neural network: training and picking.

Topaz is called as a process of its own. Micrographs are scaled down and normalised here, and handed
over as files; one call picks from all of them, because its start takes longer than a micrograph.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitreous.dataset.picking_list import Micrograph, PickingList, read_picking_list
from vitreous.dataset.picks import picks_table, write_picks
from vitreous.errors import InputError
from vitreous.io.coordinate_list import write_coordinate_list
from vitreous.io.coordinates import read_picks
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.programs import autopick_report, topaz_train
from vitreous.programs.autopick_work import SUFFIX, Result
from vitreous.programs.extra_flags import Flags
from vitreous.programs.micrograph_list import Outcome, Settings, output_stems, process
from vitreous.programs.topaz_files import Scaled, Scaling, device_word, downscale, read_scores
from vitreous.programs.topaz_process import call

THRESHOLD = -6.0


def run(options: AutoPick, run: Run) -> None:
    """Train a network or pick with one."""
    flags = Flags("Topaz")
    flags.add_argument("--do_at_most", type=int, default=-1)
    do_at_most = flags.read(options.running.other_arguments).do_at_most
    listed = read_picking_list(run.project / options.micrographs, options.pixel_size_A)
    _require_one_pixel_size(listed, options.micrographs)
    if options.is_training:
        topaz_train.train(options, listed, run)
    else:
        _pick(options, listed, run, do_at_most)


def _pick(options: AutoPick, listed: PickingList, run: Run, do_at_most: int) -> None:
    names = [one.name for one in listed.micrographs]
    stems = dict(zip(names, output_stems(run.folder, names), strict=True))
    pixel_A = listed.micrographs[0].pixel_size_A
    factor = downscale(options.topaz_diameter_A, pixel_A)
    pending = [one for one in listed.micrographs if not _file(run, stems, one).is_file()]
    if do_at_most >= 0:
        pending = pending[:do_at_most]
    if pending:
        scaling = Scaling(run, stems, factor)
        outcome = process(run, pending, scaling, _settings(do_at_most))
        if not outcome.leads:
            return
        _extract(options, outcome.done, factor, pixel_A, stems, run)
    elif run.rank:
        return
    results = [_result(run, stems, one) for one in listed.micrographs]
    done = [result for result in results if result is not None]
    pairs = [(one.micrograph, one.file) for one in done]
    write_coordinate_list(run.path / "autopick.star", pairs)
    autopick_report.report(run, Outcome(list(results)), listed, options)


def _extract(
    options: AutoPick,
    scaled: list[Scaled],
    factor: int,
    pixel_A: float,
    stems: dict[str, str],
    run: Run,
) -> None:
    """Call Topaz once for all, and write what it found beside each micrograph's name."""
    scores = run.path / "topaz" / "picks.txt"
    command = [options.topaz_program, "extract", "-t", f"{_threshold(options):g}"]
    if options.topaz_diameter_A > 0:
        radius = max(1, round(options.topaz_diameter_A / (2 * pixel_A * factor)))
        command += ["-r", str(radius)]
    command += ["-d", device_word(options), "-x", str(factor)]
    if options.topaz_model:
        if not (run.project / options.topaz_model).is_file():
            raise InputError(f"Trained model {options.topaz_model}: there is no such file.")
        command += ["-m", options.topaz_model]
    if options.topaz_filaments:
        length_A = options.topaz_hough_length_A
        length_A = length_A if length_A > 0 else options.topaz_diameter_A
        command += ["-f", "-fp", "-ft", f"{_threshold(options):g}"]
        command += ["-fl", str(max(1, round(length_A / (pixel_A * factor))))]
    call(
        [*command, "-o", str(scores.relative_to(run.project)), *[one.file for one in scaled]],
        options.topaz_arguments,
        "Picking with Topaz",
        run,
    )
    found = read_scores(scores)
    for one in scaled:
        places, score = found.get(Path(one.file).stem, (np.zeros((0, 2)), np.zeros(0)))
        file = run.project / f"{stems[one.micrograph]}{SUFFIX}.star"
        write_picks(file, picks_table(places, score))
        (run.project / one.file).unlink(missing_ok=True)


def _threshold(options: AutoPick) -> float:
    return options.topaz_filament_threshold if options.topaz_filaments else THRESHOLD


def _settings(do_at_most: int) -> Settings:
    del do_at_most  # the list is cut before
    return Settings("Scaling micrographs", "micrographs", unit_bytes=2**28)


def _file(run: Run, stems: dict[str, str], unit: Micrograph) -> Path:
    return run.project / f"{stems[unit.name]}{SUFFIX}.star"


def _result(run: Run, stems: dict[str, str], unit: Micrograph) -> Result | None:
    file = _file(run, stems, unit)
    if not file.is_file():
        return None
    table = read_picks(file)
    places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
    merit = table.get("rlnAutopickFigureOfMerit", np.zeros(len(table)))
    return Result(
        unit.name,
        f"{stems[unit.name]}{SUFFIX}.star",
        places.astype(np.float32),
        merit.astype(np.float32),
    )


def _require_one_pixel_size(listed: PickingList, path: str) -> None:
    sizes = {round(one.pixel_size_A, 2) for one in listed.micrographs}
    if len(sizes) > 1 or sizes == {0.0}:
        told = ", ".join(f"{size:g}" for size in sorted(sizes))
        raise InputError(
            f"{path}: its micrographs have pixel sizes of {told} A. Topaz needs one that is known: "
            "pick from each optics group in a job of its own."
        )
