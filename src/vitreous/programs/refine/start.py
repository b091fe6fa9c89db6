"""What a refinement begins with: particles and references, or the files of an earlier one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from vitreous.dataset.particles import Particles, read_particles
from vitreous.dataset.refinement import (
    Machine,
    assignments_of,
    check_continued,
    check_start,
    continued_settings,
    continued_state,
    read_iteration,
    reference_images,
    scale_groups,
    settings_of,
)
from vitreous.dataset.refinement.job_settings import RefineOptions
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.initial import initial_state
from vitreous.engine.refinement.initial_noise import first_noise
from vitreous.engine.refinement.initial_references import (
    FirstReferences,
    given_references,
    resized,
)
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.solvent import Masks
from vitreous.engine.refinement.state import State
from vitreous.errors import FormatError
from vitreous.io import parse_ref, read_mrc, read_star
from vitreous.jobs.context import Run
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Form

OpenImages: TypeAlias = Callable[[Particles, Machine], Data]
_HALVES = ("half1", "half2")


@dataclass(frozen=True)
class Refinement:
    """A refinement that is ready to run.

    Parameters
    ----------
    settings, machine
        What was asked for, and how it may use the machine.
    particles, data
        Rows, and the images behind them.
    state
        Where it begins.
    masks
        On the box of the references.
    root
        What the names of its files begin with, from the project folder.
    form
        Form of the project.
    seeds
        All classes begin with one map and part by chance.
    is_new
        Nothing was written yet.
    """

    settings: Settings
    machine: Machine
    particles: Particles
    data: Data
    state: State
    masks: Masks
    root: str
    form: Form
    seeds: bool
    is_new: bool


def begin(options: RefineOptions, run: Run, images: OpenImages) -> Refinement:
    """Check everything, and read or make what the first iteration needs.

    Parameters
    ----------
    options
        Of the job.
    run
        The job.
    images
        Opens the images of particles that were checked.
    """
    form = ProjectFolder.open(run.project).read().form
    if run.is_continue:
        return _continued(options, run, form, images)
    settings, machine = settings_of(options)
    if settings.seed < 0:
        settings = replace(settings, seed=random.SystemRandom().randrange(2**31))
        run.say(f"Random seed: {settings.seed} (--random_seed {settings.seed} repeats this run)")
    particles = read_particles(run.project / settings.particles, run.project)
    check_start(settings, particles, folder=run.project)
    data = images(particles, machine)
    groups = scale_groups(particles)
    assignments = assignments_of(
        particles,
        groups=groups,
        seed=settings.seed,
        split_halves=settings.split_halves,
        n_classes=settings.n_classes,
    )
    box, pixel_A = particles.box_px(), particles.pixel_size_A()
    start = FirstReferences(data, settings, box, pixel_A) if settings.from_nothing else None
    with run.phase("Measuring the noise", 0, "particles") as progress:

        def told(done: int, total: int) -> None:
            run.check_abort()
            progress.advance(0)

        noise = first_noise(
            data, assignments, settings, box, pixel_A,
            see=start.add_ if start else None, progress=told,
        )  # fmt: skip
    for sentence in noise.warnings():
        run.warn(sentence)
    seeds = False
    if start is not None:
        references = [start.references()]
        settings = replace(settings, low_pass_A=start.low_pass_A)
    else:
        references, seeds = _given(settings, run.project, box, pixel_A)
    state = initial_state(
        settings, assignments, noise, references, pixel_A, groups.names,
        tau2=_tau2(settings, run.project, box),
    )  # fmt: skip
    return Refinement(
        settings, machine, particles, data, state, masks_of(settings, run.project, box, pixel_A),
        f"{run.folder}run", form, seeds, is_new=True,
    )  # fmt: skip


def _continued(options: RefineOptions, run: Run, form: Form, images: OpenImages) -> Refinement:
    """Go on from the optimiser file that the user chose."""
    source = str(options.continue_from)
    found = read_iteration(source, run.project)
    for notice in found.notices:
        run.warn(notice)
    settings, machine = continued_settings(options, found.settings)
    state = continued_state(found.state, found.settings, settings)
    particles = found.particles
    check_continued(settings, particles, folder=run.project)
    box, pixel_A = state.models[0].box_px, state.models[0].pixel_size_A
    run.say(f"Continuing after iteration {state.schedule.iteration} of {source}")
    return Refinement(
        settings, machine, particles, images(particles, machine), state,
        masks_of(settings, run.project, box, pixel_A),
        f"{run.folder}run_ct{state.schedule.iteration}", form,
        seeds=_is_one_map(settings, run.project), is_new=False,
    )  # fmt: skip


def _is_one_map(settings: Settings, project: Path) -> bool:
    """Tell whether all classes began with one map; also where that map is there no more."""
    if settings.from_nothing or settings.n_classes == 1:
        return False
    try:
        return len(reference_images(settings.references, project)) == 1
    except OSError:
        return False


def _given(
    settings: Settings, project: Path, box_px: int, pixel_size_A: float
) -> tuple[list[Tensor], bool]:
    """Read the user's references, of a half-map both halves; tell whether one map is for all."""
    names = _half_maps(settings, project)
    sets, seeds = [], False
    for name in names:
        arrays, pixels = [], []
        for image in reference_images(name, project):
            ref = parse_ref(image)
            values, header = read_mrc(project / ref.path)
            chosen = values if ref.index0 is None else values[ref.index0]
            arrays.append(torch.from_numpy(np.array(chosen, np.float32)))
            pixels.append(header.pixel_size_A)
        seeds = len(arrays) == 1 < settings.n_classes
        sets.append(
            given_references(
                torch.stack(arrays), pixels[0], settings, box_px, pixel_size_A, name=name
            )
        )
    return sets, seeds


def _half_maps(settings: Settings, project: Path) -> list[str]:
    """Return the reference, or both half-maps where it is one of them and halves are split."""
    name = settings.references
    for ours, theirs in (_HALVES, _HALVES[::-1]):
        folder, _, file = name.rpartition("/")
        other = file.replace(ours, theirs)
        if settings.split_halves and ours in file and (project / folder / other).is_file():
            mate = f"{folder}/{other}" if folder else other
            return [name, mate] if ours == _HALVES[0] else [mate, name]
    return [name]


def masks_of(settings: Settings, project: Path, box_px: int, pixel_size_A: float) -> Masks:
    """Read the masks that the settings name."""

    def read(path: str) -> Tensor | None:
        if not path:
            return None
        values, header = read_mrc(project / path)
        mask = torch.from_numpy(np.array(values, np.float32))
        if settings.trust_reference_size and mask.shape[-1] != box_px:
            mask = resized(mask[None], header.pixel_size_A, box_px, pixel_size_A, mask.ndim)[0]
            mask = mask.clamp(0, 1)
        return mask

    solvent = settings.solvent
    masks = Masks(read(solvent.mask), read(solvent.second_mask), read(solvent.low_pass_mask))
    masks.check(box_px, settings.ndim)
    return masks


def _tau2(settings: Settings, project: Path, box_px: int) -> Tensor | None:
    """Read the spectrum of the signal that the user wants kept."""
    if not settings.tau_spectrum:
        return None
    label = "rlnReferenceTau2"
    for table in read_star(project / settings.tau_spectrum).tables:
        if label in table:
            values = torch.from_numpy(np.array(table[label], np.float64))
            out = torch.zeros(box_px // 2 + 1, dtype=torch.float64)
            out[: len(values)] = values[: len(out)]
            return out.expand(settings.n_classes, -1).clone()
    message = f"{settings.tau_spectrum}: no table has {label}, the power of the signal per shell"
    raise FormatError(message)
