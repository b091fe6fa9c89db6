"""The expectation step of all ranks (refinement.md section 15.11).

The first rank decides what an iteration is, hands it out, works on a share of its own, receives
the sums of all and the new assignments, and goes on alone to the maximisation. The others wait
for what is handed out; so there is nothing that ranks could decide differently.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.refinement import Images, Machine
from vitreous.distributed import devices, shares
from vitreous.distributed.memory import available_bytes
from vitreous.distributed.sums import add_up
from vitreous.distributed.team import Team
from vitreous.engine.refinement.expectation import Watch, empty_sums, expectation
from vitreous.engine.refinement.references import References
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Assignments, State
from vitreous.engine.refinement.statistics import Sums
from vitreous.programs.refine import memory

Rows = NDArray[np.int64]
NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True)
class Task:
    """An expectation step as it is handed out.

    Parameters
    ----------
    settings, state
        As `expectation` takes them.
    rows
        Of each half, or of all particles.
    seeding
        References are one map, and classes are to part by chance.
    through_disk
        Sums are added through files.
    gpu_ids
        Graphics cards of all ranks (`distributed.devices`); None to compute on the processor.
    """

    settings: Settings
    state: State
    rows: tuple[Rows, ...]
    seeding: bool
    through_disk: bool
    gpu_ids: str | None = None
    free_gpu_memory_MiB: float = 0.0


@dataclass(frozen=True)
class Found:
    """What one rank tells of its particles: new assignments, and which images are not finite."""

    rows: Rows
    assignments: Assignments
    bad: tuple[Rows, ...]


class Crew:
    """All ranks of a refinement.

    Parameters
    ----------
    team
        Their connection.
    images
        What they work on.
    machine
        How sums are added and where they are made; the first rank knows.
    """

    def __init__(self, team: Team, images: Images, machine: Machine | None = None) -> None:
        self.team, self.images, self._machine = team, images, machine or Machine()
        self._done = (0, 0)  # particles in all steps so far: of this rank, of all
        self._chunk_bytes = 0
        self._device: torch.device | None = None

    def halves(self, n_halves: int) -> list[int]:
        """Return the halves that this rank works for."""
        found = shares.workers(self.team.n_ranks, n_halves)
        return [half for half, ranks in enumerate(found) if self.team.rank in ranks]

    def expectation(
        self,
        settings: Settings,
        state: State,
        rows: tuple[Rows, ...],
        *,
        seeding: bool,
        prepared: dict[int, References],
        watch: Watch,
    ) -> tuple[tuple[Sums, ...], Assignments]:
        """Run the expectation step over all ranks; the first calls it.

        Parameters
        ----------
        settings, state
            As `engine.refinement.expectation.expectation` takes them.
        rows
            Of each half, or of all particles.
        seeding
            References are one map, and classes are to part by chance.
        prepared
            The references of halves that this rank works for, where they are there already.
        watch
            `done` is told of the particles of all ranks.

        Returns
        -------
        tuple
            The sums of each half, and the assignments of all particles.
        """
        light = replace(state, models=tuple(replace(one, moments=()) for one in state.models))
        machine = self._machine
        task = Task(
            settings, light, rows, seeding, machine.combine_through_disk,
            machine.gpu_ids if machine.use_gpu else None, machine.free_gpu_memory_MiB,
        )  # fmt: skip
        self.team.share(task)
        sums, found = self._do(task, prepared, watch)
        assignments = _some(state.assignments, np.arange(len(state.assignments)))
        for one in found:
            for f in fields(Assignments):
                getattr(assignments, f.name)[one.rows] = getattr(one.assignments, f.name)
            for bad in one.bad:
                watch.bad(bad)
        return tuple(one for one in sums if one is not None), assignments

    def follow(self, check_abort: Callable[[], None]) -> None:
        """Do what the first rank hands out, until there is nothing more; all others call it."""
        while True:
            task: Task | None = self.team.share()
            if task is None:
                return
            self._do(task, {}, Watch(done=lambda _: check_abort(), phase=lambda _: check_abort()))

    def dismiss(self) -> None:
        """Let the others go; the first rank calls it at the end."""
        self.team.share(None)

    def _do(
        self, task: Task, prepared: dict[int, References], watch: Watch
    ) -> tuple[list[Sums | None], list[Found]]:
        """Work on the share of this rank; on the first rank return what all have found."""
        team = self.team
        dealt = shares.deal(task.rows, team.n_ranks)
        for half in dealt:
            team.prepare([0, *half])
        mine = [half.get(team.rank, NOTHING) for half in dealt]
        progress = _Progress(team, watch, self._done, sum(map(len, task.rows)))
        self._done = (self._done[0] + sum(map(len, mine)), self._done[1] + progress.total)
        with progress:
            sums, assignments = self._shares(task, mine, prepared, progress.watch())
            folder = team.signs.folder if task.through_disk and team.signs else None
            total = [
                add_up(team, one, list(half), disk=folder)
                for one, half in zip(sums, dealt, strict=True)
            ]
            rows = np.concatenate(mine)
            found = team.gather(Found(rows, _some(assignments, rows), tuple(progress.bad)))
        return total, found

    def _chunk(self, task: Task) -> int:
        """Return the memory for prepared images, by what was free at the first step."""
        device, box_px = self._where(task), task.state.models[0].box_px
        if not self._chunk_bytes and device.type != "cpu":
            free = devices.free_bytes(device) - int(task.free_gpu_memory_MiB * 2**20)
            self._chunk_bytes = memory.chunk_on_card(task.settings, box_px, free)
        if not self._chunk_bytes:
            free = available_bytes() // self.team.n_ranks
            self._chunk_bytes = memory.estimate(task.settings, box_px, free).chunk_bytes
        return self._chunk_bytes

    def _where(self, task: Task) -> torch.device:
        """Return where this rank computes."""
        if self._device is None:
            if task.gpu_ids is None:
                self._device = devices.CPU
            else:
                team = self.team
                found = devices.of_rank(task.gpu_ids, team.rank, team.n_ranks, environ=os.environ)
                self._device = found[0]
                devices.use(self._device)
        return self._device

    def _shares(
        self, task: Task, mine: list[Rows], prepared: dict[int, References], watch: Watch
    ) -> tuple[list[Sums | None], Assignments]:
        """Work on the particles of this rank, half by half."""
        state, sums, n_halves = task.state, list[Sums | None](), len(mine)
        for half, rows in enumerate(mine):
            if len(rows):
                self.images.plan(rows)
                one, assignments = expectation(
                    self.images.data, state, task.settings, half if n_halves == 2 else None,
                    rows=rows, seeding=task.seeding, prepared=prepared.get(half), watch=watch,
                    chunk_bytes=self._chunk(task), device=self._where(task),
                )  # fmt: skip
                state = replace(state, assignments=assignments)
                sums.append(one)
            elif self.team.leads or half in self.halves(n_halves):
                sums.append(empty_sums(state.models[half], state.schedule, task.settings))
            else:
                sums.append(None)
        return sums, state.assignments


class _Progress:
    """Counts the particles of all ranks, also while this one waits for others.

    Counts run through the whole refinement, so that what a rank told last of an earlier step
    is not taken for a part of this one.
    """

    def __init__(self, team: Team, watch: Watch, before: tuple[int, int], total: int) -> None:
        self.bad: list[Rows] = []
        self.total = total
        self._team, self._watch = team, watch
        self._mine, self._all_before = before
        self._told = 0
        self._on_wait = team.on_wait

    def __enter__(self) -> None:
        self._team.on_wait = self._tell

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._team.on_wait = self._on_wait
        if kind is None and self._team.leads:
            self._watch.done(self.total - self._told)

    def watch(self) -> Watch:
        """Return what the expectation step of this rank tells."""
        return Watch(self._done, self._phase, self.bad.append)

    def _done(self, n: int) -> None:
        self._mine += n
        if self._team.signs is not None:
            self._team.signs.is_at(self._mine)
        self._tell()
        self._team.look()

    def _phase(self, name: str) -> None:
        self._watch.phase(name)
        self._team.look()

    def _tell(self) -> None:
        signs = self._team.signs
        done = self._mine if signs is None or not self._team.leads else signs.total_done()
        told = min(self.total, max(self._told, done - self._all_before))
        self._watch.done(told - self._told)
        self._told = told


def _some(assignments: Assignments, rows: Rows) -> Assignments:
    return Assignments(*(getattr(assignments, f.name)[rows] for f in fields(Assignments)))
