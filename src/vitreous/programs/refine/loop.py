"""The iterations of a refinement, in the order of refinement.md section 9."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray

from vitreous.dataset.refinement import write_final, write_iteration
from vitreous.dataset.refinement.data_star import tubes_of
from vitreous.engine.refinement import (
    accuracy,
    changes,
    filaments,
    helical,
    order,
    schedule,
    updates,
)
from vitreous.engine.refinement.expectation import Watch
from vitreous.engine.refinement.improvement import reference_power
from vitreous.engine.refinement.maximisation import Known, Outcome, maximise
from vitreous.engine.refinement.references import References, references
from vitreous.engine.refinement.regulariser import Regulariser, wiener_map
from vitreous.engine.refinement.state import Assignments, State
from vitreous.engine.refinement.statistics import Sums
from vitreous.errors import InputError
from vitreous.jobs.context import Run
from vitreous.programs.refine.crew import Crew
from vitreous.programs.refine.start import Refinement


@dataclass
class Timing:
    """Seconds spent in each phase of an iteration."""

    seconds: dict[str, float] = field(default_factory=dict)
    _current: str = ""
    _since: float = field(default_factory=time.perf_counter)

    def phase(self, name: str) -> None:
        """Begin a phase, which ends the one before; an empty name ends it only."""
        now = time.perf_counter()
        if self._current:
            self.seconds[self._current] = self.seconds.get(self._current, 0.0) + now - self._since
        self._current, self._since = name, now


@dataclass(frozen=True)
class Done:
    """What an iteration was: its state, what it measured and what it took."""

    state: State
    outcome: Outcome
    moved: changes.Changes
    timing: Timing
    rows: tuple[NDArray[np.int64], ...]


class Loop:
    """Runs a refinement iteration by iteration.

    Parameters
    ----------
    job
        What runs.
    run
        The job folder, progress and abort.
    crew
        Who runs the expectation step.
    regularise
        Makes maps.
    """

    def __init__(
        self, job: Refinement, run: Run, crew: Crew, *, regularise: Regulariser = wiener_map
    ) -> None:
        self.job, self.run, self.crew, self.regularise = job, run, crew, regularise
        model = job.state.models[0]
        self._counts = updates.pixel_counts(job.data.optics, model.box_px, model.pixel_size_A)
        self._tubes = tubes_of(job.particles.table) if helical.has_tubes(job.settings) else None
        self._bad: set[int] = set()

    def begin(self) -> None:
        """Write the state before the first iteration."""
        if self.job.is_new:
            self._write(self.job.state, Outcome())

    def iterate(self, state: State) -> Done:
        """Run one iteration and write its files."""
        job, settings, timing = self.job, self.job.settings, Timing()
        if self._tubes is not None and state.schedule.iteration > 0:
            box_A = state.models[0].box_px * state.models[0].pixel_size_A
            renewed = filaments.renewed(state.assignments, self._tubes, settings.helix, box_A)
            state = replace(state, assignments=renewed)
        state = schedule.begin_iteration(state, settings, len(job.data))
        now = state.schedule
        timing.phase("references")
        r_max = now.current_size_px // 2
        prepared = {
            half: references(state.models[half], settings, r_max=r_max)
            for half in self.crew.halves(len(state.models))
        }
        if schedule.measures_accuracy(state, settings):
            timing.phase("accuracies")
            state = schedule.with_accuracies(state, self._accuracies(state, prepared[0]))
        timing.phase("")
        state = schedule.update_sampling(state, settings)
        sums, assignments, rows = self._expectation(state, prepared, timing)
        timing.phase("maximisation")
        final = settings.auto_refine and now.converged
        known = Known(
            powers=self._powers(prepared, len(state.models)),
            mean_norms=self._mean_norms(assignments, rows),
            pixel_counts=self._counts,
        )
        models, outcome = maximise(
            state, sums, settings, job.masks, final=final, regularise=self.regularise, known=known
        )
        moved = changes.between(
            state.assignments, assignments, ndim=settings.ndim,
            point_group=state.sampling.point_group, rows=np.concatenate(rows),
        )  # fmt: skip
        state = replace(state, models=models, assignments=assignments)
        state = schedule.end_iteration(state, settings, moved)
        timing.phase("files")
        if final:
            self._write_final(state, outcome)
        elif schedule.writes_files(state, settings):
            self._write(state, outcome)
        timing.phase("")
        return Done(state, outcome, moved, timing, rows)

    def _accuracies(self, state: State, prepared: References) -> accuracy.Accuracies:
        job = self.job
        shuffled = order.shuffled(
            job.data, state.assignments, state.schedule, job.settings,
            0 if len(state.models) == 2 else None,
        )  # fmt: skip
        return accuracy.measure(job.data, state, job.settings, prepared.projectors, shuffled)

    def _expectation(
        self, state: State, prepared: dict[int, References], timing: Timing
    ) -> tuple[tuple[Sums, ...], Assignments, tuple[NDArray[np.int64], ...]]:
        """Run the expectation over all halves, on all ranks."""
        job, settings, now = self.job, self.job.settings, state.schedule
        halves: list[int | None] = [None] if len(state.models) == 1 else [0, 1]
        rows = tuple(
            order.particles(job.data, state.assignments, now, settings, half) for half in halves
        )
        total = sum(len(part) for part in rows)
        with self.run.phase(f"Iteration {now.iteration}", total, "particles") as progress:

            def done(n: int) -> None:
                progress.advance(n)
                self.run.check_abort()

            def phase(name: str) -> None:
                timing.phase(name)
                self.run.check_abort()

            watch = Watch(done, phase, self._tell_bad)
            sums, assignments = self.crew.expectation(
                settings, state, rows, seeding=self._is_seeding(state), prepared=prepared,
                watch=watch,
            )  # fmt: skip
        timing.phase("")
        return sums, assignments, rows

    def _is_seeding(self, state: State) -> bool:
        last = 2 if self.job.settings.firstiter_cc else 1
        return self.job.seeds and state.schedule.iteration <= last

    def _powers(self, prepared: dict[int, References], n_models: int) -> tuple[torch.Tensor, ...]:
        """Return the power of each reference where maximisation needs it."""
        settings = self.job.settings
        if n_models == 2 or settings.searching.coarsest_A > 0:
            return ()
        n_shells = self.job.state.models[0].box_px // 2 + 1
        return tuple(
            torch.stack([reference_power(one, n_shells) for one in ready.projectors])
            for ready in prepared.values()
        )

    def _mean_norms(
        self, assignments: Assignments, rows: tuple[NDArray[np.int64], ...]
    ) -> tuple[float, ...]:
        if not self.job.settings.image.correct_norm:
            return ()
        return tuple(float(assignments.norm[part].mean()) for part in rows)

    def _tell_bad(self, rows: NDArray[np.int64]) -> None:
        """Name particles with values that no image can hold, once; none may be left."""
        names = self.job.particles.table["rlnImageName"]
        for row in rows.tolist():
            if row not in self._bad:
                self._bad.add(row)
                self.run.warn(
                    "The image holds values that are not numbers or far too large, or one pixel "
                    "holds a quarter of its power; left out",
                    names[row],
                )
        if len(self._bad) == len(names):
            raise InputError(
                f"None of the {len(names):,} images can be used: all hold values that are not "
                "numbers or far too large. Extract the particles again."
            )

    def _write(self, state: State, outcome: Outcome) -> None:
        job = self.job
        unmasked = outcome.unmasked[0] if outcome.unmasked and job.settings.ndim == 2 else None
        write_iteration(
            job.root, state, job.settings, job.particles,
            folder=self.run.project, form=job.form, machine=job.machine, unmasked=unmasked,
        )  # fmt: skip

    def _write_final(self, state: State, outcome: Outcome) -> None:
        job = self.job
        write_final(
            job.root, state, job.settings, job.particles,
            unfiltered=tuple(maps[0] for maps in outcome.unfiltered),
            folder=self.run.project, form=job.form, machine=job.machine,
        )  # fmt: skip
