"""Accuracy of refinements on simulated particles: ours, RELION's and the truth.

Each program runs as its user runs it, on the same files, from the same start, with the same halves.
Whatever is finished in the folder is not run again, so that an interrupted benchmark goes on.

    python -m benchmarks.accuracy --folder F --models mdanalysistests-2.11.0.tar.gz [NAME ...]

writes ``benchmarks/results/accuracy.json`` and ``accuracy.md``. RELION is run where
``relion_refine_mpi`` is found and not refused by ``--without-relion``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import _molecules, _tables
from vitreous.engine import filtering, fourier, resolution
from vitreous.io import Table, read_images, read_star, read_volume, write_star, write_volume
from vitreous.testing.truth import (
    Truth,
    laid_on,
    map_quality,
    pose_quality,
    purity,
    well_resolved,
)

RESULTS = Path(__file__).parent / "results"
FOLDERS = {
    "refine3d": "Refine3D",
    "class2d": "Class2D",
    "class3d": "Class3D",
    "initialmodel": "InitialModel",
}
FORGOTTEN = (
    "rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst",
    "rlnClassNumber", "rlnRandomSubset",
)  # fmt: skip
GOOD_A = 20.0
JOIN_A = 40.0


@dataclass(frozen=True)
class Particles:
    """Simulated particles.

    Parameters
    ----------
    name, what
        Folder, and what the table calls them.
    n, pixel_size_A, snr, diameter_A, point_group
        What is simulated, and the mask of the refinements.
    models
        Files or, ending in ``/``, other particles of which the maps are used.
    low_pass_A
        The start is the truth up to here.
    words
        More for the simulator.
    """

    name: str
    what: str
    n: int
    pixel_size_A: float
    snr: float
    diameter_A: float
    point_group: str = "C1"
    models: tuple[str, ...] = ()
    low_pass_A: float = 40.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """One refinement: what ours is told, what RELION is told for the same, and with which seeds."""

    name: str
    particles: str
    job: str
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (1,)


BOX_PX = 64
PARTICLES = (
    Particles(
        "betagal", "beta-galactosidase (5A1A), D2", 1000, 3.54, 0.05, 190, "D2",
        words=("--kV", "200", "--Cs", "1.4", "--bfactor", "60", "--offset", "4"),
    ),
    Particles(
        "betagal_2000", "beta-galactosidase (5A1A), D2", 2000, 3.54, 0.05, 190, "D2",
        words=("--kV", "200", "--Cs", "1.4", "--bfactor", "60", "--offset", "4"),
    ),
    Particles(
        "cftr", "CFTR (6MSM), asymmetric", 1000, 3.0, 0.05, 155, models=("cftr.pdb",),
        words=("--bfactor", "60", "--offset", "4"),
    ),
    Particles(
        "cftr_2000", "CFTR (6MSM), asymmetric", 2000, 3.0, 0.05, 155, models=("cftr.pdb",),
        words=("--bfactor", "60", "--offset", "4"),
    ),
    Particles(
        "cftr_few", "CFTR (6MSM), asymmetric", 300, 3.0, 0.05, 155, models=("cftr.pdb",),
        words=("--bfactor", "60", "--offset", "4"),
    ),
    Particles(
        "adk_2000", "adenylate kinase, open and closed", 2000, 1.5, 0.05, 80,
        models=("adk_open.pdb", "adk_closed.pdb"), low_pass_A=20.0,
        words=("--bfactor", "30", "--offset", "2"),
    ),
    Particles("cftr_map", "CFTR at the pixel size of the mixture", 2, 3.54, 0.05, 155,
              models=("cftr.pdb",)),
    Particles(
        "mixture_2000", "beta-galactosidase and CFTR in equal parts", 2000, 3.54, 0.05, 190,
        models=("betagal/", "cftr_map/"), words=("--bfactor", "60", "--offset", "4"),
    ),
    Particles("noise", "white noise", 300, 3.54, 0.0, 190, "D2", models=("betagal/",)),
)  # fmt: skip
_THREE = (
    "--ref", "start.mrc", "--firstiter_cc", "--flatten_solvent", "--zero_mask", "--offset_range",
    "5", "--offset_step", "2",
)  # fmt: skip
_AUTO = (
    *_THREE, "--healpix_order", "2", "--ini_high", "40", "--auto_refine", "--split_random_halves",
    "--low_resol_join_halves", "40",
)  # fmt: skip
_EM = ("use_em=Yes", "use_vdam=No")
_CLASS2D = (
    "--iter", "25", "--tau2_fudge", "2", "--psi_step", "12", "--zero_mask", "--flatten_solvent",
    "--offset_range", "5", "--offset_step", "2", "--center_classes",
)  # fmt: skip
_STATES = (
    "map=start.mrc", "initial_low_pass_A=20", "n_classes=2", "n_iterations=25",
    "angular_sampling=15 degrees",
)  # fmt: skip
_CLASS3D = (
    *_THREE, "--healpix_order", "1", "--ini_high", "20", "--K", "2", "--iter", "25",
    "--tau2_fudge", "4", "--sym", "C1",
)  # fmt: skip
_FROM_40 = ("map=start.mrc", "initial_low_pass_A=40")
_TEN = tuple(range(1, 11))
COMPARISONS = (
    Comparison("refine3d", "betagal_2000", "refine3d", (*_FROM_40, "point_group=D2"),
               (*_AUTO, "--auto_local_healpix_order", "4", "--sym", "D2")),
    Comparison("refine3d", "cftr_2000", "refine3d", (*_FROM_40, "local_sampling=3.7 degrees"),
               (*_AUTO, "--auto_local_healpix_order", "3", "--sym", "C1")),
    Comparison("refine3d", "cftr_few", "refine3d", (*_FROM_40, "local_sampling=3.7 degrees"),
               (*_AUTO, "--auto_local_healpix_order", "3", "--sym", "C1")),
    Comparison("class2d", "mixture_2000", "class2d", ("n_classes=10", *_EM),
               ("--K", "10", *_CLASS2D)),
    Comparison("class3d", "adk_2000", "class3d", _STATES, _CLASS3D),
    Comparison("refine3d", "noise", "refine3d", (*_FROM_40, "point_group=D2")),
    Comparison("initialmodel", "cftr", "initialmodel", seeds=_TEN),
    Comparison("initialmodel", "betagal", "initialmodel", ("point_group=D2",), seeds=_TEN),
)  # fmt: skip


def main() -> int:
    """Run what is asked for, measure all that is finished, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    names = [f"{one.particles}/{one.name}" for one in COMPARISONS]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    parser.add_argument("--folder", type=Path, default=Path("accuracy"), help="keep runs here")
    parser.add_argument("--models", type=Path, help=f"archive from `{_molecules.HOW}`")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--relion-minutes", type=float, help="stop each of RELION's runs then")
    parser.add_argument("--without-relion", action="store_true", help="run only ours")
    parser.add_argument("--measure-only", action="store_true", help="run nothing")
    options = parser.parse_args()
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no comparison is called {', '.join(sorted(unknown))}")
    folder = options.folder.resolve()
    has_relion = shutil.which("relion_refine_mpi") is not None and not options.without_relion
    wanted = options.names or names
    chosen = [one for one, name in zip(COMPARISONS, names, strict=True) if name in wanted]
    if not options.measure_only:
        for one in chosen:
            particles = prepared(folder, one.particles, options)
            for seed in one.seeds:
                run_ours(folder / particles.name, one, particles, seed, options.threads)
            if has_relion and one.theirs is not None:
                run_relion(folder / particles.name, one, particles, options)
    rows = [row for one in COMPARISONS for row in measured(folder, one)]
    result = {"benchmark": "accuracy", "particles": _described(folder), "rows": rows}
    (RESULTS / "accuracy.json").write_text(json.dumps(result, indent=1) + "\n")
    text = _tables.markdown(result)
    (RESULTS / "accuracy.md").write_text(text)
    print(text)
    return 0


# ----------------------------------------------------------------------------------- particles


def prepared(folder: Path, name: str, options: argparse.Namespace) -> Particles:
    """Simulate particles, forget their poses, draw halves, make a start; once."""
    particles = next(one for one in PARTICLES if one.name == name)
    home = folder / name
    if (home / "ready").exists():
        return particles
    models = []
    for model in particles.models:
        if model.endswith("/"):
            prepared(folder, model.rstrip("/"), options)
            models.append(str(truth_maps(folder / model.rstrip("/"))[0]))
        else:
            if not (folder / "models" / model).exists():
                _molecules.prepare(
                    options.models or Path("mdanalysistests.tar.gz"), folder / "models"
                )
            models.append(str(folder / "models" / model))
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "sim/truth").exists():
        command = [
            sys.executable, "-m", "vitreous", "simulate", "particles", "--o", "sim", "--n",
            str(particles.n), "--angpix", str(particles.pixel_size_A), "--box_size", str(BOX_PX),
            "--snr", str(particles.snr or 1.0), "--random_seed", "7", "--j", str(options.threads),
            *particles.words, *(["--i", *models] if models else []),
        ]  # fmt: skip
        subprocess.run(command, cwd=home, check=True, capture_output=True)
    if not particles.snr:
        _only_noise(home / "sim/particles.mrcs")
    _forget(home, particles)
    if not (home / "default_pipeline.star").exists():
        init = [sys.executable, "-m", "vitreous", "init", "."]
        subprocess.run(init, cwd=home, check=True, capture_output=True)
    (home / "ready").touch()
    return particles


def _only_noise(path: Path) -> None:
    stack = read_volume(path)
    drawn = np.random.default_rng(1).standard_normal(stack.data.shape).astype(np.float32)
    write_volume(path, drawn, stack.pixel_size_A)


def _forget(home: Path, particles: Particles) -> None:
    star = read_star(home / "sim/particles.star")
    table = star["particles"]
    blind = table.without(*[label for label in FORGOTTEN if label in table])
    halves = np.random.default_rng(1).permutation(np.arange(len(table)) % 2) + 1
    blind = blind.with_columns({"rlnRandomSubset": halves})
    write_star(home / "blind.star", [star["optics"], blind])
    truth = read_volume(truth_maps(home)[0])
    volume = torch.from_numpy(truth.data)
    start = filtering.low_pass(volume, particles.low_pass_A, truth.pixel_size_A, 3)
    write_volume(home / "start.mrc", start.numpy(), truth.pixel_size_A)


def truth_maps(home: Path) -> list[Path]:
    """Return the maps that particles were made of."""
    return sorted((home / "sim/truth").glob("map_class*.mrc"))


# ---------------------------------------------------------------------------------------- runs


def run_ours(home: Path, one: Comparison, particles: Particles, seed: int, threads: int) -> None:
    """Run our job, unless it was; keep what it took beside it."""
    kept = home / f"ours_{one.name}_{seed}.json"
    if kept.exists():
        return
    command = [
        "run", one.job, "particles=blind.star", f"mask_diameter_A={particles.diameter_A:g}",
        f"n_threads={threads}", *one.ours, f"other_args=--random_seed {seed}",
    ]  # fmt: skip
    known = set((home / FOLDERS[one.job]).glob("job*"))
    seconds = _timed([sys.executable, "-m", "vitreous", *command], home, home / "ours.log")
    (made,) = set((home / FOLDERS[one.job]).glob("job*")) - known
    root = f"{FOLDERS[one.job]}/{made.name}"
    said = {"command": "vitreous " + " ".join(command), "root": root, "seconds": seconds}
    kept.write_text(json.dumps(said | {"version": _version()}, indent=1) + "\n")


def run_relion(
    home: Path, one: Comparison, particles: Particles, options: argparse.Namespace
) -> None:
    """Run RELION, unless it was; keep what it took, and where it was stopped, beside it."""
    kept = home / f"relion_{one.name}_1.json"
    if kept.exists():
        return
    root = f"relion/{one.name}"
    (home / root).mkdir(parents=True, exist_ok=True)
    command = relion_command(one, particles, root, options.threads)
    limit_s = None if options.relion_minutes is None else 60 * options.relion_minutes
    said: dict[str, Any] = {"command": " ".join(command), "root": root}
    try:
        said["seconds"] = _timed(command, home, home / f"{root}.log", limit_s)
    except subprocess.TimeoutExpired:
        said["iteration"] = _finished_iterations(home / root)
    asked = ["relion_refine", "--version"]
    version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    kept.write_text(json.dumps(said | {"version": version.strip()}, indent=1) + "\n")


def relion_command(one: Comparison, particles: Particles, root: str, threads: int) -> list[str]:
    """Return RELION's command line for the same refinement."""
    assert one.theirs is not None
    common = [
        "--i", "blind.star", "--o", f"{root}/run", "--ctf", "--particle_diameter",
        f"{particles.diameter_A:g}", "--norm", "--scale", "--oversampling", "1", "--pad", "2",
        "--pool", "10", "--dont_combine_weights_via_disc", "--random_seed", "1",
    ]  # fmt: skip
    if one.job != "refine3d":
        return ["relion_refine", *common, *one.theirs, "--j", str(threads)]
    ranks = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "3"]
    return [*ranks, "relion_refine_mpi", *common, *one.theirs, "--j", str(max(1, threads // 2))]


def _finished_iterations(root: Path) -> int:
    return max(int(path.name[6:9]) for path in root.glob("run_it*_optimiser.star"))


def _timed(command: list[str], home: Path, log: Path, limit_s: float | None = None) -> float:
    began = time.perf_counter()
    with (
        log.open("w") as said,
        subprocess.Popen(command, cwd=home, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.terminate()  # mpirun ends its ranks
            process.wait()
            raise
    if code:
        raise subprocess.CalledProcessError(code, command)
    return round(time.perf_counter() - began, 1)


def _version() -> str:
    import vitreous

    here = Path(vitreous.__file__).parent
    asked = ["git", "-C", str(here), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return f"{vitreous.__version__} {commit}".strip()


# ------------------------------------------------------------------------------------- measures


def measured(folder: Path, one: Comparison) -> list[dict[str, Any]]:
    """Return a row for each finished run; measures are kept beside the runs.

    Where RELION was stopped, ours is judged at the same stage of its own schedule too.
    """
    home = folder / one.particles
    rows = []
    for program in ("ours", "relion"):
        for kept in sorted(home.glob(f"{program}_{one.name}_[0-9]*.json")):
            said = json.loads(kept.read_text())
            key = "quality"
            if key not in said:
                with contextlib.chdir(home):  # names of images are from here
                    said[key] = _quality(one, Path(said["root"]), said.get("iteration"))
                kept.write_text(json.dumps(said, indent=1) + "\n")
            head = {"comparison": f"{one.particles}/{one.name}", "program": program}
            rows.append(head | {"seed": int(kept.stem.rpartition("_")[2])} | said)
    for theirs in [row for row in rows if "iteration" in row]:
        for row in [row for row in rows if row["program"] == "ours"]:
            with contextlib.chdir(home):
                there = theirs["iteration"]
                if one.job == "refine3d":
                    there = same_stage(Path(theirs["root"]), there, Path(row["root"]))
                quality = _quality(one, Path(row["root"]), there)
            rows.append(row | {"iteration": there, "quality": quality})
    return sorted(rows, key=lambda row: (row["program"], row["seed"], "iteration" in row))


def same_stage(stopped: Path, iteration: int, own: Path) -> int:
    """Return our iteration that searched as finely, as often, as one of RELION's.

    The sampling gets finer when nothing improves any more, which is rarely the same iteration.
    """
    theirs, ours = _orders(stopped)[:iteration], _orders(own)
    nth = theirs.count(theirs[-1])
    same = [number for number, order in enumerate(ours, 1) if order == theirs[-1]]
    return same[min(nth, len(same)) - 1] if same else min(iteration, len(ours))


def _orders(root: Path) -> list[int]:
    """Return the sampling of each iteration."""
    names = sorted(root.glob("run_it*_sampling.star"))
    steps = [read_star(name)["sampling_general"] for name in names]
    return [int(str(step.value("rlnHealpixOrder"))) for step in steps][1:]


def _quality(one: Comparison, root: Path, iteration: int | None = None) -> dict[str, Any]:
    particles = next(entry for entry in PARTICLES if entry.name == one.particles)
    truths = [
        Truth(
            torch.from_numpy(read_volume(path).data),
            particles.pixel_size_A,
            particles.diameter_A,
            particles.point_group,
        )
        for path in truth_maps(Path())
    ]
    true = read_star("sim/particles.star")["particles"]
    if not particles.snr:
        return noise_quality(root, particles)
    if one.job == "refine3d":
        return refined_quality(root, truths[0], true, iteration)
    if one.job == "initialmodel":
        return initial_quality(root, truths[0])
    data, model = _classes(root, iteration)
    found = data["rlnClassNumber"]
    quality: dict[str, Any] = {"purity_percent": round(100 * _purity(data, true), 1)}
    if one.job == "class2d":
        averages = torch.from_numpy(read_images(_class_names(model)))
        members = np.bincount(np.asarray(found, np.int64), minlength=len(averages) + 1)[1:]
        seen = well_resolved(averages, members, truths, GOOD_A)
        return quality | {
            "classes_used": int((members >= 10).sum()),
            "well_resolved": sum(value <= GOOD_A for value in seen),
            "resolutions_A": sorted(seen),
        }
    return quality | _class_maps(model, data, truths, true)


def refined_quality(
    root: Path, truth: Truth, true: Table, iteration: int | None = None
) -> dict[str, Any]:
    """Judge an auto-refinement at its end, or after an iteration by the mean of the half maps."""
    at, names, model = "", ["run_class001.mrc"], "run_model.star"
    if iteration is not None:
        at = f"_it{iteration:03d}"
        names = [f"run{at}_half{half}_class001.mrc" for half in (1, 2)]
        model = f"run{at}_half1_model.star"
    maps = [torch.from_numpy(read_volume(root / name).data) for name in names]
    volume = torch.stack(maps).mean(0)
    fitted = laid_on(volume, truth, max(8.0, 3 * truth.pixel_size_A), from_anywhere=False)
    quality: dict[str, Any] = map_quality(fitted, truth)
    data = read_star(root / f"run{at}_data.star")["particles"]
    quality |= pose_quality(data, true, truth.point_group)
    general = read_star(root / model)["model_general"]
    said = round(float(general.value("rlnCurrentResolution")), 2)
    steps = iteration or len(list(root.glob("run_it*_optimiser.star")))
    return quality | {"its_own_resolution_A": said, "iterations": steps}


def initial_quality(root: Path, truth: Truth) -> dict[str, Any]:
    """Judge a map from nothing, of either hand and in any orientation."""
    volume = torch.from_numpy(read_volume(root / "initial_model.mrc").data)
    limit_A = max(15.0, 3 * truth.pixel_size_A)
    quality: dict[str, Any] = map_quality(
        laid_on(volume, truth, limit_A, from_anywhere=True), truth
    )
    return quality | {"succeeded": quality["resolution_A"] <= GOOD_A}


def noise_quality(root: Path, particles: Particles) -> dict[str, Any]:
    """Judge half maps of noise beyond the shells that were joined."""
    names = [root / f"run_half{half}_class001_unfil.mrc" for half in (1, 2)]
    halves = [torch.from_numpy(read_volume(name).data) for name in names]
    curve = resolution.fsc(halves[0], halves[1], 3)
    first = int(np.ceil(BOX_PX * particles.pixel_size_A / JOIN_A)) + 1
    inside = fourier.shell_count(BOX_PX, 3)[: len(curve)].double()
    deviations = (curve * inside.sqrt())[first:-1]
    return {
        "largest_fsc": round(float(curve[first:-1].abs().max()), 3),
        "largest_deviations": round(float(deviations.abs().max()), 2),
        "mean_deviations": round(float(deviations.mean()), 2),
        "shells": f"{first} to {len(curve) - 2}",
        "joined_fsc": round(float(curve[1:first].mean()), 2),
    }


def _class_maps(model: Table, data: Table, truths: list[Truth], true: Table) -> dict[str, Any]:
    """Judge each class by the molecule that most of its particles are of."""
    found = np.asarray(data["rlnClassNumber"], np.int64)
    kinds = _kinds(data, true)
    quality: dict[str, Any] = {}
    for number, name in enumerate(_class_names(model), 1):
        if (found == number).sum() < 10:
            continue
        kind = int(np.bincount(kinds[found == number]).argmax())
        volume = torch.from_numpy(read_volume(name).data)
        limit_A = max(8.0, 3 * truths[0].pixel_size_A)
        fit = map_quality(
            laid_on(volume, truths[kind - 1], limit_A, from_anywhere=False), truths[kind - 1]
        )
        quality[f"class {number}, {int((found == number).sum())} particles, state {kind}"] = fit[
            "resolution_A"
        ]
    return quality


def _classes(root: Path, iteration: int | None) -> tuple[Table, Table]:
    """Return particles and classes of an iteration, by default the last."""
    wanted = "*" if iteration is None else f"{iteration:03d}"
    newest = sorted(root.glob(f"run_it{wanted}_data.star"))[-1]
    model = read_star(str(newest).replace("_data.star", "_model.star"))
    return read_star(newest)["particles"], model["model_classes"]


def _class_names(model: Table) -> list[str]:
    return [str(name) for name in model["rlnReferenceImage"].tolist()]


def _kinds(data: Table, true: Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    place = {name: row for row, name in enumerate(true["rlnImageName"].tolist())}
    rows = [place[name] for name in data["rlnImageName"].tolist()]
    return np.asarray(true["rlnClassNumber"], np.int64)[rows]


def _purity(data: Table, true: Table) -> float:
    return purity(np.asarray(data["rlnClassNumber"], np.int64), _kinds(data, true))


def _described(folder: Path) -> dict[str, str]:
    return {
        one.name: f"{one.what}: {one.n:,} particles, {BOX_PX} px of {one.pixel_size_A:g} Å, SNR "
        f"{one.snr:g}, mask {one.diameter_A:g} Å"
        for one in PARTICLES
        if (folder / one.name / "ready").exists() and one.n > 2
    }


if __name__ == "__main__":
    raise SystemExit(main())
