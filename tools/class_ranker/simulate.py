"""One data set of a molecule: micrographs, picks true and false, extraction, 2D classification.

Everything after the micrographs runs through the package's own pipeline, as a user's would.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import gemmi
import numpy as np
from scipy.spatial import cKDTree
from tools.class_ranker import molecules

import vitreous
from vitreous.actions.job import Job
from vitreous.io import Table, read_star, write_mrc, write_star
from vitreous.io.coordinates import read_coordinates
from vitreous.testing.simulate.ice import Surroundings
from vitreous.testing.simulate.images import Imaging
from vitreous.testing.simulate.layout import Crowd
from vitreous.testing.simulate.micrographs import MicrographSet, write_micrographs
from vitreous.testing.simulate.scene import View
from vitreous.testing.simulate.specimens import Inputs, State, read_states

SIDE_PX = 1024
MOST_ATOMS = 300_000
FIELDS = ("plain", "plain", "carbon", "crystals", "crowded", "empty")


@dataclass(frozen=True)
class Recipe:
    """What was drawn for a data set: the size of things, and how bad they are."""

    molecule: str
    seed: int
    diameter_A: float
    blob_A: float
    pixel_A: float
    box_px: int
    dose_e_per_A2: float
    defocus_A: tuple[float, float]
    bfactor_A2: float
    ice_A: float
    n_picks: int
    true_share: float
    fragment_share: float
    n_classes: int
    vdam: bool
    tightness: float = 1.0

    @property
    def mask_A(self) -> float:
        """Diameter of the mask of the classification."""
        widest = self.box_px * self.pixel_A * 0.9
        return min(self.tightness * (1.15 * self.diameter_A + 10), widest)


def draw(molecule: str, seed: int, model: Path) -> Recipe:
    """Draw the conditions of a data set from its name and seed."""
    rng = generator(molecule, seed, "recipe")
    diameter = molecules.diameter_A(model)
    box_A = 1.6 * diameter + 20
    box = int(np.clip(2 * round(box_A / 3.6 / 2), 48, 72))
    positions = _positions(model)
    spread = float(np.sqrt((positions**2).sum(axis=1).mean()))
    low = float(rng.uniform(7000, 12000))
    recipe = Recipe(
        molecule,
        seed,
        round(diameter, 1),
        round(float(2 * np.sqrt(5 / 3) * spread), 1),
        round(max(box_A / box, 3.4), 3),
        box,
        round(float(rng.uniform(30, 60)), 1),
        (round(low), round(low + rng.uniform(5000, 15000))),
        round(float(rng.uniform(30, 150))),
        round(float(rng.uniform(200, 600))),
        int(rng.integers(450, 750)),
        round(float(rng.uniform(0.3, 0.8)), 2),
        round(float(rng.uniform(0.0, 0.25)), 2),
        int(rng.integers(10, 17)),
        bool(rng.random() < 0.3),
    )
    return _small(recipe) if seed == molecules.SMALL_SEED else recipe


def _small(recipe: Recipe) -> Recipe:
    """Return a recipe for few particles in few classes, sampled coarsely, in a tight mask."""
    rng = generator(recipe.molecule, recipe.seed, "small")
    coarser = float(rng.uniform(1.0, 1.25))
    box = 2 * round(recipe.box_px / coarser / 2)
    return replace(
        recipe,
        pixel_A=round(recipe.pixel_A * recipe.box_px / box, 3),
        box_px=box,
        n_picks=int(rng.integers(120, 320)),
        n_classes=int(rng.integers(3, 9)),
        vdam=False,
        tightness=round(float(rng.uniform(0.82, 1.0)), 2),
    )


def make(recipe: Recipe, model: Path, folder: Path, n_threads: int = 1) -> None:
    """Make the data set in a project folder of its own, if that has not been done."""
    done = folder / "done.json"
    if done.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    micrographs, truth = _micrographs(recipe, model, folder)
    if not (folder / "default_pipeline.star").exists():
        vitreous.Project.create(folder)
    project = vitreous.Project(folder)
    picked = project.run(
        "autopick",
        micrographs="micrographs.star",
        use_log=True,
        log_min_diameter_A=0.75 * recipe.blob_A,
        log_max_diameter_A=recipe.blob_A,
        log_threshold_sigma=-0.3,
    )
    picks = _choose(recipe, folder, finished(picked).outputs["coordinates"], micrographs, truth)
    _write_picks(folder, picks)
    extracted = project.run(
        "extract",
        micrographs="micrographs.star",
        coordinates="picks.star",
        box_px=recipe.box_px,
    )
    job = project.run(
        "class2d",
        particles=finished(extracted).outputs["particles"],
        n_classes=recipe.n_classes,
        use_em=not recipe.vdam,
        use_vdam=recipe.vdam,
        n_iterations_em=20,
        n_iterations_vdam=80,
        mask_diameter_A=recipe.mask_A,
        psi_step_deg=8,
        shift_range_px=5,
        shift_step_px=2,
        n_threads=n_threads,
        other_arguments=f"--random_seed {recipe.seed + 1}",
    )
    record = asdict(recipe) | {"optimiser": str(finished(job).outputs["optimiser"])}
    done.write_text(json.dumps(record, indent=1))


def optimiser_of(folder: Path) -> str:
    """Return the optimiser file of a finished data set, from its folder."""
    return str(json.loads((folder / "done.json").read_text())["optimiser"])


def finished(job: Job) -> Job:
    """Return a job that has succeeded, or raise what it said."""
    if job.status != "Succeeded":
        message = f"{job.name} ended as {job.status}: {(job.path / 'run.err').read_text()[-400:]}"
        raise RuntimeError(message)
    return job


def generator(molecule: str, seed: int, purpose: str) -> np.random.Generator:
    """Return a stream of random numbers that belongs to a data set and a purpose."""
    return np.random.default_rng([seed, zlib.crc32(f"{molecule}/{purpose}".encode())])


def _micrographs(recipe: Recipe, model: Path, folder: Path) -> tuple[list[str], Table]:
    """Write the fields of view; return their names and all true particles."""
    listing, truth_file = folder / "micrographs.star", folder / "truth.star"
    if not listing.exists():
        states = true_states(recipe, model, folder)
        parts, truths, stars = [], [], []
        for number, kind in enumerate(FIELDS):
            where = folder / f"field{number}"
            write_micrographs(_field(recipe, kind, number, states), where)
            stars.append(read_star(where / "truth/micrographs_ctf.star"))
            parts.append(_below(stars[-1]["micrographs"], folder))
            truth = read_star(where / "truth/particles.star")
            truths += [_below(truth["particles"], folder)] if "particles" in truth else []
        write_star(truth_file, [Table("particles", dict(Table.concat(truths).columns))])
        write_star(listing, stars[0].with_table(Table.concat(parts)))
    names = read_star(listing)["micrographs"]["rlnMicrographName"].tolist()
    return names, read_star(truth_file)["particles"]


def _below(table: Table, folder: Path) -> Table:
    names = [str(Path(name).relative_to(folder)) for name in table["rlnMicrographName"].tolist()]
    return table.with_columns({"rlnMicrographName": names})


def true_states(recipe: Recipe, model: Path, folder: Path) -> tuple[State, ...]:
    """Return the molecule, and half of it where it comes in pieces too."""
    files, weights, mass = [str(model)], [1 - recipe.fragment_share], 0.0
    if len(_positions(model)) > MOST_ATOMS:
        files, weights, mass = [str(folder / "model.mrc")], [1.0], _as_map(model, folder)
    elif recipe.fragment_share > 0:
        molecules.half(model, folder / "half.cif")
        files, weights = [*files, str(folder / "half.cif")], [*weights, recipe.fragment_share]
    inputs = Inputs(tuple(files), tuple(weights), mass_kDa=mass, centre=False)
    return read_states(inputs, 300.0, needs_units=True)[0]


def _as_map(model: Path, folder: Path) -> float:
    """Write a very large molecule as a map with cells of 3 Å; return its mass in kDa."""
    structure = gemmi.read_structure(str(model))
    masses = np.array([row.atom.element.weight for row in structure[0].all()])
    positions = _positions(model)
    half = int(np.abs(positions).max() / 3) + 3
    edges = (np.arange(2 * half + 1) - half - 0.5) * 3.0
    counts, _ = np.histogramdd(positions[:, ::-1], bins=(edges,) * 3, weights=masses)
    write_mrc(folder / "model.mrc", counts.astype(np.float32), 3.0)
    return float(masses.sum() / 1000)


def _field(recipe: Recipe, kind: str, number: int, states: tuple[State, ...]) -> MicrographSet:
    overlap = 0.45 if kind == "crowded" else 0.0
    room = (SIDE_PX * recipe.pixel_A / (recipe.diameter_A * 1.15)) ** 2
    wanted = {"empty": 0, "crowded": int(min(room * 0.8, 250))}.get(
        kind, int(min(room * 0.35, 130))
    )
    surroundings = Surroundings(
        recipe.ice_A,
        carbon=0.3 if kind == "carbon" else 0.0,
        n_contaminations=3 if kind == "crystals" else 0,
    )
    view = View(
        (SIDE_PX, SIDE_PX),
        recipe.pixel_A,
        Imaging(defocus_A=recipe.defocus_A, bfactor_A2=recipe.bfactor_A2),
        Crowd(wanted, recipe.diameter_A * (1 - overlap), recipe.diameter_A / 4),
        surroundings,
        states,
    )
    seed = int(generator(recipe.molecule, recipe.seed, f"field{number}").integers(2**31))
    return MicrographSet(1, view, dose_e_per_A2=recipe.dose_e_per_A2, seed=seed)


def _choose(
    recipe: Recipe, folder: Path, coordinates: str, micrographs: list[str], truth: Table
) -> dict[str, np.ndarray]:
    """Mix picks: what a blob picker finds, particles it missed, empty places, bad centres.

    Returns
    -------
    dict of ndarray
        Centres x y in pixels of each micrograph.
    """
    rng = generator(recipe.molecule, recipe.seed, "picks")
    radius_px = 0.3 * recipe.blob_A / recipe.pixel_A
    border = recipe.box_px // 4
    good: list[tuple[str, np.ndarray]] = []
    bad: list[tuple[str, np.ndarray]] = []
    found = {name: np.empty((0, 2)) for name in micrographs}
    for name, picks in read_coordinates(folder / coordinates, folder):
        found[name] = np.stack([picks["rlnCoordinateX"], picks["rlnCoordinateY"]], axis=1)
    for name in micrographs:
        here = truth.select(truth["rlnMicrographName"] == name)
        whole = here.select(here["rlnClassNumber"] == 1)
        centres = true_centres_px(whole, recipe.pixel_A)
        near = _distance(found[name], centres) < radius_px
        good += [(name, xy) for xy in found[name][near]]
        bad += [(name, xy) for xy in found[name][~near]]
        missed = centres[_distance(centres, found[name][near]) > radius_px]
        jitter = rng.normal(0, 0.08 * recipe.blob_A / recipe.pixel_A, missed.shape)
        good += [(name, xy) for xy in missed + jitter]
        random = rng.uniform(border, SIDE_PX - border, (15, 2))
        bad += [(name, xy) for xy in random[_distance(random, centres) > radius_px]]
        if len(centres):
            angle = rng.uniform(0, 2 * np.pi, (8, 1))
            step = np.hstack([np.cos(angle), np.sin(angle)]) * 0.6 * recipe.diameter_A
            beside = centres[rng.integers(len(centres), size=8)] + step / recipe.pixel_A
            bad += [(name, xy) for xy in beside]
    n_good = min(len(good), round(recipe.n_picks * recipe.true_share))
    n_bad = min(len(bad), recipe.n_picks - n_good)
    chosen = [good[i] for i in rng.permutation(len(good))[:n_good]]
    chosen += [bad[i] for i in rng.permutation(len(bad))[:n_bad]]
    inside = [(n, xy) for n, xy in chosen if np.all((xy > 0) & (xy < SIDE_PX - 1))]
    return {
        name: np.array([xy for owner, xy in inside if owner == name]).reshape(-1, 2)
        for name in micrographs
    }


def true_centres_px(table: Table, pixel_A: float) -> np.ndarray:
    """Return where particles lie, ``(n, 2)``: coordinate minus origin."""
    return np.stack(
        [table[f"rlnCoordinate{axis}"] - table[f"rlnOrigin{axis}Angst"] / pixel_A for axis in "XY"],
        axis=1,
    )


def _write_picks(folder: Path, picks: dict[str, np.ndarray]) -> None:
    files = []
    (folder / "picks").mkdir(exist_ok=True)
    for name, centres in picks.items():
        file = f"picks/{name.replace('/', '_').removesuffix('.mrc')}.star"
        columns = {"rlnCoordinateX": centres[:, 0], "rlnCoordinateY": centres[:, 1]}
        write_star(folder / file, [Table.from_columns("", columns)], keep_empty=True)
        files.append(file)
    listed = {"rlnMicrographName": list(picks), "rlnMicrographCoordinates": files}
    write_star(folder / "picks.star", [Table.from_columns("coordinate_files", listed)])


def _distance(points: np.ndarray, to: np.ndarray) -> np.ndarray:
    if not len(to) or not len(points):
        return np.full(len(points), np.inf)
    return np.asarray(cKDTree(to).query(points)[0])


def _positions(model: Path) -> np.ndarray:
    rows = gemmi.read_structure(str(model))[0].all()
    return np.array([row.atom.pos.tolist() for row in rows])
