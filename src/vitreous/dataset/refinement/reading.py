"""All files of an iteration, read whichever program wrote them: RELION 3.1 to 5, or this one."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from vitreous.dataset.particles import Particles, read_particles
from vitreous.dataset.refinement.completing import completed
from vitreous.dataset.refinement.data_star import ScaleGroups, assignments_of, named_groups
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.model_star import GENERAL, GROUPS, files_of, model_from
from vitreous.dataset.refinement.optimiser_star import Optimiser, read_optimiser
from vitreous.dataset.refinement.sampling_star import sampling_from
from vitreous.dataset.refinement.state_file import Kept, read_state
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, State
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import Star, parse_ref, read_star
from vitreous.project.pipeline import Form


@dataclass(frozen=True)
class Iteration:
    """What the files of an iteration say.

    Parameters
    ----------
    settings, state, particles, machine
        What was asked for; what is known; rows as they were written; how it used the machine.
    root
        What the names of its files begin with.
    notices
        What the user should know: files that were changed, parts that begin anew.
    exact
        Whether every digit was found, so that the run goes on as if it had not been stopped.
    form
        That of the files.
    """

    settings: Settings
    state: State
    particles: Particles
    machine: Machine
    root: str
    notices: tuple[str, ...] = ()
    exact: bool = False
    form: Form = "5.0"


def read_iteration(optimiser: Path | str, folder: Path | str = ".") -> Iteration:
    """Read an iteration of RELION 3.1 to 5 or of ours, to go on from it.

    Parameters
    ----------
    optimiser
        The ``_optimiser.star`` file, from `folder`.
    folder
        The project folder, which all names in the files are relative to.

    Raises
    ------
    MissingFileError
        The file, or one that it names, is not there.
    FormatError
        A file is damaged, or of a refinement that cannot go on here.
    """
    folder = Path(folder)
    source = Path(os.path.relpath(folder / optimiser, folder)).as_posix()
    found = read_optimiser(_star(folder, source, ""), source)
    named = {name: _star(folder, name, source) for name in (*found.models, found.sampling)}
    if not (folder / found.data).is_file():
        raise MissingFileError(_lost(found.data, source))
    particles = read_particles(folder / found.data, folder)
    notices: list[str] = []
    groups = _groups(particles, named[found.models[0]], found.models[0])
    models = _models(found, named, particles, groups, folder, notices)
    general = named[found.models[0]][GENERAL]
    widths = [
        float(general.value(f"rlnSigmaPrior{angle}Angle", 0.0)) for angle in ("Rot", "Tilt", "Psi")
    ]
    sampling = sampling_from(
        named[found.sampling],
        found.settings.searching.oversampling,
        (widths[0], widths[1], widths[2]),
    )
    settings = completed(found, general, sampling, models[0], len(models[0].references))
    state = State(
        replace(
            found.schedule,
            current_size_px=models[0].current_size_px,
            resolution_per_A=models[0].resolution_per_A,
            mean_pmax=models[0].mean_pmax,
            tau_fudge=models[0].tau_fudge,
        ),
        sampling,
        models,
        assignments_of(
            particles,
            groups=groups,
            n_classes=settings.n_classes,
            split_halves=settings.split_halves,
            seed=settings.seed,
        ),
    )
    files = [source, *found.models, found.data, found.sampling]
    files += [parse_ref(name).path for star in named.values() for name in _maps_of(star)]
    kept = _kept(folder, source, list(dict.fromkeys(files)), models, notices)
    if kept is not None:
        settings, state = kept.settings, kept.state
    return Iteration(
        settings,
        state,
        particles,
        found.machine,
        found.root,
        tuple(notices),
        exact=kept is not None,
        form=found.form,
    )


def _star(folder: Path, name: str, source: str) -> Star:
    try:
        return read_star(folder / name)
    except MissingFileError:
        if source:
            raise MissingFileError(_lost(name, source)) from None
        raise MissingFileError(
            f"{name}: there is no such optimiser file. Give the run_itNNN_optimiser.star of the "
            "iteration to go on from; cleaning a job keeps only the last."
        ) from None


def _lost(name: str, source: str) -> str:
    return (
        f"{source}: {name}, which it names, cannot be found. Go on from an iteration that has all "
        "its files; names are relative to the project folder."
    )


def _groups(particles: Particles, model: Star, source: str) -> ScaleGroups:
    if GENERAL not in model or GROUPS not in model:
        raise FormatError(f"{source}: there is no data_{GENERAL} and data_{GROUPS}; not a model")
    return named_groups(particles, tuple(str(name) for name in model[GROUPS]["rlnGroupName"]))


def _models(
    found: Optimiser,
    named: dict[str, Star],
    particles: Particles,
    groups: ScaleGroups,
    folder: Path,
    notices: list[str],
) -> tuple[Model, ...]:
    n_optics = len(particles.optics_table)
    return tuple(
        model_from(
            named[name],
            folder,
            name,
            groups.shares_in_optics(particles.group, n_optics),
            notices,
        )
        for name in found.models
    )


def _maps_of(star: Star) -> list[str]:
    return files_of(star) if "model_classes" in star else []


def _kept(
    folder: Path, source: str, files: list[str], models: tuple[Model, ...], notices: list[str]
) -> Kept | None:
    state_file = source.removesuffix("_optimiser.star") + "_state.npz"
    return read_state(folder / state_file, folder, files, models, notices)
