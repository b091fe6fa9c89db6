"""STAR files: 1,000,000 particles with 25 columns, vitreous against the `starfile` package.

``python -m benchmarks.star [--rows N]`` reads and writes the same table with both, each in a
process of its own, in turns within one run, and writes ``benchmarks/results/star.json``: seconds
(the best of the rounds), peak resident memory, the columns' own size and the ratios. The
machine may be shared; only ratios taken in one run mean something.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "star.json"
SEED = 20260101
FLOATS = [
    "CoordinateX",
    "CoordinateY",
    "AutopickFigureOfMerit",
    "AnglePsi",
    "AngleRot",
    "AngleTilt",
    "OriginXAngst",
    "OriginYAngst",
    "DefocusU",
    "DefocusV",
    "DefocusAngle",
    "CtfBfactor",
    "CtfScalefactor",
    "PhaseShift",
    "CtfMaxResolution",
    "CtfFigureOfMerit",
    "NormCorrection",
    "LogLikeliContribution",
    "MaxValueProbDistribution",
]
INTS = ["ClassNumber", "GroupNumber", "NrOfSignificantSamples", "OpticsGroup"]
PER_MICROGRAPH = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", nargs=4, metavar=("WHO", "WHAT", "SOURCE", "TARGET"))
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one)))
        return
    result = compare(options.rows, options.rounds)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def compare(n_rows: int, rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "particles.star"
        n_columns = call("make", str(n_rows), str(source), "")["columns"]
        measured: dict[str, list[dict]] = {}
        for _ in range(rounds):
            for what in ("read", "write"):
                for who in ("vitreous", "starfile"):
                    target = Path(folder) / f"{who}.star"
                    run = call(who, what, str(source), str(target))
                    measured.setdefault(f"{who}_{what}", []).append(run)
        file_size = source.stat().st_size / 1e6
    best = {name: min(runs, key=lambda run: run["seconds"]) for name, runs in measured.items()}
    columns_size = best["vitreous_read"]["columns_MB"]
    return {
        "table": {"rows": n_rows, "columns": n_columns, "file_MB": round(file_size, 1)},
        "columns_MB": columns_size,
        "runs": best,
        "all_seconds": {name: [run["seconds"] for run in runs] for name, runs in measured.items()},
        "times_faster": {
            what: round(
                best[f"starfile_{what}"]["seconds"] / best[f"vitreous_{what}"]["seconds"], 2
            )
            for what in ("read", "write")
        },
        "times_less_cpu": {
            what: round(
                min(run["cpu_seconds"] for run in measured[f"starfile_{what}"])
                / min(run["cpu_seconds"] for run in measured[f"vitreous_{what}"]),
                2,
            )
            for what in ("read", "write")
        },
        "peak_over_columns": {
            name: round(run["peak_MB"] / columns_size, 2) for name, run in best.items()
        },
        "machine": machine(),
        "command": " ".join(["python", "-m", "benchmarks.star", *sys.argv[1:]]),
    }


def make_columns(n_rows: int) -> dict[str, object]:
    rng = np.random.default_rng(SEED)
    micrographs = [f"Movies/20170629_{i:05d}_frameImage.mrc" for i in range(n_rows)][
        : n_rows // PER_MICROGRAPH + 1
    ]
    names = [micrographs[i // PER_MICROGRAPH] for i in range(n_rows)]
    columns: dict[str, object] = {
        "rlnImageName": [
            f"{i % PER_MICROGRAPH + 1:06d}@Extract/job007/{name}s" for i, name in enumerate(names)
        ],
        "rlnMicrographName": [f"MotionCorr/job002/{name}" for name in names],
    }
    for name in FLOATS:
        columns[f"rln{name}"] = np.round(rng.normal(scale=1000, size=n_rows), 5)
    for name in INTS:
        columns[f"rln{name}"] = rng.integers(1, 50, size=n_rows)
    return columns


def call(*arguments: str) -> dict:
    """Run `one` in a new process; this one stays small, as children inherit its peak memory."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.star", "--one", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    return json.loads(done.stdout)


def make_input(n_rows: int, path: str) -> dict:
    from vitreous.io import Table, write_star

    columns = make_columns(n_rows)
    write_star(path, [Table.from_columns("particles", columns)])
    return {"columns": len(columns)}


def one(who: str, what: str, source: str, target: str) -> dict:
    """Run one operation in this process, which does nothing else."""
    if who == "make":
        return make_input(int(what), source)
    if who == "vitreous":
        from vitreous.io import read_star as read
        from vitreous.io import star_kernel, write_star

        kernel = type(star_kernel.active).__name__

        def write(table):
            write_star(target, table)
    else:
        import starfile

        kernel = importlib.metadata.version("starfile")
        read = starfile.read

        def write(table):
            starfile.write(table, target)

    idle = peak_megabytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    table = read(source)
    if what == "write":
        start, cpu_start = time.perf_counter(), time.process_time()
        write(table)
    cpu_seconds = time.process_time() - cpu_start
    seconds = time.perf_counter() - start
    result = {
        "seconds": round(seconds, 3),
        "cpu_seconds": round(cpu_seconds, 3),
        "peak_MB": round(peak_megabytes(), 1),
        "before_MB": round(idle, 1),
        "kernel": kernel,
    }
    if who == "vitreous":
        result["columns_MB"] = round(size_megabytes(table.first), 1)
    return result


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def size_megabytes(table) -> float:
    """Return the size of the arrays and of the different text objects in them."""
    total = 0
    for column in table.columns.values():
        total += column.nbytes
        if column.dtype == object:
            total += sum({id(text): sys.getsizeof(text) for text in column}.values())
    return total / 1e6


def machine() -> dict:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.platform(),
    }


if __name__ == "__main__":
    main()
