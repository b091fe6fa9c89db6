"""A project with simulated particles, and what is true of them, for tests of refinements."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from contextlib import chdir
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

import vitreous
from vitreous.actions.job import Job
from vitreous.engine import geometry
from vitreous.engine.refinement.changes import axes_distance_deg
from vitreous.engine.resolution import fsc
from vitreous.io import read_star, read_volume, write_volume
from vitreous.programs import simulate
from vitreous.project.pipeline import Form
from vitreous.running import process_table, record
from vitreous.testing import phantoms

BOX, PIXEL_A = 24, 4.0
PARTICLES = "sim/particles.star"
SEED = "--random_seed 1"
COMMON = {"particles": PARTICLES, "mask_diameter_A": 84}
PATIENCE_S = 120.0


def simulated(
    root: Path, n: int, *, states: int = 1, snr: float = 4.0, of_one_view: bool = False
) -> Path:
    """Simulate particles of one or two molecules in a folder, seen from anywhere or from above."""
    root.mkdir(parents=True, exist_ok=True)
    names = [f"map{number}.mrc" for number in range(1, states + 1)]
    for number, name in enumerate(names):
        thing = phantoms.cluster(8, radius_px=0.3 * BOX, width_px=1.3, seed=3 + number)
        thing = thing.moved(-(thing.weights[:, None] * thing.centres_px).sum(0))
        write_volume(root / name, thing.volume(BOX).float().numpy(), PIXEL_A)
    words = f"particles --o sim --n {n} --angpix {PIXEL_A} --box_size {BOX} --snr {snr}"
    words += f" --random_seed 5 --pad 1 --offset 3 --i {' '.join(names)}"
    words += " --prefer 0 0 3 1" if of_one_view else ""
    with chdir(root):
        assert simulate.main(words.split()) == 0
    return root


def project_of(folder: Path, root: Path, form: Form = "5.0") -> vitreous.Project:
    """Make a project with a copy of simulated particles."""
    shutil.copytree(folder, root)
    return vitreous.Project.create(root, form=form)


def truth(project: vitreous.Project, label: str) -> NDArray[np.float64]:
    """Return a column of the simulated particles."""
    return np.asarray(read_star(project.root / PARTICLES)["particles"][label])


def shares_with_true_class(project: vitreous.Project, data_star: Path) -> NDArray[np.float64]:
    """Return of each class how much of it is its commonest molecule; NaN of an empty one."""
    rows = read_star(data_star)["particles"]
    assert rows["rlnImageName"].tolist() == truth(project, "rlnImageName").tolist()
    found, true = np.asarray(rows["rlnClassNumber"]), truth(project, "rlnClassNumber")
    counts = np.zeros((found.max(), true.max()))
    np.add.at(counts, (found - 1, true - 1), 1)
    with np.errstate(invalid="ignore"):
        shares: NDArray[np.float64] = counts.max(1) / counts.sum(1)
    return shares


def purity(project: vitreous.Project, data_star: Path) -> float:
    """Return the share of particles that are of the commonest molecule of their class."""
    found = np.asarray(read_star(data_star)["particles"]["rlnClassNumber"])
    shares = shares_with_true_class(project, data_star)
    members = np.bincount(found, minlength=len(shares) + 1)[1:]
    return float(np.nansum(shares * members) / members.sum())


def pose_errors(
    project: vitreous.Project, data_star: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return errors of orientation (degrees) and of shift (Å) of every particle."""
    sides = [read_star(path)["particles"] for path in (data_star, project.root / PARTICLES)]
    assert sides[0]["rlnImageName"].tolist() == sides[1]["rlnImageName"].tolist()
    angles = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
    found, true = (
        np.stack([np.asarray(rows[name]) for name in angles], 1).astype(float) for rows in sides
    )
    shifts = [
        np.stack([np.asarray(rows[f"rlnOrigin{axis}Angst"]) for axis in "XY"], 1) for rows in sides
    ]
    identity = torch.eye(3, dtype=torch.float64)[None]
    distance = axes_distance_deg(torch.from_numpy(found), torch.from_numpy(true), identity)
    return distance.numpy(), np.linalg.norm(shifts[0] - shifts[1], axis=1)


def correlation(path: Path, true: Path) -> float:
    """Return the mean FSC of a map with the truth up to 14 Å."""
    maps = [torch.from_numpy(read_volume(one).data) for one in (path, true)]
    return float(fsc(maps[0], maps[1], 3)[1:8].mean())


def correlation_when_turned(path: Path, true: Path) -> float:
    """Return the mean FSC with the truth up to 16 Å, over all orientations and both hands."""
    rng = np.random.default_rng(1)
    maps = [torch.from_numpy(read_volume(one).data).double() for one in (path, true)]
    found, known = (one[1:, 1:, 1:] for one in maps)  # odd: the origin is in the middle
    start = torch.from_numpy(rng.uniform((-180, -1, -180), (180, 1, 180), (1500, 3)))
    start[:, 1] = torch.rad2deg(torch.acos(start[:, 1]))
    best = -1.0
    for volume in (found, found.flip(0)):
        rough, goal = (torch.nn.functional.avg_pool3d(one[None], 2)[0] for one in (volume, known))
        scores = [_likeness(_turned(rough, angles), goal) for angles in start]
        angles = start[int(np.argmax(scores))]
        score = _likeness(_turned(volume, angles), known)
        for width in (12.0, 6.0, 3.0):
            for _ in range(50):
                tried = angles + torch.from_numpy(rng.normal(0, width, 3))
                again = _likeness(_turned(volume, tried), known)
                if again > score:
                    angles, score = tried, again
        best = max(best, float(fsc(_turned(volume, angles), known, 3)[1:7].mean()))
    return best


def _likeness(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def _turned(volume: torch.Tensor, angles_deg: torch.Tensor) -> torch.Tensor:
    """Return a volume turned around the middle between its voxels."""
    matrix = geometry.matrix_from_euler(angles_deg[None])
    affine = torch.cat([matrix, torch.zeros(1, 3, 1, dtype=torch.float64)], 2)
    size = (1, 1, *volume.shape)
    grid = torch.nn.functional.affine_grid(affine, size, align_corners=False)
    return torch.nn.functional.grid_sample(volume[None, None], grid, align_corners=False)[0, 0]


def wait_for(job: Job, file: str) -> None:
    """Wait until a running job has written a file."""
    end = time.monotonic() + PATIENCE_S
    while not (job.path / file).exists():
        assert time.monotonic() < end, job.log() + job.log(err=True)
        assert not job.status.is_finished, job.log() + job.log(err=True)
        time.sleep(0.01)


def kill(job: Job) -> None:
    """Kill a running job as a crash of the machine would, and wait until that is noticed."""
    known = record.read_process(job.path)
    assert known is not None
    process_table.send(process_table.family(known.pid), signal.SIGKILL)
    end = time.monotonic() + PATIENCE_S
    while process_table.family(known.pid) and time.monotonic() < end:
        time.sleep(0.02)
    job.project.refresh()


def last_results(folder: Path, root: str) -> dict[str, bytes]:
    """Return the maps and particles that a run ended with, by what follows its root."""
    found = {
        path.name.removeprefix(root): path
        for path in folder.glob(f"{root}_*")
        if path.suffix in (".mrc", ".mrcs") or path.name.endswith("_data.star")
    }
    numbers = [int(name[3:6]) for name in found if name.startswith("_it")]
    finals = [name for name in found if not name.startswith(("_it", "_ct"))]
    is_over = any(name.endswith("data.star") for name in finals)
    begins = "" if is_over else f"_it{max(numbers):03d}"
    chosen = finals if is_over else [name for name in found if name.startswith(begins)]
    assert chosen
    return {name: found[name].read_bytes() for name in sorted(chosen)}


def modified(folder: Path) -> dict[str, tuple[int, int]]:
    """Return when every file of iterations was written, and its size."""
    return {
        path.name: (os.stat(path).st_mtime_ns, os.stat(path).st_size)
        for path in folder.glob("run_*")
        if path.is_file()
    }


def history(folder: Path) -> list[dict[str, object]]:
    """Return what a job kept of its iterations."""
    found: list[dict[str, object]] = json.loads((folder / "history.json").read_text())
    return found
