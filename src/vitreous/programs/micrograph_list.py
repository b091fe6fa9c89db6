"""The one loop of all programs that go through a list of micrographs or movies.

A program says what is done with one of them (`Work`); `process` does the rest: reading ahead,
computing, writing behind, several ranks, skipping what is done, stopping when asked, a bad file
that is named and left out, and a list of results that grows while the job runs.

Memory: a *slot* is taken when the reading of a unit begins and given back when it is written, so a
rank never holds more than ``n_slots * unit_bytes + n_devices * batch_bytes`` (`memory_bytes`).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Generic, TypeVar

from vitreous.distributed.memory import available_bytes
from vitreous.errors import ComputeError, EnvironmentMissing
from vitreous.io.coordinates import below_job
from vitreous.jobs.context import Aborted, Progress, Run
from vitreous.programs.micrograph_faults import UNIT_ERRORS, reason
from vitreous.programs.micrograph_pipeline import Event, Pipeline, Stages
from vitreous.programs.micrograph_ranks import Ranks
from vitreous.programs.micrograph_work import (
    Computed,
    Loaded,
    Outcome,
    Result,
    Settings,
    Unit,
    Work,
)

__all__ = ["Outcome", "Settings", "Work", "output_stems", "process"]

Awaited = TypeVar("Awaited")

_LOOK_EVERY_S: Final = 0.1
_PUBLISH_EVERY_S: Final = 10.0
_PUBLISH_SHARE: Final = 0.1  # of the time may go into writing the joint list
_WRITERS_GET_S: Final = 0.7  # to end what they write when the job is stopped
_MEMORY_SHARE: Final = 0.6  # of what is free
_NAMED: Final = 20
_RESTORERS: Final = 4


def process(
    run: Run,
    units: Sequence[Unit],
    work: Work[Unit, Loaded, Computed, Result],
    settings: Settings,
) -> Outcome[Result]:
    """Work through a list of micrographs or movies.

    Parameters
    ----------
    run
        The job.
    units
        The list; every rank must have the same.
    work
        What is done with one.
    settings
        How it is done.

    Returns
    -------
    Outcome
        On the first rank all results have been published and the bad units have been told.

    Raises
    ------
    ComputeError
        Nothing is left: no unit has a result; or another rank has failed.
    EnvironmentMissing
        Not even one unit fits into memory; the disk is full.
    Aborted
        The job was asked to stop; what was finished is kept.
    """
    n_slots = _slots(run, settings)
    ranks = Ranks(run.path, run.rank, run.n_ranks)
    outcome: Outcome[Result] = Outcome([None] * len(units), leads=run.rank == 0)
    if outcome.leads:
        pending = _plan(run, units, work, settings, outcome)
        ranks.deal(pending)
    else:
        pending = ranks.dealt(run.check_abort)
    job = _Job(run, units, work, settings, ranks, outcome)
    with run.phase(settings.phase, len(pending), settings.noun) as progress:
        _work_through(job, pending[run.rank :: run.n_ranks], n_slots, progress)
        if outcome.leads:
            _wait_for_others(job, len(pending), progress)
    if outcome.leads:
        ranks.forget()
        _report(job)
    return outcome


def output_stems(folder: str, names: Sequence[str]) -> list[str]:
    """Return where the files of each unit go, without an ending: its path below the job folder.

    A leading job folder is left out, so ``MotionCorr/job002/Movies/a.mrc`` becomes
    ``Extract/job004/Movies/a``. Units of several jobs that would meet there keep the number of
    their job: ``Extract/job004/job002/Movies/a``.

    Parameters
    ----------
    folder
        The job folder with its slash.
    names
        Files from the project folder.
    """
    stems = [_inside(below_job(name)) for name in names]
    for tell_apart in (_with_job, _with_ending):
        n_alike = Counter(stems)
        stems = [
            stem if n_alike[stem] == 1 else tell_apart(name, stem)
            for name, stem in zip(names, stems, strict=True)
        ]
    return [folder + stem for stem in stems]


def _inside(path: str) -> str:
    """Return a path that does not lead out of the folder that it is put below."""
    parts = PurePosixPath(path).parts
    return "/".join(part for part in parts if part not in ("/", ".."))


def _with_job(name: str, stem: str) -> str:
    job = next((part for part in name.split("/") if part.startswith("job")), "")
    return f"{job}/{stem}" if job else stem


def _with_ending(name: str, stem: str) -> str:
    return f"{stem}_{PurePosixPath(name).suffix.removeprefix('.')}"


@dataclass
class _Job(Generic[Unit, Loaded, Computed, Result]):
    """What the functions below share."""

    run: Run
    units: Sequence[Unit]
    work: Work[Unit, Loaded, Computed, Result]
    settings: Settings
    ranks: Ranks
    outcome: Outcome[Result]
    n_told: int = 0
    publisher: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    publishing: Future[float] | None = None
    next_time: float = field(default_factory=lambda: time.monotonic() + _PUBLISH_EVERY_S)

    def note(self, event: Event, progress: Progress) -> None:
        """Take what became of a unit, here or in another rank."""
        name = self.work.name(self.units[event.number])
        self.n_told += 1
        if event.failure:
            self.outcome.failed[name] = event.failure
        else:
            self.outcome.results[event.number] = event.result
        progress.work(*event.cost)
        progress.advance()

    def publish_now_and_then(self) -> None:
        """Bring the joint files up to date, in a thread of their own and not too often."""
        if self.publishing is not None and self.publishing.done():
            took_s = self.publishing.result()
            self.next_time = time.monotonic() + max(_PUBLISH_EVERY_S, took_s / _PUBLISH_SHARE)
            self.publishing = None
        if self.publishing is None and time.monotonic() >= self.next_time and self.outcome.done:
            self.publishing = self.publisher.submit(self._publish, self.outcome.done)

    def publish_last(self) -> None:
        """Write the joint files of everything."""
        if self.publishing is not None:
            _await(self.publishing, self.run.check_abort)
        if self.outcome.done:
            _await(self.publisher.submit(self._publish, self.outcome.done), self.run.check_abort)
        self.publisher.shutdown()

    def _publish(self, results: Sequence[Result]) -> float:
        began = time.monotonic()
        self.work.publish(results)
        return time.monotonic() - began


def _slots(run: Run, settings: Settings) -> int:
    """Return how many units may be in flight in this rank."""
    free = int(available_bytes() * _MEMORY_SHARE) // run.n_ranks
    fitting = (n for n in range(settings.wanted_slots, 0, -1) if settings.memory_bytes(n) <= free)
    n_slots = next(fitting, 0)
    if not n_slots:
        raise EnvironmentMissing(
            f"{settings.phase} needs {settings.memory_bytes(1) / 2**30:.2g} GiB of memory in each "
            f"of {run.n_ranks} ranks, but {free / 2**30:.2g} GiB are there for each. Use fewer "
            "ranks or threads, or a machine with more memory."
        )
    run.say(
        f"Memory: at most {n_slots} {settings.noun} at once x {settings.unit_bytes / 2**20:,.0f} "
        f"MiB + {len(settings.devices)} computed x {settings.batch_bytes / 2**20:,.0f} MiB = "
        f"{settings.memory_bytes(n_slots) / 2**20:,.0f} MiB"
        + (f" in each of {run.n_ranks} ranks" if run.n_ranks > 1 else "")
    )
    return n_slots


def _plan(
    run: Run,
    units: Sequence[Unit],
    work: Work[Unit, Loaded, Computed, Result],
    settings: Settings,
    outcome: Outcome[Result],
) -> list[int]:
    """Take over what is done and return the numbers of the units to work on."""
    if run.is_continue:
        _clear_leftovers(run)
    pool = ThreadPoolExecutor(_RESTORERS)
    try:
        found = [pool.submit(_restored, work, unit) for unit in units]
        for number, future in enumerate(found):
            outcome.results[number] = _await(future, run.check_abort)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    pending = [number for number, result in enumerate(outcome.results) if result is None]
    outcome.n_before = len(units) - len(pending)
    if outcome.n_before:
        run.say(f"{outcome.n_before:,} of {len(units):,} {settings.noun} were done before")
    if 0 <= settings.do_at_most < len(pending):
        outcome.n_left = len(pending) - settings.do_at_most
        pending = pending[: settings.do_at_most]
    return pending


def _clear_leftovers(run: Run) -> None:
    """Remove half-written files of a run that was killed; no rank writes yet."""
    for folder, _, names in os.walk(run.path):
        for name in names:
            if name.startswith(".") and name.endswith(".tmp"):
                with contextlib.suppress(OSError):
                    Path(folder, name).unlink()


def _restored(work: Work[Unit, Loaded, Computed, Result], unit: Unit) -> Result | None:
    """Return the result of a unit; what cannot be read is done again."""
    try:
        return work.restore(unit)
    except UNIT_ERRORS as error:
        reason(error)
        return None


def _work_through(
    job: _Job[Unit, Loaded, Computed, Result], mine: list[int], n_slots: int, progress: Progress
) -> None:
    """Read, compute and write this rank's share."""
    work, units, settings = job.work, job.units, job.settings
    stages = Stages(
        load=lambda number: work.load(units[number]),
        compute=lambda numbers, loaded, device: work.compute(
            [units[number] for number in numbers], loaded, device
        ),
        save=lambda number, computed: work.save(units[number], computed),
        cost=work.cost,
    )
    pipeline = Pipeline(
        stages,
        mine,
        settings.devices,
        batch=settings.batch,
        n_slots=n_slots,
        n_readers=settings.n_readers,
        n_writers=settings.n_writers,
    )
    with pipeline:
        try:
            for event in pipeline.events(_LOOK_EVERY_S):
                job.run.check_abort()
                job.ranks.give_sign()
                if event is not None:
                    _warn_of(job, event)
                    job.ranks.tell(event.number, event.failure)
                    job.note(event, progress)
                if job.outcome.leads:
                    _hear_others(job, progress)
                    job.publish_now_and_then()
        except Aborted:
            pipeline.stop(_WRITERS_GET_S)
            raise


def _warn_of(job: _Job[Unit, Loaded, Computed, Result], event: Event) -> None:
    if event.failure:
        name = job.work.name(job.units[event.number])
        job.run.warn(
            f"Some {job.settings.noun} could not be used and are left out.",
            event.failure if name in event.failure else f"{name}: {event.failure}",
        )


def _hear_others(job: _Job[Unit, Loaded, Computed, Result], progress: Progress) -> None:
    """Take over what other ranks have finished, from the files that they left."""
    for number, failure in job.ranks.told():
        event = Event(number, failure=failure)
        if not failure:
            result = job.work.restore(job.units[number])
            lost = "" if result is not None else "another rank finished it; its files are not there"
            event = Event(number, result, lost)
            _warn_of(job, event)
        job.note(event, progress)


def _wait_for_others(
    job: _Job[Unit, Loaded, Computed, Result], n_pending: int, progress: Progress
) -> None:
    while job.n_told < n_pending:
        job.run.check_abort()
        _hear_others(job, progress)
        job.publish_now_and_then()
        job.ranks.require_alive()
        if job.n_told < n_pending:
            time.sleep(_LOOK_EVERY_S)
    job.publish_last()


def _report(job: _Job[Unit, Loaded, Computed, Result]) -> None:
    """Tell how it went; raise where nothing is left."""
    outcome, noun, n_units = job.outcome, job.settings.noun, len(job.units)
    if outcome.n_left:
        job.run.say(f"{outcome.n_left:,} {noun} are left for the next run of this job")
    if outcome.failed:
        names = list(outcome.failed)
        job.run.say(f"{len(names):,} of {n_units:,} {noun} could not be used:")
        for name in names[:_NAMED]:
            job.run.say(f"  {name}")
        if len(names) > _NAMED:
            job.run.say(f"  and {len(names) - _NAMED:,} more")
    if outcome.failed and not outcome.done:
        name, why = next(iter(outcome.failed.items()))
        raise ComputeError(
            f"None of the {n_units:,} {noun} could be used. The first, {name}: {why}"
        )


def _await(future: Future[Awaited], on_wait: Callable[[], None]) -> Awaited:
    """Return the result of a future, looking around while it is awaited."""
    while not wait([future], timeout=_LOOK_EVERY_S).done:
        on_wait()
    return future.result()
