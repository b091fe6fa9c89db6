"""Files of a multi-body refinement, as far as a subtraction needs them (refinement.md 13.1)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement import Iteration, read_iteration
from vitreous.engine import bodies
from vitreous.engine.geometry import euler_from_matrix
from vitreous.errors import FormatError, InputError, MissingFileError
from vitreous.io import Star, Table, read_star, read_volume, write_star

BODY_FILE = "rlnBodyStarFile"
_FEWEST = 2
_GENERAL, _NONE = "optimiser_general", ("", "None")
_MODELS = ("rlnModelStarFile", "rlnModelStarFile2")
_RELATIVE, _MASK = "rlnBodyRotateRelativeTo", "rlnBodyMaskName"
_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS = ("rlnOriginXAngst", "rlnOriginYAngst")


@dataclass(frozen=True)
class Bodies:
    """A multi-body refinement.

    Parameters
    ----------
    found
        The refinement as if its bodies were classes.
    masks
        ``z y x`` of each body.
    frames
        O of each, see `engine.bodies`.
    moves
        Of each, a table with angles and origins, one row a particle.
    """

    found: Iteration
    masks: tuple[Float[Tensor, "z y x"], ...]
    frames: tuple[Float[Tensor, "3 3"], ...]
    moves: tuple[Table, ...]

    def seen(self, body: int) -> Particles:
        """Return the particles with the poses of a body, of the class that stands for it."""
        particles = self.found.particles
        rows = np.arange(len(particles))
        whole = particles.rotations(rows).double()
        angles = np.stack([np.asarray(self.moves[body][label], float) for label in _ANGLES], 1)
        own = bodies.poses(whole, torch.from_numpy(angles), self.frames[body])
        centre_A = bodies.centre(self.masks[body]) * self.found.state.models[0].pixel_size_A
        shifts = bodies.shifts(
            _origins(particles.table), _origins(self.moves[body]), whole, own, centre_A
        )
        columns: dict[str, object] = dict(
            zip(_ANGLES, euler_from_matrix(own).T.numpy(), strict=True)
        )
        columns |= dict(zip(_ORIGINS, shifts.T.numpy(), strict=True))
        columns["rlnClassNumber"] = np.full(len(particles), body + 1, np.int64)
        return replace(particles, table=particles.table.with_columns(columns))


def body_file(optimiser: str, folder: Path) -> str:
    """Return the file of bodies that an optimiser names, empty where it has none."""
    path = folder / optimiser
    if not path.is_file():
        return ""
    star = read_star(path)
    name = str(star[_GENERAL].value(BODY_FILE, "")) if _GENERAL in star else ""
    return "" if name in _NONE else name


def read_bodies(optimiser: str, folder: Path, scratch: Path) -> Bodies:
    """Read a multi-body refinement.

    Parameters
    ----------
    optimiser
        From `folder`, the project.
    scratch
        A folder in the project where files may be made that are gone afterwards.

    Raises
    ------
    MissingFileError, FormatError, InputError
        A file is not there, or does not say what is needed; masks do not fit the maps.
    """
    name = body_file(optimiser, folder)
    listed = _listed(name, folder)
    found = _as_classes(optimiser, folder, scratch, len(listed))
    masks = tuple(_mask(str(mask), name, folder, found) for mask in listed[_MASK])
    centres = [bodies.centre(mask) for mask in masks]
    partners = _partners(listed, name)
    frames = tuple(
        bodies.frame(own, centres[partner]) for own, partner in zip(centres, partners, strict=True)
    )
    return Bodies(found, masks, frames, _moves(optimiser, folder, len(found.particles), len(masks)))


def _listed(name: str, folder: Path) -> Table:
    if not (folder / name).is_file():
        raise MissingFileError(f"{name}: the file of bodies is not there; bring it back.")
    listed = read_star(folder / name).first
    lost = [label for label in (_MASK, _RELATIVE) if label not in listed]
    if lost:
        raise FormatError(
            f"{name}: there is no {' and no '.join(lost)}. Bodies that turn about a direction or "
            "about the middle of the map are not supported; those that turn about each other are."
        )
    if len(listed) < _FEWEST:
        raise FormatError(f"{name} has {len(listed)} body; wanted two or more.")
    return listed


def _partners(listed: Table, name: str) -> list[int]:
    """Return the body that each turns about, from 0."""
    found = [int(number) - 1 for number in listed[_RELATIVE]]
    bad = [n for n, one in enumerate(found) if one == n or not 0 <= one < len(found)]
    if bad:
        raise FormatError(
            f"{name}, row {bad[0] + 1}: {_RELATIVE} is {found[bad[0]] + 1}; wanted the number of "
            f"another body, from 1 to {len(found)}."
        )
    return found


def _mask(mask: str, name: str, folder: Path, found: Iteration) -> Tensor:
    if not (folder / mask).is_file():
        raise MissingFileError(f"{mask}: this mask, which {name} names, is not there.")
    values = torch.from_numpy(np.ascontiguousarray(read_volume(folder / mask).data, np.float32))
    side = found.state.models[0].box_px
    if tuple(values.shape) != (side,) * 3:
        shape = " x ".join(str(n) for n in reversed(values.shape))
        raise InputError(
            f"{mask} has {shape} voxels, the refined maps have {side} along each side."
        )
    if not bool((values > 0).any()):
        raise InputError(f"{mask}: the mask of a body is empty.")
    return values


def _as_classes(optimiser: str, folder: Path, scratch: Path, n_bodies: int) -> Iteration:
    """Read a refinement whose bodies stand where classes do: what follows knows no bodies."""
    source = read_star(folder / optimiser)
    general = source[_GENERAL]
    names = [label for label in _MODELS if str(general.value(label, "None")) not in _NONE]
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        columns: dict[str, object] = {BODY_FILE: ["None"]}
        for label in names:
            model = str(general.value(label))
            if not (folder / model).is_file():
                raise MissingFileError(
                    f"{model}: this file, which {optimiser} names, is not there."
                )
            path = Path(made) / Path(model).name
            write_star(path, _model(read_star(folder / model), model, n_bodies))
            columns[label] = [path.relative_to(folder).as_posix()]
        changed = replace(general.with_columns(columns), is_list=True)
        path = Path(made) / Path(optimiser).name
        tables = {**dict(source.items()), _GENERAL: changed}
        write_star(path, Star(list(tables.values())))
        return read_iteration(path.relative_to(folder), folder)


def _model(star: Star, name: str, n_bodies: int) -> Star:
    """Return a model with classes for bodies."""
    if "model_bodies" not in star:
        raise FormatError(f"{name}: there is no data_model_bodies; wanted one row a body.")
    if len(star["model_bodies"]) != n_bodies:
        raise FormatError(
            f"{name}: {len(star['model_bodies'])} bodies, but the file of bodies has {n_bodies}."
        )
    count: dict[str, object] = {"rlnNrBodies": [1], "rlnNrClasses": [n_bodies]}
    tables = []
    for key, table in star.items():
        if key == "model_general":
            tables.append(replace(table.with_columns(count), is_list=True))
        elif key == "model_bodies":
            tables.append(replace(table, name="model_classes"))
        elif key.startswith("model_body_"):
            tables.append(replace(table, name=key.replace("body", "class")))
        elif not key.startswith(("model_class", "model_pdf_orient")):
            tables.append(table)
    if "model_pdf_orient_class_1" in star:
        views = star["model_pdf_orient_class_1"]
        numbers = range(1, n_bodies + 1)
        tables += [replace(views, name=f"model_pdf_orient_class_{one}") for one in numbers]
    return Star(tables)


def _moves(optimiser: str, folder: Path, n: int, n_bodies: int) -> tuple[Table, ...]:
    """Return how each body moved: row by row as the particles."""
    name = str(read_star(folder / optimiser)[_GENERAL].value("rlnExperimentalDataStarFile"))
    star = read_star(folder / name)
    found: list[Table] = []
    for body in range(1, n_bodies + 1):
        key = f"images_body_{body}"
        if key not in star:
            raise FormatError(f"{name}: there is no data_{key}, the poses of body {body}.")
        table = star[key]
        lost = [label for label in (*_ANGLES, *_ORIGINS) if label not in table]
        if lost or len(table) != n:
            what = f"no {' and no '.join(lost)}" if lost else f"{len(table)} rows for {n} particles"
            raise FormatError(f"{name}, data_{key}: there is {what}.")
        found.append(table)
    return tuple(found)


def _origins(table: Table) -> Tensor:
    columns: Sequence[np.ndarray] = [np.asarray(table[label], np.float64) for label in _ORIGINS]
    return torch.from_numpy(np.stack(columns, 1))
