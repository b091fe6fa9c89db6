"""Many particles: time and memory of a classification and of an iteration of refinement.

    python -m benchmarks.large [--folder F] [--n 12500 50000]

simulates particles of box 128 once and keeps them in the folder, then classifies the first of them
in 2D (50 classes, mini-batches) and runs one iteration of a refinement on them. What is done
in the folder is not done again. Writes ``benchmarks/results/large.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous import Project
from vitreous.engine import filtering
from vitreous.io import read_star, read_volume, write_star, write_volume
from vitreous.programs.benchmark_refine import KNOWN
from vitreous.running import record

RESULTS = Path(__file__).parent / "results" / "large.json"
CORES = len(os.sched_getaffinity(0))
DIAMETER_A = 130.0


@dataclass(frozen=True)
class Work:
    """A job that is run on every number of particles."""

    name: str
    job_type: str
    options: tuple[str, ...]


WORKS = (
    Work("class2d VDAM K 50", "class2d", ("n_classes=50",)),
    Work(
        "refine3d, one iteration", "refine3d",
        ("map=start.mrc", "point_group=C1", "initial_low_pass_A=40", "other_args=--iter 1"),
    ),
)  # fmt: skip


def main() -> int:
    """Simulate, run what is not done, write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("large"), help="keep all here")
    parser.add_argument("--n", type=int, nargs="+", default=[12_500, 50_000], help="particles")
    options = parser.parse_args()
    folder = options.folder.resolve()
    _prepare(folder, sorted(options.n))
    rows = [_measured(folder, work, n) for work in WORKS for n in sorted(options.n)]
    for row in rows:
        print(
            f"{row['work']:24} {row['particles']:7,} particles {row['core_s']:8.0f} core s "
            f"{row['wall_s']:7.0f} s {row['peak_memory_MiB']:6.0f} MiB"
        )
    RESULTS.write_text(json.dumps(_described() | {"rows": rows}, indent=1) + "\n")
    return 0


def _prepare(folder: Path, numbers: list[int]) -> None:
    """Make the particles without their poses, a start, and a list of each length."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "start.mrc").exists():
        chain = str(resources.files("vitreous.data") / "5a1a_chain_a.cif.gz")
        _vitreous(
            folder, "simulate", "particles", "--o", "sim", "--i", chain, "--n", str(numbers[-1]),
            "--box_size", "128", "--angpix", "1.5", "--snr", "0.08", "--offset", "4", "--j",
            str(CORES), "--random_seed", "7", "--overwrite",
        )  # fmt: skip
        truth = read_volume(next((folder / "sim/truth").glob("map*.mrc"))).data
        start = filtering.low_pass(torch.from_numpy(truth), 40.0, 1.5, 3)
        write_volume(folder / "start.mrc", start.numpy(), 1.5)
    star = read_star(folder / "sim/particles.star")
    blind = star["particles"].without(*[x for x in KNOWN if x in star["particles"]])
    for n in numbers:
        write_star(folder / f"blind{n}.star", [star["optics"], blind.select(np.arange(n))])
    if not (folder / "default_pipeline.star").exists():
        _vitreous(folder, "init", ".")


def _vitreous(folder: Path, *words: str) -> None:
    command = [sys.executable, "-P", "-m", "vitreous", *words]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def _measured(folder: Path, work: Work, n: int) -> dict[str, Any]:
    """Run one job, if it is not done, and return what it took."""
    alias = f"{work.job_type}_{n}"
    project = Project(folder)
    if alias not in {job.alias for job in project.jobs}:
        options = [
            f"particles=blind{n}.star", f"mask_diameter_A={DIAMETER_A:g}", f"n_threads={CORES}"
        ]  # fmt: skip
        _vitreous(folder, "run", work.job_type, *options, *work.options, "--alias", alias)
    job = Project(folder).job(alias)
    known = record.read_process(job.path)
    if known is None or job.state.status != "Succeeded":
        raise SystemExit(f"{job.name} is {job.state.status}: see {job.path / 'run.err'}")
    return {
        "work": work.name,
        "particles": n,
        "core_s": known.processor_s,
        "wall_s": round(record.age_s(known.started) - record.age_s(known.ended), 1),
        "peak_memory_MiB": known.peak_memory_MiB,
        "options": " ".join(work.options),
    }


def _described() -> dict[str, Any]:
    return {
        "benchmark": "large",
        "unit": "s, MiB of the process that holds most",
        "cores": CORES,
        "load": os.getloadavg()[1],
        "particles": "one chain of beta-galactosidase, box 128, 1.5 A, SNR 0.08",
    }


if __name__ == "__main__":
    raise SystemExit(main())
