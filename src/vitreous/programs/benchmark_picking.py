"""How fast particles are picked, beside RELION on the same micrographs, with both qualities.

The micrographs are simulated (ice crystals, a carbon edge, defocus 0.5 to 3 micrometres), so the
truth is known. Both programs run on the same cores, in turn; times are of whole processes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io.coordinates import below_job, read_coordinates, read_picks

N_MICROGRAPHS = 8
SIDE_PX = 2048
PIXEL_A = 2.0
HIT_A = 50.0
EDGE_A = 125.0
_SIMULATION = (
    f"--angpix {PIXEL_A} --size {SIDE_PX} {SIDE_PX} --particles 150 --defocus 5000 30000 "
    "--contamination 3 --carbon 0.06 --dose 40"
)
_BLOBS = (140, 180, 0.0)
_TEMPLATES = {"step_deg": 10, "threshold": 0.4, "distance_A": 110, "diameter_A": 190}
_COEFFICIENT = 0.38


def run(
    *, against: str | None = None, repeats: int = 2, n: int = N_MICROGRAPHS, seed: int = 0
) -> dict[str, Any]:
    """Measure both methods on `n` micrographs; with RELION where `against` names it."""
    if against and shutil.which("relion_autopick") is None:
        message = "relion_autopick is not installed; run without --against"
        raise EnvironmentMissing(message)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, n, seed)
        rows = [_compare(folder, method, against, repeats) for method in ("log", "templates")]
    return {
        "micrographs": n,
        "seed": seed,
        "load_of_machine": os.getloadavg()[0],
        "side_px": SIDE_PX,
        "simulation": _SIMULATION,
        "cores": len(os.sched_getaffinity(0)),
        "rows": rows,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as text."""
    yield f"{result['micrographs']} micrographs of {result['side_px']} x {result['side_px']} pixels"
    for row in result["rows"]:
        for program, found in row["programs"].items():
            yield (
                f"{row['method']:10} {program:9} {found['seconds']:7.2f} s"
                f"  recall {found['recall']:.3f}  precision {found['precision']:.3f}"
            )
            yield f"    {found['command']}"
        if "ratio" in row:
            yield f"{row['method']:10} {row['ratio']:.1f} times as fast"


def _prepare(folder: Path, n: int, seed: int) -> None:
    words = [sys.executable, "-m", "vitreous", "simulate", "micrographs", "--o", "sim"]
    _call([*words, "--n", str(n), "--random_seed", str(seed), *shlex.split(_SIMULATION)], folder)
    _call([sys.executable, "-m", "vitreous", "simulate", "particles", "--o", "refs", "--n", "12",
           "--angpix", str(PIXEL_A), "--box_size", "128", "--defocus", "0", "0", "--astigmatism",
           "0", "--Cs", "0", "--Q0", "1", "--perfect_detector", "--no_damage"], folder)  # fmt: skip
    _call([sys.executable, "-m", "vitreous", "init", "."], folder)


def _compare(folder: Path, method: str, against: str | None, repeats: int) -> dict[str, Any]:
    commands = {"vitreous": _ours(method)} | ({"relion": _relion(method)} if against else {})
    seconds: dict[str, list[float]] = {program: [] for program in commands}
    for _ in range(repeats):
        for program, command in commands.items():
            shutil.rmtree(folder / "relion", ignore_errors=True)
            began = time.perf_counter()
            _call(command, folder)
            seconds[program].append(time.perf_counter() - began)
    programs: dict[str, dict[str, Any]] = {}
    for program, command in commands.items():
        recall, precision = quality(folder, program)
        programs[program] = {
            "seconds": min(seconds[program]),
            "all_seconds": seconds[program],
            "recall": recall,
            "precision": precision,
            "command": shlex.join(command),
        }
    row: dict[str, Any] = {"method": method, "programs": programs}
    if against:
        row["ratio"] = programs["relion"]["seconds"] / programs["vitreous"]["seconds"]
    return row


def _ours(method: str) -> list[str]:
    words = [sys.executable, "-m", "vitreous", "run", "autopick"]
    words += ["micrographs=sim/truth/micrographs_ctf.star"]
    if method == "log":
        low, high, threshold = _BLOBS
        return [*words, "use_log=Yes", f"log_min_diameter_A={low}", f"log_max_diameter_A={high}",
                f"log_threshold_sigma={threshold}"]  # fmt: skip
    t = _TEMPLATES
    return [*words, "use_templates=Yes", "templates=refs/particles.mrcs",
            f"in_plane_step_deg={t['step_deg']}", f"threshold={_COEFFICIENT}",
            f"min_distance_A={t['distance_A']}", "max_noise_sigma=-1", "high_pass_A=400",
            "other_arguments=--correlation_coefficient --particle_diameter "
            f"{t['diameter_A']}"]  # fmt: skip


def _relion(method: str) -> list[str]:
    n_ranks = len(os.sched_getaffinity(0))
    words = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(n_ranks),
             "relion_autopick_mpi", "--i", "sim/truth/micrographs_ctf.star", "--odir", "relion/",
             "--pickname", "autopick", "--shrink", "0", "--lowpass", "20"]  # fmt: skip
    if method == "log":
        low, high, threshold = _BLOBS
        return [*words, "--LoG", "--LoG_diam_min", str(low), "--LoG_diam_max", str(high),
                "--LoG_adjust_threshold", str(threshold)]  # fmt: skip
    t = _TEMPLATES
    return [*words, "--ref", "refs/particles.mrcs", "--invert", "--ctf", "--highpass", "400",
            "--ang", str(t["step_deg"]), "--threshold", str(t["threshold"]), "--min_distance",
            str(t["distance_A"]), "--particle_diameter", str(t["diameter_A"])]  # fmt: skip


def quality(folder: Path, program: str) -> tuple[float, float]:
    """Return recall and precision of the newest picks, away from the edges."""
    truth = dict(read_coordinates("sim/truth/coordinates.star", folder))
    hits = n_picked = n_true = 0
    newest = max(folder.glob("AutoPick/job*"), default=folder)
    for name, table in truth.items():
        root = folder / "relion" if program == "relion" else newest
        file = root / f"{below_job(name)}_autopick.star"
        picks = _inside(read_picks(file)) if file.is_file() else np.zeros((0, 2))
        true = _inside(table)
        hits += _hits(picks, true)
        n_picked, n_true = n_picked + len(picks), n_true + len(true)
    return hits / max(1, n_true), hits / max(1, n_picked)


def _inside(table: Any) -> np.ndarray:  # noqa: ANN401 - a Table
    places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
    edge = EDGE_A / PIXEL_A
    return np.asarray(places[((places >= edge) & (places < SIDE_PX - edge)).all(1)])


def _hits(picks: np.ndarray, true: np.ndarray) -> int:
    if not len(picks) or not len(true):
        return 0
    distance = cdist(picks, true)
    near = distance <= HIT_A / PIXEL_A
    rows, columns = linear_sum_assignment(np.where(near, distance, 1e6))
    return int(near[rows, columns].sum())


def _call(words: Sequence[str], folder: Path) -> None:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    # RELION fails at its report where gs is missing, after all picks are written.
    if done.returncode and "autopick_mpi" not in " ".join(words):
        raise ComputeError(f"{shlex.join(words)} failed: {done.stderr[-400:]}{done.stdout[-400:]}")
