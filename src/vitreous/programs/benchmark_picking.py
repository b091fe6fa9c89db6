"""How fast particles are picked, beside RELION on the same micrographs, with both qualities.

The micrographs are simulated (ice crystals, a carbon edge, defocus 0.5 to 3 micrometres), so the
truth is known. Both programs run on the same cores, in turn; times are of whole processes, wall and
all processors. Besides, blobs are picked from a list as long as those of a session at a microscope,
and both methods from micrographs with more carbon and ice.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from vitreous.errors import EnvironmentMissing
from vitreous.io import Star, Table, read_star, write_star
from vitreous.io.coordinates import below_job, read_coordinates, read_picks
from vitreous.programs.benchmark_runs import execute, seconds

N_MICROGRAPHS = 8
N_LARGE, LARGE_PX = 300, 4096
SIDE_PX = 2048
PIXEL_A = 2.0
HIT_A = 50.0
EDGE_A = 125.0
_COMMON = f"--angpix {PIXEL_A} --size {SIDE_PX} {SIDE_PX} --particles 150 --defocus 5000 30000"
_SIMULATION = f"{_COMMON} --contamination 3 --carbon 0.06 --dose 40"
_HARD = f"{_COMMON} --contamination 6 --carbon 0.15 --dose 40"
_LARGE = (
    f"--angpix 1 --size {LARGE_PX} {LARGE_PX} --particles 200 --defocus 5000 30000 "
    "--contamination 3 --carbon 0.06 --dose 40"
)
_N_SIMULATED = 2  # of the long list; the rest are links to them
_BLOBS = (140, 180, 0.0)
_TEMPLATES = {"step_deg": 10, "threshold": 0.4, "distance_A": 110, "diameter_A": 190}
_COEFFICIENT = 0.38
_LIST = "sim/truth/micrographs_ctf.star"
_TRUTH = "sim/truth/coordinates.star"


def run(
    *,
    against: str | None = None,
    repeats: int = 1,
    n: int = N_MICROGRAPHS,
    seed: int = 33,
    long_list: bool = True,
) -> dict[str, Any]:
    """Measure both methods on `n` micrographs; with RELION where `against` names it.

    Seed 33 had no part in the settings.
    """
    if against and shutil.which("relion_autopick") is None:
        message = "relion_autopick is not installed; run without --against"
        raise EnvironmentMissing(message)
    methods = ("log", "templates")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, n, seed, _SIMULATION)
        rows = [_compare(folder, method, against, repeats) for method in methods]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, n, seed, _HARD)
        hard = [_compare(folder, method, None, 1, is_hard=True) for method in methods]
    if long_list:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _prepare_long(folder, seed)
            rows.append({**_compare(folder, "log", against, repeats), "method": "log, long list"})
    return {
        "unit": "seconds of whole jobs: wall, and of all processors (core)",
        "micrographs": n,
        "seed": seed,
        "load_of_machine": os.getloadavg()[0],
        "side_px": SIDE_PX,
        "simulation": _SIMULATION,
        "long_list": f"{N_LARGE} micrographs of {LARGE_PX} x {LARGE_PX} pixels: {_LARGE}",
        "harder": {"simulation": _HARD, "rows": hard},
        "cores": _n_cores(),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as text."""
    yield f"{result['micrographs']} micrographs of {result['side_px']} x {result['side_px']} pixels"
    for row in (*result["rows"], *result["harder"]["rows"]):
        for program, found in row["programs"].items():
            yield (
                f"{row['method']:24} {program:9} {found['seconds']:7.2f} s, core "
                f"{found['core_seconds']:6.2f} s"
                f"  recall {found['recall']:.3f}  precision {found['precision']:.3f}"
            )
            yield f"    {found['command']}"
        if "ratio" in row:
            yield (
                f"{row['method']:24} {row['ratio']:.1f} times as fast, "
                f"{row['core_ratio']:.1f} times by processor time"
            )


def _prepare(folder: Path, n: int, seed: int, simulation: str) -> None:
    """Make a project with micrographs and templates."""
    _simulate(folder, n, seed, simulation)
    execute(
        [sys.executable, "-m", "vitreous", "simulate", "particles", "--o", "refs", "--n", "12",
         "--angpix", str(PIXEL_A), "--box_size", "128", "--defocus", "0", "0", "--astigmatism",
         "0", "--Cs", "0", "--Q0", "1", "--perfect_detector", "--no_damage"], folder,
    )  # fmt: skip


def _simulate(folder: Path, n: int, seed: int, simulation: str) -> None:
    words = [sys.executable, "-m", "vitreous", "simulate", "micrographs", "--o", "sim"]
    execute([*words, "--n", str(n), "--random_seed", str(seed), *shlex.split(simulation)], folder)
    execute([sys.executable, "-m", "vitreous", "init", "."], folder)


def _prepare_long(folder: Path, seed: int) -> None:
    """Make a project with a list of many large micrographs, most of them links."""
    _simulate(folder, _N_SIMULATED, seed, _LARGE)
    tables = read_star(folder / _LIST)
    few, true = tables["micrographs"], dict(read_coordinates(_TRUTH, folder))
    (folder / "Links").mkdir()
    rows, pairs = [], []
    for number in range(N_LARGE):
        source = str(few["rlnMicrographName"][number % _N_SIMULATED])
        name = f"Links/mic{number:03}.mrc"
        (folder / name).symlink_to((folder / source).resolve())
        rows.append(number % _N_SIMULATED)
        pairs.append((name, true[source]))
    names = [name for name, _ in pairs]
    many = few.select(np.array(rows)).with_columns({"rlnMicrographName": names})
    write_star(folder / _LIST, Star([tables["optics"], many]))
    files = []
    for name, table in pairs:
        files.append(name.replace(".mrc", "_true.star"))
        write_star(folder / files[-1], [table])
    columns = {"rlnMicrographName": names, "rlnMicrographCoordinates": files}
    write_star(folder / _TRUTH, [Table.from_columns("coordinate_files", columns)])


def _compare(
    folder: Path, method: str, against: str | None, repeats: int, *, is_hard: bool = False
) -> dict[str, Any]:
    shown = {"vitreous": _ours(method, is_hard=is_hard)}
    if against:
        shown["relion"] = _relion(method)
    spent: dict[str, list[tuple[float, float]]] = {program: [] for program in shown}
    for _ in range(repeats):
        for program, command in shown.items():
            shutil.rmtree(folder / "relion", ignore_errors=True)
            commands = [command]
            if program == "vitreous":  # as a queue runs it: a job that is made, and then run
                job = 1 + len(list(folder.glob("AutoPick/job*")))
                start = [sys.executable, "-P", "-m", "vitreous"]
                commands = [[*start, *command[1:], "--schedule"], [*start, "exec", str(job)]]
            os.sync()  # vitreous waits for its files to be on the disk; not for those of others
            # RELION fails at its report where gs is missing, after all picks are written.
            spent[program].append(seconds(commands, folder, may_fail=program == "relion"))
    programs: dict[str, dict[str, Any]] = {}
    for program, command in shown.items():
        recall, precision = quality(folder, program)
        programs[program] = {
            "seconds": min(wall for wall, _ in spent[program]),
            "core_seconds": min(core for _, core in spent[program]),
            "all_seconds": spent[program],
            "recall": recall,
            "precision": precision,
            "command": shlex.join(command),
        }
    row: dict[str, Any] = {
        "method": f"{method}, harder" if is_hard else method, "programs": programs
    }  # fmt: skip
    if against:
        theirs, ours = programs["relion"], programs["vitreous"]
        row["ratio"] = theirs["seconds"] / ours["seconds"]
        row["core_ratio"] = theirs["core_seconds"] / ours["core_seconds"]
    return row


def _ours(method: str, *, is_hard: bool) -> list[str]:
    words = ["vitreous", "run", "autopick", f"micrographs={_LIST}", f"n_ranks={_n_cores()}"]
    if method == "log":
        low, high, threshold = _BLOBS
        words += ["use_log=Yes", f"log_min_diameter_A={low}", f"log_max_diameter_A={high}",
                  f"log_threshold_sigma={threshold}"]  # fmt: skip
        return [*words, "other_arguments=--local_contrast"] if is_hard else words
    t = _TEMPLATES
    return [*words, "use_templates=Yes", "templates=refs/particles.mrcs",
            f"in_plane_step_deg={t['step_deg']}", f"threshold={_COEFFICIENT}",
            f"min_distance_A={t['distance_A']}", "max_noise_sigma=-1", "high_pass_A=400",
            "other_arguments=--correlation_coefficient --particle_diameter "
            f"{t['diameter_A']}"]  # fmt: skip


def _relion(method: str) -> list[str]:
    words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(_n_cores()),
             "relion_autopick_mpi", "--i", _LIST, "--odir", "relion/",
             "--pickname", "autopick", "--shrink", "0", "--lowpass", "20"]  # fmt: skip
    if method == "log":
        low, high, threshold = _BLOBS
        return [*words, "--LoG", "--LoG_diam_min", str(low), "--LoG_diam_max", str(high),
                "--LoG_adjust_threshold", str(threshold)]  # fmt: skip
    t = _TEMPLATES
    return [*words, "--ref", "refs/particles.mrcs", "--invert", "--ctf", "--highpass", "400",
            "--ang", str(t["step_deg"]), "--threshold", str(t["threshold"]), "--min_distance",
            str(t["distance_A"]), "--particle_diameter", str(t["diameter_A"])]  # fmt: skip


def _n_cores() -> int:
    """Return how many ranks both programs get."""
    return len(os.sched_getaffinity(0))


def quality(folder: Path, program: str) -> tuple[float, float]:
    """Return recall and precision of the newest picks, away from the edges."""
    truth = dict(read_coordinates(_TRUTH, folder))
    hits = n_picked = n_true = 0
    newest = max(folder.glob("AutoPick/job*"), default=folder)
    optics = read_star(folder / _LIST)["optics"]
    pixel_A = float(optics["rlnMicrographPixelSize"][0])
    side_px = LARGE_PX if pixel_A != PIXEL_A else SIDE_PX
    for name, table in truth.items():
        root = folder / "relion" if program == "relion" else newest
        file = root / f"{below_job(name)}_autopick.star"
        picks = np.zeros((0, 2))
        if file.is_file():
            picks = _inside(read_picks(file), pixel_A, side_px)
        true = _inside(table, pixel_A, side_px)
        hits += _hits(picks, true, pixel_A)
        n_picked, n_true = n_picked + len(picks), n_true + len(true)
    return hits / max(1, n_true), hits / max(1, n_picked)


def _inside(table: Table, pixel_A: float, side_px: int) -> np.ndarray:
    places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
    edge = EDGE_A / pixel_A
    return np.asarray(places[((places >= edge) & (places < side_px - edge)).all(1)])


def _hits(picks: np.ndarray, true: np.ndarray, pixel_A: float) -> int:
    if not len(picks) or not len(true):
        return 0
    distance = cdist(picks, true)
    near = distance <= HIT_A / pixel_A
    rows, columns = linear_sum_assignment(np.where(near, distance, 1e6))
    return int(near[rows, columns].sum())
