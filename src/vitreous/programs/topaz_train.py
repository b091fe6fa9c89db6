"""Training of Topaz: known coordinates, split into those it learns from and those it is tested on.

preprocessing.md section 6: every second micrograph of a random order goes to the test set until
that has a fifth of the picks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.conventions import recentre
from vitreous.dataset.picking_list import PickingList
from vitreous.dataset.picks import picks_table, write_picks
from vitreous.errors import InputError
from vitreous.io import read_star
from vitreous.io.coordinate_list import write_coordinate_list
from vitreous.io.coordinates import below_job, read_coordinates
from vitreous.io.star_table import Table
from vitreous.jobs.autopick import AutoPick
from vitreous.jobs.context import Run
from vitreous.programs.micrograph_list import Settings, output_stems, process
from vitreous.programs.topaz_files import (
    Points,
    Scaled,
    Scaling,
    device_word,
    downscale,
    write_image_table,
    write_target_table,
)
from vitreous.programs.topaz_process import call

_TEST_SHARE = 0.2
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


def train(options: AutoPick, listed: PickingList, run: Run) -> None:
    """Train a network on known coordinates."""
    pixel_A = listed.micrographs[0].pixel_size_A
    if not options.topaz_diameter_A > 0:
        raise InputError(
            "Training needs the particle diameter: it sets the scale and what counts as a hit."
        )
    factor = downscale(options.topaz_diameter_A, pixel_A)
    picks = _known(options, listed, pixel_A, run)
    units = [one for one in listed.micrographs if len(picks.get(one.name, ()))]
    if len(units) < 2:
        raise InputError(
            f"{len(units)} of the micrographs have coordinates; training needs at least two: one "
            "to learn from and one to test on."
        )
    names = [one.name for one in units]
    stems = dict(zip(names, output_stems(run.folder, names), strict=True))
    settings = Settings("Scaling micrographs", "micrographs", unit_bytes=2**28)
    outcome = process(run, units, Scaling(run, stems, factor), settings)
    if not outcome.leads:
        return
    counts = {one.micrograph: len(picks[one.micrograph]) for one in outcome.done}
    learnt, tested = split(outcome.done, counts)
    folder = run.path / "topaz"
    for name, chosen in (("train", learnt), ("test", tested)):
        write_image_table(folder / f"{name}_images.txt", chosen)
        write_target_table(folder / f"{name}_targets.txt", chosen, picks, factor)
    call(_command(options, counts, factor, pixel_A, run), options.topaz_arguments, "Training", run)
    _report(run)


def split(scaled: list[Scaled], counts: Mapping[str, int]) -> tuple[list[Scaled], list[Scaled]]:
    """Split micrographs into those that are learnt from and those that are tested on."""
    order = np.random.default_rng(0).permutation(len(scaled))
    wanted, n_tested = _TEST_SHARE * sum(counts.values()), 0
    learnt, tested = [], []
    for place, number in enumerate(order):
        one = scaled[number]
        if place % 2 and n_tested < wanted:
            tested.append(one)
            n_tested += counts[one.micrograph]
        else:
            learnt.append(one)
    return learnt, tested


def _command(
    options: AutoPick, counts: Mapping[str, int], factor: int, pixel_A: float, run: Run
) -> list[str]:
    expected = options.topaz_n_particles
    if expected <= 0:
        expected = round(float(np.mean(list(counts.values()))))
    radius = max(1, round(options.topaz_diameter_A / (8 * pixel_A * factor)))
    folder = f"{run.folder}topaz/"
    return [
        options.topaz_program, "train", "-n", str(expected), "-r", str(radius),
        "-d", device_word(options), "-o", f"{folder}model_training.txt",
        f"--num-threads={run.n_threads}", f"--num-workers={run.n_threads}",
        f"--train-images={folder}train_images.txt", f"--test-images={folder}test_images.txt",
        f"--train-targets={folder}train_targets.txt", f"--test-targets={folder}test_targets.txt",
        f"--save-prefix={run.folder}model",
    ]  # fmt: skip


def _known(
    options: AutoPick, listed: PickingList, pixel_A: float, run: Run
) -> dict[str, NDArray[np.float64]]:
    """Return the coordinates to learn, x y in micrograph pixels, of each micrograph."""
    names = [one.name for one in listed.micrographs]
    if not options.topaz_use_particles:
        found = read_coordinates(options.topaz_coordinates, run.project, names)
        return {name: _places(picks) for name, picks in found}
    star = read_star(run.project / options.topaz_particles)
    table = star.get("particles", star.first)
    by_tail = {below_job(name): name for name in names}
    own = np.array([by_tail.get(below_job(str(name)), "") for name in table["rlnMicrographName"]])
    known = {name: _particles(table.select(own == name), pixel_A) for name in set(own) - {""}}
    _write_known(known, run)
    return known


def _particles(table: Table, pixel_A: float) -> Points:
    places = _places(table)
    origins = [table.get(label, np.zeros(len(table))) for label in _ORIGINS]
    moved, _ = recentre(places, np.stack(origins, 1) / pixel_A)
    return np.asarray(moved, np.float64)


def _places(table: Table) -> Points:
    return np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1).astype(np.float64)


def _write_known(known: Mapping[str, Points], run: Run) -> None:
    """Write the particles' coordinates as picks, the output of the job."""
    if run.rank:
        return
    stems = output_stems(run.folder, sorted(known))
    pairs = []
    for name, stem in zip(sorted(known), stems, strict=True):
        file = f"{stem}_training.star"
        write_picks(run.project / file, picks_table(known[name], np.zeros(len(known[name]))))
        pairs.append((name, file))
    write_coordinate_list(run.path / "input_training_coords.star", pairs)


def _report(run: Run) -> None:
    """Show how precision grew, from the table that Topaz writes."""
    curve = read_training(run.path / "topaz" / "model_training.txt")
    models = sorted(run.path.glob("model_epoch*.sav"), key=lambda file: _epoch(file.name))
    if not models:
        raise InputError(
            f"Topaz ended well but left no {run.folder}model_epoch*.sav. See topaz/topaz.log."
        )
    run.say(f"Trained model: {run.folder}{models[-1].name}")
    if curve:
        run.headline("precision", curve[-1][1], "", "Average precision on test micrographs")
    axes = {
        "x": {"label": "Epoch", "unit": ""},
        "y": {"label": "Average precision", "unit": "", "low": 0, "high": 1},
    }
    x, y = ([row[i] for row in curve] for i in (0, 1))
    series = [{"name": "test micrographs", "x": x, "y": y}]
    run.plot("training", "line", "Training curve", {"axes": axes, "series": series})


def read_training(path: Path) -> list[tuple[float, float]]:
    """Return epoch and average precision (``auprc``) of the test rows of Topaz's table."""
    if not path.is_file():
        return []
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    names = lines[0] if lines else []
    if not {"epoch", "split", "auprc"} <= set(names):
        return []
    epoch, part, precision = (names.index(name) for name in ("epoch", "split", "auprc"))
    return [
        (float(row[epoch]), float(row[precision]))
        for row in lines[1:]
        if len(row) == len(names) and row[part] == "test"
    ]


def _epoch(name: str) -> int:
    found = re.search(r"epoch(\d+)", name)
    return int(found.group(1)) if found else -1
