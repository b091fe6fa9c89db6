"""Real beta-galactosidase: initial models and auto-refinements, compared with the consensus.

The particles of the data folder lose their poses and are refined in D2 from the independent map at
40 angstrom, with three seeds. With ``--initial-model`` maps are also made of the particles alone,
in D2 and in C1, and the one in D2 is refined with the same seeds. Poses are compared modulo D2, the
rotations of the frame that preserve it, and the hand, which particles alone do not fix. With
``--folder`` what is finished is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import shift

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import compare_with_ngl as ngl

from vitreous.engine import geometry, symmetry
from vitreous.io import Table, read_star, read_volume, write_star, write_volume
from vitreous.testing.truth import Truth, laid_on, map_quality

DATA = Path(os.environ.get("VITREOUS_TEST_DATA", "../shared/data")).resolve()
INDEPENDENT = DATA / "maps/ngl_betaGal_3.54A.mrc"
SEEDS = (1, 2, 3)
ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")
CORES = len(os.sched_getaffinity(0))


def main() -> int:
    """Run the refinements, print a table, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--initial-model", action="store_true", help="also start from particles alone"
    )
    parser.add_argument("--iterations", type=int, default=200, help="of initial models")
    parser.add_argument("--folder", type=Path, help="keep the project here")
    parser.add_argument("--threads", type=int, default=CORES)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitreous-betagal-") as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        if not (folder / "start.mrc").exists():
            prepare(folder)
        jobs = Jobs(folder, options.threads)
        groups = ("D2", "C1") if options.initial_model else ()
        models = [initial(jobs, group, options.iterations) for group in groups]
        starts = [model["map"] for model in models if model["point_group"] == "D2"]
        rows = [refined(jobs, start, seed) for start in (*starts, "start.mrc") for seed in SEEDS]
    baseline = ngl.correlation(str(INDEPENDENT), str(DATA / "betagal_10204/baseline_half1.mrc"))
    result = {
        "rows": rows,
        "means": means(rows),
        "initial_models": models,
        "baseline_half_correlation": round(baseline, 3),
    }
    for row in [*rows, *models]:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    for start, mean in result["means"].items():
        print(f"{start}: {mean}")
    target = Path(__file__).parent / "results/real_betagal.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    return 0


def means(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return, for each start, the means over its seeds of what the consensus judges."""
    found = {}
    for start in dict.fromkeys(row["start"] for row in rows):
        mine = [row for row in rows if row["start"] == start]
        found[start] = {"seeds": [row["seed"] for row in mine]} | {
            key: round(float(np.mean([row[key] for row in mine])), 1) for key in ("poses", "shifts")
        }
    return found


def prepare(folder: Path) -> None:
    """Make a project with particles without poses and the independent map as reference."""
    folder.mkdir(exist_ok=True)
    source = DATA / "betagal_10204"
    if not (folder / "Extract").exists():
        (folder / "Extract").symlink_to(source / "Extract")
    star = read_star(source / "particles_consensus.star")
    table = star["particles"]
    lost = (*ANGLES, *ORIGINS, "rlnRandomSubset", "rlnNormCorrection")
    write_star(
        folder / "particles.star",
        [star["optics"].without("rlnMtfFileName"), table.without(*[x for x in lost if x in table])],
    )
    wanted = read_volume(source / "baseline_half1.mrc")
    other = read_volume(INDEPENDENT)
    fixed = wanted.data.astype(np.float64)
    turned = other.data.astype(np.float64).transpose(ngl.AXES)
    fitted = ngl.resampled(turned, len(fixed), wanted.pixel_size_A / other.pixel_size_A)
    mirrors = [
        np.flip(fitted, axes) for n in (0, 1) for axes in itertools.combinations(range(3), n)
    ]
    found = [(*ngl.whole_pixel_shift(mirror, fixed), mirror) for mirror in mirrors]
    _, where, best = max(found, key=lambda one: one[0])
    write_volume(folder / "start.mrc", shift(best, where).astype(np.float32), wanted.pixel_size_A)
    subprocess.run([sys.executable, "-m", "vitreous", "init", "."], cwd=folder, check=True)


@dataclass(frozen=True)
class Jobs:
    """A project where each job is run once; what it took is kept in ``runs.json``."""

    folder: Path
    threads: int

    def run(self, job: str, options: list[str], seed: int) -> tuple[str, float]:
        """Run a job, unless it was; return its folder and the seconds that it took."""
        words = [job, *options, f"other_args=--random_seed {seed}"]
        kept = self.folder / "runs.json"
        known = json.loads(kept.read_text()) if kept.exists() else {}
        if " ".join(words) not in known:
            command = [
                sys.executable, "-m", "vitreous", "run", *words, "particles=particles.star",
                "mask_diameter_A=190", f"n_threads={self.threads}",
            ]  # fmt: skip
            began = time.perf_counter()
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)
            seconds = round(time.perf_counter() - began, 1)
            kind = {"refine3d": "Refine3D", "initialmodel": "InitialModel"}[job]
            newest = max((self.folder / kind).glob("job*"), key=lambda path: path.stat().st_mtime)
            known[" ".join(words)] = [f"{kind}/{newest.name}", seconds]
            kept.write_text(json.dumps(known, indent=1))
        name, seconds = known[" ".join(words)]
        return name, seconds


def initial(jobs: Jobs, point_group: str, iterations: int) -> dict[str, Any]:
    """Make a map of the particles alone and compare it with the independent map, either hand."""
    options = [f"point_group={point_group}", f"n_iterations={iterations}"]
    job, seconds = jobs.run("initialmodel", options, 1)
    path = f"{job}/initial_model.mrc"
    truth = independent(jobs.folder)
    volume = torch.from_numpy(read_volume(jobs.folder / path).data)
    fitted = laid_on(volume, truth, 15.0, from_anywhere=True)
    head = {"map": path, "point_group": point_group, "seconds": seconds}
    return head | {"iterations": iterations} | dict(map_quality(fitted, truth))


def independent(folder: Path) -> Truth:
    """Return the independent map in the frame of the consensus."""
    known = read_volume(folder / "start.mrc")
    return Truth(torch.from_numpy(known.data), known.pixel_size_A, 190.0, "D2")


def refined(jobs: Jobs, reference: str, seed: int) -> dict[str, Any]:
    """Refine and compare with the consensus and the independent map."""
    options = [f"map={reference}", "point_group=D2", "initial_low_pass_A=40"]
    job, seconds = jobs.run("refine3d", options, seed)
    folder = jobs.folder / job
    poses, degrees, shifts, distance = agreement(folder / "run_data.star")
    model = read_star(folder / "run_model.star")["model_general"]
    path = folder / "run_class001.mrc"
    if reference != "start.mrc":  # its frame may be another one that D2 allows
        own = read_volume(path)
        fitted = laid_on(
            torch.from_numpy(own.data), independent(jobs.folder), 12.0, from_anywhere=True
        )
        path = folder / "laid_on_independent.mrc"
        write_volume(path, fitted.numpy(), own.pixel_size_A)
    correlation = ngl.correlation(str(INDEPENDENT), str(path))
    return {
        "start": reference,
        "seed": seed,
        "seconds": seconds,
        "resolution_A": round(float(str(model.value("rlnCurrentResolution"))), 2),
        "poses": round(poses, 1),
        "median_deg": round(degrees, 2),
        "shifts": round(shifts, 1),
        "median_A": round(distance, 2),
        "correlation": round(correlation, 3),
    }


def agreement(path: Path) -> tuple[float, float, float, float]:
    """Return percent of poses within 5 degrees and median, percent within 4 A and median.

    Of the particles of the consensus those are judged that the refinement has.
    """
    consensus = read_star(DATA / "betagal_10204/particles_consensus.star")["particles"]
    found = read_star(path)["particles"]
    place = {name: row for row, name in enumerate(found["rlnImageName"].tolist())}
    is_there = np.array([name in place for name in consensus["rlnImageName"].tolist()])
    consensus = consensus.select(np.flatnonzero(is_there))
    rows = np.array([place[name] for name in consensus["rlnImageName"].tolist()])

    def poses(table: Table) -> torch.Tensor:
        columns = [np.asarray(table[label], np.float64) for label in ANGLES]
        return geometry.matrix_from_euler(torch.from_numpy(np.stack(columns, 1)))

    true, own = poses(consensus), poses(found)[rows]
    mates = symmetry.rotations("D2")
    frames = symmetry.rotations("O")  # all rotations that map D2 onto itself
    flip = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))  # the other hand
    angles = [
        torch.stack([geometry.rotation_distance_deg(one @ g @ m, true) for m in mates]).amin(0)
        for one in (own, flip @ own @ flip)
        for g in frames
    ]
    best = max(angles, key=lambda angle: float((angle < 5).double().mean()))
    difference = [
        np.asarray(found[label], np.float64)[rows] - np.asarray(consensus[label], np.float64)
        for label in ORIGINS
    ]
    distance = np.hypot(*difference)
    return (
        100 * float((best < 5).double().mean()), float(best.median()),
        100 * float((distance < 4).mean()), float(np.median(distance)),
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
