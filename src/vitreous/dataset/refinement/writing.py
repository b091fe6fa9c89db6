"""All files of an iteration, written so that RELION goes on from them.

The optimiser file is written last and taken away first, so that where it stands, everything that
it names is whole and belongs together (refinement.md section 14).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement.angular_distribution import bild
from vitreous.dataset.refinement.data_star import ScaleGroups, with_assignments
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.model_star import Occasion, model_tables
from vitreous.dataset.refinement.names import Names, first_root
from vitreous.dataset.refinement.optimiser_star import optimiser_star
from vitreous.dataset.refinement.references import write_references
from vitreous.dataset.refinement.sampling_star import directions_of, sampling_tables
from vitreous.dataset.refinement.state_file import digest, digest_of, write_state
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State
from vitreous.io import Table, format_star, write_star, write_volume
from vitreous.io.atomic import write_bytes, write_text
from vitreous.project.pipeline import Form


def write_iteration(
    root: str,
    state: State,
    settings: Settings,
    particles: Particles,
    *,
    folder: Path | str = ".",
    form: Form = "5.0",
    machine: Machine | None = None,
    unmasked: Float[Tensor, "k y x"] | None = None,
) -> list[str]:
    """Write every file of an iteration.

    Parameters
    ----------
    root
        What names begin with, from the project folder: ``Class2D/job007/run``.
    state, settings
        After the iteration. With two models halves are refined apart.
    particles
        In the order of ``state.assignments``; columns that mean nothing here are kept.
    folder
        The project folder.
    form
        Form of the project, which decides which RELION goes on from the files.
    machine
        Written with the command, for information.
    unmasked
        Class averages before they were masked.

    Returns
    -------
    list of str
        The files, the optimiser file last.
    """
    model = state.models[0]
    names = Names(root, state.schedule.iteration, model.ndim, len(state.models))
    writer = _Writer(names, settings, state, particles, Path(folder), form, machine or Machine())
    if unmasked is not None:
        write_volume(writer.folder / names.unmasked, _array(unmasked), model.pixel_size_A)
        writer.unbound.append(names.unmasked)
    return writer.write()


def write_final(
    root: str,
    state: State,
    settings: Settings,
    particles: Particles,
    *,
    unfiltered: tuple[Float[Tensor, "z y x"], ...] = (),
    folder: Path | str = ".",
    form: Form = "5.0",
    machine: Machine | None = None,
) -> list[str]:
    """Write what an auto-refinement ends with: one map of all particles, and two half-maps.

    Parameters
    ----------
    state
        Its one model is of all data.
    unfiltered
        The half-maps without regularisation.
    root, settings, particles, folder, form, machine
        As for `write_iteration`.
    """
    joined = state.models[0]
    names = Names(root, None, joined.ndim)
    finished = replace(state, schedule=replace(state.schedule, converged=True))
    writer = _Writer(names, settings, finished, particles, Path(folder), form, machine or Machine())
    for half, map_ in enumerate(unfiltered):
        writer.unbound.append(names.unfiltered(half))
        write_volume(writer.folder / writer.unbound[-1], _array(map_), joined.pixel_size_A)
    return writer.write()


class _Writer:
    """One iteration on its way to the disk."""

    def __init__(
        self,
        names: Names,
        settings: Settings,
        state: State,
        particles: Particles,
        folder: Path,
        form: Form,
        machine: Machine,
    ) -> None:
        self.names, self.settings, self.state = names, settings, state
        self.particles, self.folder, self.form, self.machine = particles, folder, form, machine
        self.version = 50001 if form == "5.0" else 30001
        self.bound: list[str] = []  # files that the state file is bound to
        self.unbound: list[str] = []

    def write(self) -> list[str]:
        names = self.names
        (self.folder / names.optimiser).unlink(missing_ok=True)
        self._tidy()
        for half, model in enumerate(self.state.models):
            self.bound += write_references(names, half, model, self.folder)
            self._star(names.model(half), model_tables(model, self._occasion(half)))
            if model.ndim == 3:
                self._bilds(half, model)
        self._star(names.data, self._data())
        helical_step_A = self.settings.helix.shift_step_A
        ndim = self.state.models[0].ndim
        self._star(names.sampling, sampling_tables(self.state.sampling, ndim, helical_step_A))
        optimiser = optimiser_star(
            names, self.settings, self.state.schedule, self.machine, self.form
        )
        content = format_star(optimiser).encode()
        digests = {name: digest(self.folder / name) for name in self.bound}
        digests[names.optimiser] = digest_of(content)
        write_state(self.folder / names.state, self.state, self.settings, digests)
        write_bytes(self.folder / names.optimiser, content)
        return [*self.unbound, *self.bound, names.state, names.optimiser]

    def _tidy(self) -> None:
        """Remove what a run that was killed had half written."""
        root = self.folder / self.names.root
        for path in root.parent.glob(f".{first_root(root.name)}_*.tmp"):
            path.unlink(missing_ok=True)

    def _star(self, name: str, tables: list[Table]) -> None:
        write_star(self.folder / name, tables, version=self.version)
        self.bound.append(name)

    def _data(self) -> list[Table]:
        split = self.settings.split_halves
        written = with_assignments(self.particles, self.state.assignments, split_halves=split)
        return [written.optics_table, replace(written.table, name="particles")]

    def _occasion(self, half: int) -> Occasion:
        assignments = self.state.assignments
        groups = ScaleGroups(self.state.models[half].group_names, assignments.scale_group)
        shares = groups.optics_shares(assignments.optics_group, len(self.particles.optics_table))
        return Occasion(
            self.names, half, self.settings, self.state.sampling, shares, self.form == "3.1"
        )

    def _bilds(self, half: int, model: Model) -> None:
        sampling = self.state.sampling
        directions = directions_of(sampling)
        if directions.shape[0] != model.direction_weight.shape[1]:
            return
        step_deg = 60.0 / 2**sampling.healpix_order
        for class_, weights in enumerate(model.direction_weight):
            name = self.names.bild(half, class_)
            box_A = model.box_px * model.pixel_size_A
            write_text(self.folder / name, bild(directions, weights.cpu(), box_A, step_deg))
            self.unbound.append(name)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().to("cpu", torch.float32).numpy()
    return array
