"""How far a project came from what was simulated: motion, defocus, picks, map, as one JSON object.

``python -m vitreous.programs.simulation_truth --truth FOLDER [--motion JOB] [--ctf STAR]
[--picks STAR] [--map MRC --mask MRC]`` reads what ``vitreous simulate movies`` wrote beside its
movies. The demonstration ends with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from vitreous.dataset.motion_star import MovieMotion, read_motion
from vitreous.engine import resolution
from vitreous.engine.motion import local
from vitreous.errors import InputError
from vitreous.io import Table, read_star, read_volume
from vitreous.io.coordinates import read_coordinates
from vitreous.programs.tool import report
from vitreous.testing.simulate.density import density_map
from vitreous.testing.simulate.specimens import Inputs, read_states
from vitreous.testing.truth import Truth, crossing, laid_on

Array = npt.NDArray[np.float64]
Found = dict[str, object]


def main(argv: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--truth", type=Path, required=True, help="truth folder of the simulated movies")
    add("--motion", type=Path, help="folder of a MotionCorr job")
    add("--ctf", type=Path, help="micrographs_ctf.star of a CtfFind job")
    add("--picks", type=Path, help="autopick.star of an AutoPick job")
    add("--hit", type=float, default=50.0, metavar="A", help="a pick so near is right")
    add("--edge", type=float, default=100.0, metavar="A", help="nothing so near to an edge counts")
    add("--map", type=Path, help="the refined map")
    add("--mask", type=Path, help="mask around it")
    add("--diameter", type=float, default=200.0, metavar="A", help="sphere that holds the map")
    add("--sym", default="D2", help="point group of the map")
    arguments = parser.parse_args(argv)
    return report("simulation-truth", lambda: run(arguments))


def run(arguments: argparse.Namespace) -> Iterator[str]:
    """Measure what is there, and yield it as JSON."""
    if not (arguments.truth / "simulation.json").is_file():
        raise InputError(f"{arguments.truth}: holds no simulation.json; give a truth folder.")
    found: Found = {}
    if arguments.motion:
        found |= motion_error(arguments.motion, arguments.truth)
    if arguments.ctf:
        found |= defocus_error(arguments.ctf, arguments.truth)
    if arguments.picks:
        found |= picking(arguments.picks, arguments.truth, arguments.hit, arguments.edge)
    if arguments.map:
        found |= map_likeness(arguments.map, arguments.mask, arguments.diameter, arguments.sym)
    yield json.dumps(found)


def motion_error(job: Path, truth: Path) -> Found:
    """Return the deviation of the measured from the true motion over fields and frames, in Å."""
    squares = []
    for path in sorted(truth.glob("*_motion.star")):
        stem = path.name.removesuffix("_motion.star")
        (measured,) = job.rglob(f"{stem}.star")
        true, own = read_motion(path), read_motion(measured)
        difference = motion_difference_px(own, true, 11)
        pixel_size_A = _movie_pixel_size_A(truth)
        squares.append(np.square(difference * pixel_size_A).mean())
    return {"motion_error_A": round(float(np.sqrt(np.mean(squares))), 3)}


def _movie_pixel_size_A(truth: Path) -> float:
    recorded = json.loads((truth / "simulation.json").read_text())
    return float(recorded["wanted"]["view"]["pixel_size_A"])


def motion_difference_px(found: MovieMotion, true: MovieMotion, n_places: int) -> Array:
    """Return how far a measured motion is from the true one, ``p f 2`` in pixels of the movie.

    Parameters
    ----------
    found, true
        Motions of one movie; a shift of all frames together does not count, since where their sum
        lies is free.
    n_places
        Places along each side of the field.
    """
    difference = _over_field(found, n_places) - _over_field(true, n_places)
    return np.asarray(difference - difference.mean(1, keepdims=True))


def _over_field(motion: MovieMotion, n_places: int) -> Array:
    height, width = motion.shape
    x, y = np.meshgrid(np.linspace(0, width, n_places), np.linspace(0, height, n_places))
    place = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    frames = torch.arange(len(motion.shift_px), dtype=torch.float64)
    coefficients = motion.coefficients_px
    model = torch.from_numpy(np.zeros((2, 18)) if coefficients is None else coefficients)
    shift = local.shifts_at(model, place, frames, motion.shape).numpy()
    return np.asarray(motion.shift_px[None] + shift)


def defocus_error(ctf: Path, truth: Path) -> Found:
    """Return the errors of the mean defocus, in Å; micrographs are told by the name of the file."""
    own = _defocus_A(read_star(ctf)["micrographs"])
    true = _defocus_A(read_star(truth / "micrographs_ctf.star")["micrographs"])
    errors = np.abs([own[name] - true[name] for name in own])
    return {
        "defocus_error_A": round(float(errors.mean()), 1),
        "largest_defocus_error_A": round(float(errors.max()), 1),
    }


def _defocus_A(table: Table) -> dict[str, float]:
    names = [Path(str(name)).stem for name in table["rlnMicrographName"].tolist()]
    u, v = (np.asarray(table[f"rlnDefocus{axis}"], np.float64) for axis in "UV")
    return dict(zip(names, ((u + v) / 2).tolist(), strict=True))


def picking(picks: Path, truth: Path, hit_A: float, edge_A: float) -> Found:
    """Return recall and precision of picks, away from the edges, one pick for one particle."""
    recorded = json.loads((truth / "simulation.json").read_text())["wanted"]["view"]
    pixel_size_A, shape = float(recorded["pixel_size_A"]), recorded["shape"]
    wanted = {
        Path(name).stem: table for name, table in read_coordinates(truth / "coordinates.star")
    }
    found = {Path(name).stem: table for name, table in read_coordinates(picks)}
    hits = n_picked = n_true = 0
    for name, table in wanted.items():
        true = _inside(table, shape, edge_A / pixel_size_A)
        own = _inside(found[name], shape, edge_A / pixel_size_A) if name in found else true[:0]
        hits += _hits(own, true, hit_A / pixel_size_A)
        n_true, n_picked = n_true + len(true), n_picked + len(own)
    return {
        "particles": n_true,
        "picks": n_picked,
        "recall": round(hits / max(1, n_true), 4),
        "precision": round(hits / max(1, n_picked), 4),
    }


def _inside(table: Table, shape: Sequence[int], edge_px: float) -> Array:
    """Return the places, x then y, that lie inside a margin."""
    places = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1).astype(np.float64)
    most = np.array([shape[1], shape[0]]) - edge_px
    return np.asarray(places[((places >= edge_px) & (places < most)).all(1)])


def _hits(picks: Array, true: Array, near_px: float) -> int:
    if not len(picks) or not len(true):
        return 0
    near = cdist(picks, true) <= near_px
    rows, columns = linear_sum_assignment(~near)
    return int(near[rows, columns].sum())


def map_likeness(path: Path, mask: Path | None, diameter_A: float, point_group: str) -> Found:
    """Return the FSC of a map with the molecule that was simulated, laid on it, of either hand."""
    refined = read_volume(path)
    volume = torch.from_numpy(refined.data)
    if mask is not None:
        volume = volume * torch.from_numpy(read_volume(mask).data)
    box, pixel_size_A = volume.shape[-1], refined.pixel_size_A
    states, _ = read_states(Inputs(), 300.0, needs_units=False)
    molecule = torch.from_numpy(density_map(states[0].scatterers, box, pixel_size_A))
    truth = Truth(molecule, pixel_size_A, diameter_A, point_group)
    fitted = laid_on(volume, truth, max(12.0, 3 * pixel_size_A), from_anywhere=True)
    curve = resolution.fsc(molecule * truth.sphere, fitted * truth.sphere, 3).numpy()
    shell = crossing(curve, 0.5)
    return {
        "resolution_against_truth_A": round(box * pixel_size_A / max(shell, 1e-6), 2),
        "fsc_with_truth": [round(float(value), 4) for value in curve],
        "shell_per_A": 1 / (box * pixel_size_A),
    }


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
