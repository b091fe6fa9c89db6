"""Real beta-galactosidase: auto-refine from an independent map, compared with the consensus.

The particles of the data folder lose their poses and are refined in D2 from the independent map at
40 angstrom, with three seeds, and with ``--initial-model`` also from a map made of the particles
alone. Poses are compared modulo D2 and the rotations of the frame that preserve it.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import shift

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import compare_with_ngl as ngl

from vitreous.engine import geometry, symmetry
from vitreous.io import Table, read_star, read_volume, write_star, write_volume

DATA = Path(os.environ.get("VITREOUS_TEST_DATA", "../shared/data")).resolve()
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
    parser.add_argument("--folder", type=Path, help="keep the project here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vitreous-betagal-") as temporary:
        folder = arguments.folder or Path(temporary)
        prepare(folder)
        rows = [refined(folder, "start.mrc", seed) for seed in SEEDS]
        if arguments.initial_model:
            model = run(folder, "initialmodel", ["point_group=D2"], 1)[0]
            rows.append(refined(folder, f"{model}/initial_model.mrc", 1))
    baseline = ngl.correlation(
        str(DATA / "maps/ngl_betaGal_3.54A.mrc"), str(DATA / "betagal_10204/baseline_half1.mrc")
    )
    result = {"rows": rows, "baseline_half_correlation": round(baseline, 3)}
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    means = [np.mean([row[key] for row in rows[: len(SEEDS)]]) for key in ("poses", "shifts")]
    print(f"mean of {len(SEEDS)} seeds: poses within 5 degrees {means[0]:.1f} %, "
          f"shifts within 4 A {means[1]:.1f} %")  # fmt: skip
    target = Path(__file__).parent / "results/real_betagal.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    return 0


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
    other = read_volume(DATA / "maps/ngl_betaGal_3.54A.mrc")
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


def run(folder: Path, job: str, options: list[str], seed: int) -> tuple[str, float]:
    """Run a job; return its folder and the seconds that it took."""
    command = [
        sys.executable, "-m", "vitreous", "run", job, "particles=particles.star",
        "mask_diameter_A=190", f"n_threads={CORES}", *options, f"other_args=--random_seed {seed}",
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    kind = {"refine3d": "Refine3D", "initialmodel": "InitialModel"}[job]
    newest = max((folder / kind).glob("job*"), key=lambda path: path.stat().st_mtime)
    return f"{kind}/{newest.name}", time.perf_counter() - began


def refined(folder: Path, reference: str, seed: int) -> dict[str, Any]:
    """Refine and compare with the consensus and the independent map."""
    options = [f"map={reference}", "point_group=D2", "initial_low_pass_A=40"]
    job, seconds = run(folder, "refine3d", options, seed)
    poses, degrees, shifts, distance = agreement(folder / job / "run_data.star")
    model = read_star(folder / job / "run_model.star")["model_general"]
    return {
        "start": reference,
        "seed": seed,
        "seconds": round(seconds, 1),
        "resolution_A": round(float(model.value("rlnCurrentResolution")), 2),
        "poses": round(poses, 1),
        "median_deg": round(degrees, 2),
        "shifts": round(shifts, 1),
        "median_A": round(distance, 2),
        "correlation": round(
            ngl.correlation(
                str(DATA / "maps/ngl_betaGal_3.54A.mrc"), str(folder / job / "run_class001.mrc")
            ),
            3,
        ),
    }


def agreement(path: Path) -> tuple[float, float, float, float]:
    """Return percent of poses within 5 degrees and median, percent within 4 A and median."""
    consensus = read_star(DATA / "betagal_10204/particles_consensus.star")["particles"]
    found = read_star(path)["particles"]
    place = {name: row for row, name in enumerate(found["rlnImageName"].tolist())}
    rows = np.array([place[name] for name in consensus["rlnImageName"].tolist()])

    def poses(table: Table) -> torch.Tensor:
        columns = [np.asarray(table[label], np.float64) for label in ANGLES]
        return geometry.matrix_from_euler(torch.from_numpy(np.stack(columns, 1)))

    true, own = poses(consensus), poses(found)[rows]
    mates = symmetry.rotations("D2")
    frames = symmetry.rotations("O")  # all rotations that map D2 onto itself
    angles = [
        torch.stack([geometry.rotation_distance_deg(own @ g @ m, true) for m in mates]).amin(0)
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
