"""All files of an iteration, read whichever program wrote them: RELION 3.1 to 5, or this one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from vitreous.dataset.particles import Particles, read_particles
from vitreous.dataset.refinement.completing import completed
from vitreous.dataset.refinement.data_star import ScaleGroups, assignments_of, named_groups
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.model_star import CLASSES, GENERAL, GROUPS, files_of, model_from
from vitreous.dataset.refinement.optimiser_star import Optimiser, read_optimiser
from vitreous.dataset.refinement.sampling_star import directions_of, sampling_from
from vitreous.dataset.refinement.state_file import read_state
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Model, Sampling, State
from vitreous.errors import FormatError, MissingFileError
from vitreous.io import Star, Table, parse_ref, read_star
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
    optimiser_file = _star(folder, source, "")
    with _naming(source):
        found = read_optimiser(optimiser_file, source)
    named = {name: _star(folder, name, source) for name in (*found.models, found.sampling)}
    if not (folder / found.data).is_file():
        raise MissingFileError(_lost(found.data, source))
    particles = read_particles(folder / found.data, folder)
    notices: list[str] = []
    settings, state = _from_files(found, named, particles, folder, notices)
    files = [source, *found.models, found.data, found.sampling]
    files += [parse_ref(name).path for model in found.models for name in files_of(named[model])]
    state_file = folder / (source.removesuffix("_optimiser.star") + "_state.npz")
    kept = read_state(state_file, folder, list(dict.fromkeys(files)), state.models, notices)
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


def _from_files(
    found: Optimiser,
    named: Mapping[str, Star],
    particles: Particles,
    folder: Path,
    notices: list[str],
) -> tuple[Settings, State]:
    """Return what STAR files and maps say, with their precision."""
    groups = _groups(particles, named[found.models[0]], found.models[0])
    shares = groups.shares_in_optics(particles.group, len(particles.optics_table))
    models = []
    for name in found.models:
        with _naming(name):
            models.append(model_from(named[name], folder, name, shares, notices))
    first = models[0]
    general = named[found.models[0]][GENERAL]
    oversampling = found.settings.searching.oversampling
    with _naming(found.sampling):
        sampling = sampling_from(named[found.sampling], oversampling, _widths(general))
        settings = completed(found, general, sampling, first)
        models = [_fitting(model, sampling, found.sampling, notices) for model in models]
    schedule = replace(
        found.schedule,
        current_size_px=first.current_size_px,
        resolution_per_A=first.resolution_per_A,
        mean_pmax=first.mean_pmax,
        tau_fudge=first.tau_fudge,
    )
    assignments = assignments_of(
        particles,
        groups=groups,
        n_classes=settings.n_classes,
        split_halves=settings.split_halves,
        seed=settings.seed,
    )
    return settings, State(schedule, sampling, tuple(models), assignments)


def _widths(general: Table) -> tuple[float, float, float]:
    widths = [
        float(general.value(f"rlnSigmaPrior{angle}Angle", 0.0)) for angle in ("Rot", "Tilt", "Psi")
    ]
    return widths[0], widths[1], widths[2]


def _fitting(model: Model, sampling: Sampling, source: str, notices: list[str]) -> Model:
    """Return a model whose directions are those of the sampling; other ones become uniform."""
    n = 1 if model.ndim == 2 else len(directions_of(sampling))
    if model.direction_weight.shape[1] == n:
        return model
    notices.append(
        f"{source} has {n:,} directions, the model {model.direction_weight.shape[1]:,}: their "
        "weights begin uniform."
    )
    return replace(model, direction_weight=(model.class_weight / n)[:, None].expand(-1, n).clone())


@contextlib.contextmanager
def _naming(source: str) -> Iterator[None]:
    """Name the file in errors about its content."""
    try:
        yield
    except MissingFileError:
        raise
    except FormatError as error:
        text = str(error)
        raise FormatError(text if source in text else f"{source}: {text}") from None


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
    lost = [name for name in (GENERAL, CLASSES, GROUPS) if name not in model]
    if lost:
        raise FormatError(f"{source}: there is no data_{' and no data_'.join(lost)}; not a model")
    return named_groups(particles, tuple(str(name) for name in model[GROUPS]["rlnGroupName"]))
