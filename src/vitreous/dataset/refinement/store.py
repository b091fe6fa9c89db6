"""Where the images of a refinement are read from, by the options of its Compute tab.

Memory, a fast disk of this computer, or their stacks; by every rank or by the first for all
(refinement.md section 16). Whatever is chosen, an image is the same to the last bit.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.particles import Particles
from vitreous.dataset.refinement.engine_data import data_of
from vitreous.dataset.refinement.in_memory import preread, preread_bytes
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.read_ahead import ReadAhead
from vitreous.dataset.refinement.scratch import on_scratch
from vitreous.distributed.memory import available_bytes
from vitreous.distributed.one_reader import one_reads_for_all
from vitreous.distributed.shared_memory import shared_floats
from vitreous.distributed.team import Team
from vitreous.engine.refinement.data import Data
from vitreous.jobs.context import Run

_GIB = 2**30


@dataclass(frozen=True)
class Images:
    """The images of a refinement.

    Parameters
    ----------
    data
        All particles.
    ahead
        Reads what comes next; None where there is nothing to wait for.
    """

    data: Data
    ahead: ReadAhead | None = None

    def plan(self, rows: NDArray[np.int64]) -> None:
        """Tell which images will be worked on next, in this order within each optics group."""
        if self.ahead is not None:
            self.ahead.plan(rows)


def open_images(
    until: ExitStack,
    team: Team,
    run: Run,
    particles: Particles | None = None,
    machine: Machine | None = None,
) -> Images:
    """Open the images of a refinement; all ranks call this.

    Parameters
    ----------
    until
        What is open ends with it; a copy on a scratch disk is removed if it ends in order.
    team
        All ranks.
    run
        The job.
    particles, machine
        Of the first rank; others need not know them.

    Raises
    ------
    EnvironmentMissing
        Memory or the scratch disk cannot be used, with the figures.
    InputError
        The scratch folder holds what is no copy of particles.
    """
    given = team.share((particles, machine, secrets.token_hex(8)))
    known, how, token = _all_given(given)
    data = _from_disk(until, run, known, how, f"{run.folder} {token}")
    if not how.parallel_reads:
        data = replace(data, read=until.enter_context(one_reads_for_all(team, data.read)))
    if how.preread:
        return Images(_in_memory(team, run, data))
    ahead = ReadAhead(data, how.n_pooled * max(1, run.n_threads))
    until.callback(ahead.close)
    return Images(replace(data, read=ahead.read), ahead)


def _all_given(
    given: tuple[Particles | None, Machine | None, str],
) -> tuple[Particles, Machine, str]:
    particles, machine, token = given
    if particles is None or machine is None:
        message = "the first rank opens the images of its particles"
        raise TypeError(message)
    return particles, machine, token


def _from_disk(
    until: ExitStack, run: Run, particles: Particles, machine: Machine, session: str
) -> Data:
    """Return the images on their disk, or on a faster one as far as they fit there."""
    if not machine.scratch_folder or machine.preread:
        return data_of(particles)
    with run.phase("Copying particles to the scratch disk", len(particles), "particles") as meter:

        def copied(n: int) -> None:
            run.check_abort()
            meter.advance(n)

        place = on_scratch(particles, machine, session=session, each=copied)
        copy = until.enter_context(place)
    rest = len(particles) - copy.n_copied
    run.say(
        f"Particles on the scratch disk {machine.scratch_folder}: {copy.n_copied:,}"
        + (", copied earlier" if copy.was_there else "")
        + (f"; {rest:,} did not fit and are read from where they were" if rest else "")
    )
    return data_of(copy.particles)


def _in_memory(team: Team, run: Run, data: Data) -> Data:
    """Return the images in memory, once on each computer; its ranks read a part each."""
    needed, free = preread_bytes(data), available_bytes()
    boxes = " and ".join(str(box) for box in sorted({int(b) for b in data.optics.box_px.tolist()}))
    run.say(
        f"Images in memory: {len(data):,} x {boxes}² x 4 bytes = {needed / _GIB:.3g} GiB on each "
        f"computer; {free / _GIB:.3g} GiB are free"
    )
    here = team.on_this_computer
    part = (here.index(team.rank), len(here))
    with run.phase("Reading particles into memory", len(data), "particles") as meter:

        def read(n: int) -> None:
            run.check_abort()
            meter.advance(n)
            team.look()

        kept = preread(
            data,
            each=read,
            n_threads=run.n_threads,
            memory=(lambda n: shared_floats(team, n)) if team.n_ranks > 1 else torch.empty,
            part=part,
        )
        team.wait_for_all()
    return kept
