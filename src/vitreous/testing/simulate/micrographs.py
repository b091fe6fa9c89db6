"""Micrographs: aligned sums, as motion correction would leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from vitreous.io import Table, write_mrc
from vitreous.testing.simulate.detector import Transfer, seen
from vitreous.testing.simulate.motion import still
from vitreous.testing.simulate.scene import Scene, View, make_scene
from vitreous.testing.simulate.tables import optics_table, pose_columns, write_record, write_tables
from vitreous.testing.simulate.workers import in_order, stream


@dataclass(frozen=True)
class MicrographSet:
    """What is to be made.

    Parameters
    ----------
    n
        Number of micrographs.
    view
        Optics, particles, ice, size.
    dose_e_per_A2
        Electrons counted; 0 for what would be expected, without any noise of counting.
    transfer
        Sharpness of the detector.
    mtf
        STAR file of the MTF, named in the list; may be empty.
    seed
        Of everything.
    """

    n: int
    view: View
    dose_e_per_A2: float = 50.0
    transfer: Transfer = field(default_factory=Transfer)
    mtf: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Made:
    """One exposure that was written: its name, its optics group from 0, and its truth."""

    name: str
    group: int
    scene: Scene


def write_micrographs(wanted: MicrographSet, folder: Path, n_workers: int = 1) -> list[Made]:
    """Make the micrographs and write them with their lists and the truth."""
    (folder / "Micrographs").mkdir(parents=True, exist_ok=True)
    (folder / "truth").mkdir(exist_ok=True)
    work = partial(_make, wanted, folder)
    made = list(in_order(work, range(wanted.n), n_workers))
    imaging = wanted.view.imaging
    optics = optics_table(imaging, wanted.view.pixel_size_A, mtf=wanted.mtf)
    columns = {
        "rlnMicrographName": [one.name for one in made],
        "rlnOpticsGroup": [one.group + 1 for one in made],
    }
    write_truth_lists(folder, made, wanted.view)
    write_tables(folder / "micrographs.star", [optics, Table.from_columns("micrographs", columns)])
    light = replace(wanted, view=replace(wanted.view, states=()))
    record = asdict(light) | {"view": view_record(wanted.view)}
    write_record(folder / "truth" / "simulation.json", {"wanted": record})
    return made


def write_truth_lists(folder: Path, made: Sequence[Made], view: View) -> None:
    """Write what is true of all exposures: defocus, coordinates, and every particle."""
    truth, imaging = folder / "truth", view.imaging
    optics = optics_table(imaging, view.pixel_size_A)
    ctf = {
        "rlnMicrographName": [one.name for one in made],
        "rlnOpticsGroup": [one.group + 1 for one in made],
        "rlnDefocusU": [one.scene.defocus_A[0] for one in made],
        "rlnDefocusV": [one.scene.defocus_A[1] for one in made],
        "rlnDefocusAngle": [one.scene.defocus_A[2] for one in made],
        "rlnCtfAstigmatism": [one.scene.defocus_A[0] - one.scene.defocus_A[1] for one in made],
    }
    if any(optics_group.phase_shift_deg for optics_group in imaging.optics_groups):
        ctf["rlnPhaseShift"] = [imaging.optics_groups[m.group].phase_shift_deg for m in made]
    write_tables(truth / "micrographs_ctf.star", [optics, Table.from_columns("micrographs", ctf)])
    listed = {
        "rlnMicrographName": [one.name for one in made],
        "rlnMicrographCoordinates": [str(_coordinates_file(folder, one.name)) for one in made],
    }
    write_tables(truth / "coordinates.star", [Table.from_columns("coordinate_files", listed)])
    tables = [_particle_table(one) for one in made]
    write_tables(truth / "particles.star", [optics, Table.concat(tables)])
    for one, table in zip(made, tables, strict=True):
        labels = ("rlnCoordinateX", "rlnCoordinateY", "rlnClassNumber", "rlnAnglePsi")
        picks = Table.from_columns("", {label: table[label] for label in labels})
        write_tables(_coordinates_file(folder, one.name), [picks])


def view_record(view: View) -> dict[str, object]:
    """Return what a view was made with, without the atoms."""
    record = {name: getattr(view, name) for name in ("shape", "pixel_size_A")}
    for name in ("imaging", "crowd", "surroundings"):
        record[name] = asdict(getattr(view, name))
    record["states"] = [{"name": state.name, "share": state.share} for state in view.states]
    return record


def _coordinates_file(folder: Path, name: str) -> Path:
    return folder / "truth" / f"{Path(name).stem}_coordinates.star"


def _particle_table(made: Made) -> Table:
    scene = made.scene
    n = len(scene.poses)
    group = np.full(n, made.group, np.int64)
    columns = {
        "rlnMicrographName": [made.name] * n,
        "rlnCoordinateX": scene.coordinates_px[:, 0].astype(float),
        "rlnCoordinateY": scene.coordinates_px[:, 1].astype(float),
        # In pixels, as the other coordinates; towards the source of the electrons.
        "rlnCoordinateZ": scene.poses.height_A / scene.view.pixel_size_A,
        **pose_columns(scene.poses, scene.view.imaging, group),
    }
    return Table.from_columns("particles", columns)


def _make(wanted: MicrographSet, folder: Path, index: int) -> Made:
    """Make and write one micrograph with its clean image."""
    stem = f"mic{index + 1:05d}"
    rng = stream(wanted.seed, f"micrograph/{stem}")
    group = index % len(wanted.view.imaging.optics_groups)
    scene = make_scene(wanted.view, group, rng)
    image = expose(scene, wanted, rng)
    name = folder / "Micrographs" / f"{stem}.mrc"
    pixel_size_A = wanted.view.pixel_size_A
    write_mrc(folder / "truth" / f"{stem}_clean.mrc", scene.clean(), pixel_size_A)
    write_mrc(name, image, pixel_size_A)
    return Made(str(name), group, without_waves(scene))


def expose(
    scene: Scene, wanted: MicrographSet, rng: np.random.Generator
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return the image of a scene, dark particles, in electrons (or relative to 1 without dose)."""
    view = wanted.view
    motion = still(1, len(scene.poses), view.shape)
    contrast, transmission = next(scene.contrast(motion, np.array([wanted.dose_e_per_A2]), rng))
    image = transmission * (1 - contrast)
    if wanted.dose_e_per_A2 <= 0:
        return seen(image, wanted.transfer)
    counts = wanted.dose_e_per_A2 * view.pixel_size_A**2
    return rng.poisson(np.clip(seen(image * counts, wanted.transfer), 0, None)).astype(np.float32)


def without_waves(scene: Scene) -> Scene:
    """Return a scene without its images, light enough to be kept for every exposure."""
    return replace(
        scene,
        waves=scene.waves[:0],
        background=replace(scene.background, transmission=np.zeros((0, 0), np.float32), grain=None),
        view=replace(scene.view, states=()),
    )
