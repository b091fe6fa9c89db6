"""Whole refinements on simulated particles: time, and what they reach, beside RELION's.

Each program runs as its user runs it, on the same files, from the same start, with all cores, I/O,
start-up and the final iteration included. A ratio of times counts only at equal quality, which
stands beside it: the map against the truth, errors of poses, purity of classes.

Where RELION would take days, it runs a few iterations on two small numbers of particles; a straight
line through both gives what all would take. Later iterations use larger images, so that this is
less than it would take. The numbers are large enough to keep all classes filled: empty ones cost
nothing.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.engine import filtering, geometry, masking, resolution, symmetry
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io import Table, read_star, read_volume, write_star, write_volume

CORES = len(os.sched_getaffinity(0))
FOLDERS = {"refine3d": "Refine3D", "class2d": "Class2D", "class3d": "Class3D"}
KNOWN = (
    "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst",
    "rlnClassNumber", "rlnRandomSubset",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One refinement.

    Parameters
    ----------
    name
        What the table calls it.
    job
        Job type.
    n, box_px, pixel_size_A, snr
        Simulated particles.
    diameter_A
        Of the mask.
    point_group
        Of the molecule and of the refinement.
    simulate
        More for the simulator.
    ours, theirs
        Options of the job, and RELION's flags for the same; None where it has nothing like it.
    relion_n
        RELION runs on these two numbers of particles where all would take hours or days.
    relion_iterations
        And does only so many of 25 iterations; auto-refine ends by itself.
    """

    name: str
    job: str
    n: int
    box_px: int
    pixel_size_A: float
    snr: float
    diameter_A: float
    point_group: str = "C1"
    simulate: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] | None = ()
    relion_n: tuple[int, int] | None = None
    relion_iterations: int = 5
    seeds: tuple[int, ...] = field(default=(1,))


_ITERATIONS = 25
_of_a_chain = partial(
    Case, n=5000, box_px=128, pixel_size_A=1.5, snr=0.08, diameter_A=130.0,
    simulate=("--i", str(resources.files("vitreous.data") / "5a1a_chain_a.cif.gz")),
)  # fmt: skip
_CLASSES = ("--K", "20", "--tau2_fudge", "2")
CASES = (
    _of_a_chain(
        "class3d K 3", "class3d",
        ours=("n_classes=3", "n_iterations=25"),
        theirs=("--K", "3", "--tau2_fudge", "4"), relion_n=(20, 60),
    ),
    _of_a_chain(
        "class2d EM K 20", "class2d",
        ours=("n_classes=20", "use_em=Yes", "use_vdam=No", "n_iterations_em=25"),
        theirs=_CLASSES, relion_n=(200, 600),
    ),
    _of_a_chain(
        "class2d VDAM K 20", "class2d",
        ours=("n_classes=20",), theirs=None,
    ),
    Case(
        "refine3d D2", "refine3d", 500, 128, 1.77, 0.05, 190.0, "D2",
    ),
    Case(
        "refine3d D2 many", "refine3d", 5000, 128, 1.77, 0.05, 190.0, "D2",
        relion_n=(500, 1000), relion_iterations=_ITERATIONS,
    ),
)  # fmt: skip


def run(
    against: str | None = None, cases: Sequence[Case] = CASES, gpu_ids: str | None = None
) -> dict[str, Any]:
    """Measure; with ``against="relion"`` also RELION on the same files.

    With `gpu_ids` (RELION's syntax; empty for any) ours runs on graphics cards. RELION 3.1.3 of
    Debian has no part for them: it runs on the processor in any case.
    """
    if against and shutil.which("relion_refine") is None:
        message = "RELION is not installed (apt-get install relion)"
        raise EnvironmentMissing(message)
    rows: list[dict[str, Any]] = []
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="vitreous-benchmark-") as folder:
            rows += list(_measure(Path(folder), case, against, gpu_ids))
    found = {"unit": "s, wall time and processor time", "cores": CORES, "rows": rows}
    return found if gpu_ids is None else found | {"card": torch.cuda.get_device_name()}


def lines(result: dict[str, Any]) -> Iterator[str]:
    """Return the result as a table, with the command lines below."""
    yield "case              program   particles  wall s   core s  ratio  core ratio  quality"
    for row in result["rows"]:
        quality = ", ".join(f"{name} {value}" for name, value in row["quality"].items())
        yield (
            f"{row['case']:17} {row['program']:9} {row['particles']:9} {row['wall_s']:7.1f} "
            f"{row['core_s']:8.1f} {row.get('ratio', 1):6.1f} "
            f"{row.get('core_ratio', 1):10.1f}  {quality or 'estimated, see the file'}"
        )
    for row in result["rows"]:
        yield f"{row['program']}: {row['command']}"


def _measure(
    folder: Path, case: Case, against: str | None, gpu_ids: str | None
) -> Iterator[dict[str, Any]]:
    _simulate(folder, case)
    # The job is made first, then run as a queue would, so that its processor time is told.
    command = _vitreous(case, gpu_ids)
    made = [*command, "--schedule"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    execute = [sys.executable, "-m", "vitreous", "exec", f"{FOLDERS[case.job]}/job001/"]
    own = timed(execute, folder) | {"command": " ".join(["vitreous", *command[3:]])}
    yield own | {"case": case.name, "particles": case.n, "quality": _quality(folder, case, "ours")}
    if against and case.theirs is not None:
        theirs = _whole(folder, case) if case.relion_n is None else _estimated(folder, case)
        yield theirs | {
            "case": case.name,
            "ratio": round(theirs["wall_s"] / own["wall_s"], 1),
            "core_ratio": round(theirs["core_s"] / max(own["core_s"], 1e-9), 1),
        }


def _whole(folder: Path, case: Case) -> dict[str, Any]:
    """Let RELION do all of it."""
    found = timed(_relion(folder, case, "blind.star", _ITERATIONS), folder)
    return found | {"particles": case.n, "quality": _quality(folder, case, "theirs")}


def _estimated(folder: Path, case: Case) -> dict[str, Any]:
    """Let RELION do a few iterations on two numbers of particles, and draw a line through both."""
    assert case.relion_n is not None
    star = read_star(folder / "blind.star")
    runs = []
    for n in case.relion_n:
        few = star["particles"].select(np.arange(n))
        write_star(folder / f"blind{n}.star", [star["optics"], few])
        runs.append(timed(_relion(folder, case, f"blind{n}.star", case.relion_iterations), folder))
    few_n, many_n = case.relion_n
    result: dict[str, Any] = dict(runs[-1])
    for key in ("wall_s", "core_s"):
        slope = (runs[1][key] - runs[0][key]) / (many_n - few_n)
        of_all = runs[0][key] + slope * (case.n - few_n)
        result[key] = of_all * _ITERATIONS / case.relion_iterations
    return result | {
        "particles": case.n,
        "estimated_from": {
            "particles": case.relion_n,
            "iterations": case.relion_iterations,
            "wall_s": [run["wall_s"] for run in runs],
            "core_s": [run["core_s"] for run in runs],
        },
        "quality": {},
    }


def _simulate(folder: Path, case: Case) -> None:
    """Make particles, forget their poses, and make a start: the truth at 40 angstrom."""
    command = [
        sys.executable, "-m", "vitreous", "simulate", "particles", "--o", "sim", "--n", str(case.n),
        "--angpix", str(case.pixel_size_A), "--box_size", str(case.box_px), "--snr",
        str(case.snr), "--offset", "4", "--random_seed", "7", "--j", str(CORES), *case.simulate,
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    star = read_star(folder / "sim/particles.star")
    blind = star["particles"].without(*[x for x in KNOWN if x in star["particles"]])
    write_star(folder / "blind.star", [star["optics"], blind])
    truth = _truth(folder)
    start = filtering.low_pass(truth, 40.0, case.pixel_size_A, 3)
    write_volume(folder / "start.mrc", start.numpy(), case.pixel_size_A)
    subprocess.run(
        [sys.executable, "-m", "vitreous", "init", "."], cwd=folder, check=True, capture_output=True
    )


def _vitreous(case: Case, gpu_ids: str | None = None) -> list[str]:
    options = [f"n_threads={CORES}", f"mask_diameter_A={case.diameter_A:g}", "particles=blind.star"]
    if gpu_ids is not None:
        options += ["use_gpu=Yes", f"gpu_ids={gpu_ids}"]
    if case.job == "refine3d":
        options += ["map=start.mrc", f"point_group={case.point_group}", "initial_low_pass_A=40"]
    if case.job == "class3d":
        options += ["map=start.mrc", f"point_group={case.point_group}", "initial_low_pass_A=40"]
    seed = f"other_args=--random_seed {case.seeds[0]}"
    return [sys.executable, "-m", "vitreous", "run", case.job, *options, *case.ours, seed]


def _relion(folder: Path, case: Case, particles: str, iterations: int) -> list[str]:
    (folder / "relion").mkdir(exist_ok=True)
    words = () if case.theirs is None else case.theirs
    common = [
        "--i", particles, "--o", "relion/run", "--ctf", "--particle_diameter",
        f"{case.diameter_A:g}", "--flatten_solvent", "--zero_mask", "--norm", "--scale",
        "--oversampling", "1", "--offset_range", "5", "--offset_step", "2", "--pad", "2",
        "--pool", "10", "--dont_combine_weights_via_disc", "--random_seed", str(case.seeds[0]),
    ]  # fmt: skip
    if case.job == "class2d":
        return [
            "relion_refine", *common, "--psi_step", "12", "--j", str(CORES), "--skip_gridding",
            "--iter", str(iterations), *words,
        ]  # fmt: skip
    three = [
        "--ref", "start.mrc", "--ini_high", "40", "--firstiter_cc", "--healpix_order", "2",
        "--sym", case.point_group, "--skip_gridding",
    ]  # fmt: skip
    if case.job == "class3d":
        run_it = ["--iter", str(iterations), "--j", str(CORES)]
        return ["relion_refine", *common, *three, *run_it, *words]
    mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3"]
    refine = ["--auto_refine", "--split_random_halves", "--low_resol_join_halves", "40"]
    local = ["--auto_local_healpix_order", "4", "--j", str(max(1, CORES // 2))]
    return [*mpirun, "relion_refine_mpi", *common, *three, *refine, *local, *words]


def timed(command: list[str], folder: Path) -> dict[str, Any]:
    """Run a command; return wall and processor seconds."""
    environment = os.environ | {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        message = f"{' '.join(command)}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
        raise ComputeError(message)
    core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shown = ["vitreous", *command[3:]] if command[0] == sys.executable else command
    return {
        "program": "vitreous" if command[0] == sys.executable else "relion",
        "wall_s": wall,
        "core_s": core,
        "command": " ".join(shown),
    }


def _quality(folder: Path, case: Case, whose: str) -> dict[str, Any]:
    """Compare a result with the truth."""
    root = folder / "relion/run"
    if whose == "ours":
        root = folder / FOLDERS[case.job] / "job001/run"
    last = "" if case.job == "refine3d" else _last_iteration(root)
    data = read_star(Path(f"{root}{last}_data.star"))["particles"]
    found: dict[str, Any] = {}
    if case.job == "refine3d":
        found |= _map_quality(folder, Path(f"{root}_class001.mrc"), case)
    if case.job != "class2d":
        found |= _pose_quality(folder, data, case)
    else:
        found |= _class_quality(Path(f"{root}{last}_model.star"), data)
    return found


def _last_iteration(root: Path) -> str:
    newest = max(root.parent.glob(f"{root.name}_it*_data.star"))
    return "_" + newest.name.split("_")[1]


def _truth(folder: Path) -> torch.Tensor:
    path = next((folder / "sim/truth").glob("map*.mrc"))
    return torch.from_numpy(read_volume(path).data)


def _map_quality(folder: Path, path: Path, case: Case) -> dict[str, Any]:
    truth, volume = _truth(folder), torch.from_numpy(read_volume(path).data)
    mask = masking.sphere(case.box_px, 3, case.diameter_A / 2 / case.pixel_size_A, 5)
    curve = resolution.fsc(truth * mask, volume * mask, 3)
    reached_A = resolution.resolution_A(curve, case.box_px, case.pixel_size_A, 0.5)
    return {"FSC 0.5 against truth": f"{reached_A:.2f} Å"}


def _pose_quality(folder: Path, data: Table, case: Case) -> dict[str, Any]:
    """Return errors of poses, modulo the symmetry."""
    truth = read_star(folder / "sim/particles.star")["particles"]
    place = {name: row for row, name in enumerate(truth["rlnImageName"].tolist())}
    rows = np.array([place[name] for name in data["rlnImageName"].tolist()])

    def poses(table: Table) -> torch.Tensor:
        angles = np.stack([np.asarray(table[x], np.float64) for x in KNOWN[:3]], 1)
        return geometry.matrix_from_euler(torch.from_numpy(angles))

    group = "D2" if not case.simulate else case.point_group
    mates = symmetry.rotations(group)
    found, true = poses(data), poses(truth)[rows]
    angle = torch.stack([geometry.rotation_distance_deg(found @ m, true) for m in mates]).amin(0)
    shifts = [
        np.asarray(data[x], np.float64) - np.asarray(truth[x], np.float64)[rows] for x in KNOWN[3:5]
    ]
    distance = np.hypot(*shifts)
    return {
        "median angle error": f"{float(angle.median()):.2f}°",
        "within 5°": f"{100 * float((angle < 5).double().mean()):.1f} %",
        "median shift error": f"{float(np.median(distance)):.2f} Å",
    }


def _class_quality(model: Path, data: Table) -> dict[str, Any]:
    classes = read_star(model)["model_classes"]
    share = np.asarray(classes["rlnClassDistribution"], np.float64)
    finest = np.asarray(classes["rlnEstimatedResolution"], np.float64)
    good = finest < 1.5 * finest.min()
    used = len(np.unique(np.asarray(data["rlnClassNumber"])))
    return {
        "classes used": used,
        "finest": f"{finest.min():.1f} Å",
        "particles in classes within 1.5 times of it": f"{100 * share[good].sum():.0f} %",
    }
