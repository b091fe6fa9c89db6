"""How fast and how well movies are aligned, beside RELION on the same files.

One movie of 4096 x 4096 pixels and 40 frames, as TIFF with a gain reference, is simulated with
drift and local motion that are known. Each program runs as its user runs it, on one movie and on
two, alternately, with all cores; the difference gives the time of a further movie. Beside the time
stands the error of the motion over the field of view, and the ring correlation of the sum with the
particles as they are without noise.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.dataset.motion_star import read_motion
from vitreous.engine import fourier
from vitreous.errors import EnvironmentMissing
from vitreous.io import Star, Table, read_star, read_volume, write_star
from vitreous.programs.benchmark_runs import execute
from vitreous.programs.benchmark_runs import seconds as seconds_of
from vitreous.programs.simulation_truth import motion_difference_px

SIDE, FRAMES, DOSE = 4096, 40, 1.2
MANY = 2
REPEATS = 2
BAND_A = (20.0, 5.0)
_PIXEL_A = 1.0


def run(against: str | None = None, movies: Path | None = None) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files.

    Parameters
    ----------
    against
        Program to compare with.
    movies
        Folder that `simulation` has filled; made anew where it is left out.
    """
    if against and shutil.which("relion_run_motioncorr") is None:
        message = "RELION is not installed (apt-get install relion)"
        raise EnvironmentMissing(message)
    with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as name:
        folder = Path(name)
        if movies is None:
            execute(simulation("sim"), folder)
        else:
            (folder / "sim").symlink_to(movies.resolve())
        _lists(folder)
        execute([sys.executable, "-P", "-m", "vitreous", "init", "."], folder)
        programs = ["vitreous", *([against] if against else [])]
        seconds: dict[tuple[str, int], list[tuple[float, float]]] = {}
        for repeat in range(REPEATS):
            for program in programs:
                for amount in (1, MANY):
                    commands = _commands(program, amount, repeat, folder)
                    seconds.setdefault((program, amount), []).append(seconds_of(commands, folder))
        rows = [_row(program, seconds, folder) for program in programs]
    if against:
        for label in ("first_s", "further_s", "core_first_s", "core_further_s"):
            rows[1][f"ratio_{label}"] = rows[1][label] / rows[0][label]
    return {
        "unit": "seconds of wall time and of all processors for a movie; px; correlation",
        "movie": f"{SIDE} x {SIDE} x {FRAMES}, TIFF, gain, 5 x 5 patches, dose weighting",
        "simulation": " ".join(["vitreous", "simulate", *simulation("sim")[4:]]),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table."""
    yield result["movie"]
    yield (
        "program    first s  further s  core s first  core s further  motion error px  "
        "correlation 20-5 A"
    )
    for row in result["rows"]:
        yield (
            f"{row['program']:9} {row['first_s']:8.1f} {row['further_s']:10.1f}"
            f" {row['core_first_s']:13.1f} {row['core_further_s']:15.1f} {row['error_px']:16.3f}"
            f" {row['correlation']:19.4f}"
        )
    for row in result["rows"]:
        if "ratio_first_s" in row:
            yield (
                f"{row['program']} takes {row['ratio_first_s']:.1f} times as long for one movie, "
                f"{row['ratio_further_s']:.1f} times for a further one; of processor time "
                f"{row['ratio_core_first_s']:.1f} and {row['ratio_core_further_s']:.1f} times"
            )
    for row in result["rows"]:
        yield row["command"]


def simulation(folder: str) -> list[str]:
    """Return the command that makes the movie with its truth."""
    flags = ["--o", folder, "--size", str(SIDE), str(SIDE), "--frames", str(FRAMES)]
    flags += ["--angpix", f"{_PIXEL_A:g}", "--dose_per_frame", f"{DOSE:g}", "--particles", "200"]
    flags += ["--drift", "25", "--local_motion", "6", "--border", "-50"]
    return [sys.executable, "-P", "-m", "vitreous.programs.simulate", "movies", *flags]


def _lists(folder: Path) -> None:
    """Write lists of one and of several movies, which are links to the one that there is."""
    optics = read_star(folder / "sim/movies.star")["optics"].without("rlnMtfFileName")
    (folder / "Movies").mkdir()
    names = [f"Movies/movie{number}.tiff" for number in range(MANY)]
    for name in names:
        (folder / name).symlink_to((folder / "sim/Movies/movie00001.tiff").resolve())
    for amount in (1, MANY):
        rows = {"rlnMicrographMovieName": names[:amount], "rlnOpticsGroup": [1] * amount}
        tables = [optics, Table.from_columns("movies", rows)]
        write_star(folder / f"movies{amount}.star", Star(tables))


def _commands(program: str, amount: int, repeat: int, folder: Path) -> list[list[str]]:
    """Return what is run: for vitreous a job that is made and then run, as a queue would."""
    cores = len(os.sched_getaffinity(0))
    if program == "vitreous":
        values = {
            "movies": f"movies{amount}.star", "gain_reference": "sim/gain.mrc",
            "dose_per_frame_e_per_A2": DOSE, "patches_x": 5, "patches_y": 5,
            "write_float16": "No", "power_spectrum_dose_e_per_A2": f"{3 * DOSE:g}",
            "n_threads": cores,
        }  # fmt: skip
        words = [f"{key}={value}" for key, value in values.items()]
        number = 1 + len(list(folder.glob("MotionCorr/job*")))
        start = [sys.executable, "-P", "-m", "vitreous"]
        return [
            [*start, "run", "motioncorr", *words, "--schedule"],
            [*start, "exec", str(number)],
        ]
    flags = ["--i", f"movies{amount}.star", "--o", f"relion{amount}_{repeat}/", "--use_own"]
    flags += ["--j", str(cores), "--gainref", "sim/gain.mrc", "--dose_per_frame", f"{DOSE:g}"]
    flags += ["--patch_x", "5", "--patch_y", "5", "--dose_weighting", "--bfactor", "150"]
    return [["relion_run_motioncorr", *flags, "--grouping_for_ps", "3"]]


def _row(
    program: str, seconds: dict[tuple[str, int], list[tuple[float, float]]], folder: Path
) -> dict[str, Any]:
    least = {
        amount: [min(spent[kind] for spent in seconds[program, amount]) for kind in range(2)]
        for amount in (1, MANY)
    }
    stem = next(iter(sorted(folder.glob(_result(program))))).with_suffix("")
    commands = _commands(program, 1, 0, Path(os.devnull))
    if program == "vitreous":
        commands = [["vitreous", *command[4:]] for command in commands]
    return {
        "program": program,
        "first_s": least[1][0],
        "further_s": (least[MANY][0] - least[1][0]) / (MANY - 1),
        "core_first_s": least[1][1],
        "core_further_s": (least[MANY][1] - least[1][1]) / (MANY - 1),
        "error_px": _error_px(stem, folder),
        "correlation": _correlation(stem, folder),
        "seconds": {str(amount): seconds[program, amount] for amount in (1, MANY)},
        "command": "; ".join(" ".join(command) for command in commands),
    }


def _result(program: str) -> str:
    """Return the pattern of the motion of the first movie of a program's first run."""
    return "MotionCorr/job*/Movies/movie0.star" if program == "vitreous" else "relion1_0/*/*0.star"


def _error_px(stem: Path, folder: Path) -> float:
    """Return the deviation from the true motion over places and frames, both axes together."""
    found = read_motion(stem.with_suffix(".star"))
    true = read_motion(folder / "sim/truth/movie00001_motion.star")
    difference = motion_difference_px(found, true, 21)
    return float(np.sqrt(np.square(difference).mean()))


def _correlation(stem: Path, folder: Path) -> float:
    """Return the mean ring correlation of the sum with the particles without noise."""
    clean = read_volume(folder / "sim/truth/movie00001_clean.mrc").data[0]
    image = read_volume(stem.with_suffix(".mrc")).data[0]
    waves = [fourier.forward(torch.from_numpy(one - one.mean())[None], 2)[0]
             for one in (image, -clean)]  # fmt: skip
    cross, *power = (
        fourier.shell_sum(values, 2)
        for values in ((waves[0] * waves[1].conj()).real, *(w.abs().square() for w in waves))
    )
    first, stop = (round(SIDE * _PIXEL_A / resolution) for resolution in BAND_A)
    rings = cross / (power[0] * power[1]).sqrt()
    return float(rings[first:stop].mean())
