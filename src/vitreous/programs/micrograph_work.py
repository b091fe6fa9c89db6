"""What a program says of its list of micrographs or movies, and what it hears in the end.

`micrograph_list.process` does the work in between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import torch

from vitreous.distributed.devices import CPU

Unit = TypeVar("Unit")
Loaded = TypeVar("Loaded")
Computed = TypeVar("Computed")
Result = TypeVar("Result")


class Work(ABC, Generic[Unit, Loaded, Computed, Result]):
    """What a program does with one micrograph or movie of its list.

    Each unit leaves files of its own, written whole or not at all (`vitreous.io.atomic`), from
    which `restore` makes its result again: that is how a continued job skips what is done, and
    how the first rank learns what the others found.

    `load`, `compute` and `save` are called from threads, for several units at once; they may call
    ``run.warn`` and ``run.check_abort``, and nothing else of the run.
    """

    @abstractmethod
    def name(self, unit: Unit) -> str:
        """Return what messages call the unit: its file."""

    @abstractmethod
    def restore(self, unit: Unit) -> Result | None:
        """Return the result of a unit from the files that it left; None where it is not done."""

    @abstractmethod
    def load(self, unit: Unit) -> Loaded:
        """Read what the unit needs, ahead of time."""

    @abstractmethod
    def compute(
        self, units: Sequence[Unit], loaded: Sequence[Loaded], device: torch.device
    ) -> Sequence[Computed]:
        """Compute a batch of units on a device; call ``run.check_abort`` in long ones.

        A batch that fails is tried again one by one, so that only the bad unit is lost.
        """

    @abstractmethod
    def save(self, unit: Unit, computed: Computed) -> Result:
        """Write the unit's own files and return its (small) result."""

    @abstractmethod
    def publish(self, results: Sequence[Result]) -> None:
        """Write the joint files of the results so far, in the order of the list; first rank only.

        Called now and then while the job runs, and at its end.
        """

    def cost(self, computed: Computed) -> tuple[float, float]:
        """Return the arithmetic (flop) and the bytes read and written for one unit."""
        del computed
        return 0.0, 0.0


@dataclass(frozen=True)
class Settings:
    """How a list is worked through.

    Parameters
    ----------
    phase, noun
        What is done and what is counted: ``Aligning movies``, ``movies``.
    unit_bytes
        Memory that a unit holds from reading to writing.
    batch_bytes
        Memory that `Work.compute` takes on top for a batch.
    devices
        One thread computes on each; name the processor twice for two threads.
    batch
        Units that are computed together where that many are ready.
    n_readers, n_writers
        Threads that read ahead and write behind.
    do_at_most
        Work on no more than this many units in this run; below 0 on all.
    """

    phase: str
    noun: str
    unit_bytes: int
    batch_bytes: int = 0
    devices: tuple[torch.device, ...] = (CPU,)
    batch: int = 1
    n_readers: int = 1
    n_writers: int = 1
    do_at_most: int = -1

    @property
    def wanted_slots(self) -> int:
        """Units in flight that keep every thread busy: read, ready, computed, written."""
        return self.n_readers + 2 * self.batch * len(self.devices) + self.n_writers

    def memory_bytes(self, n_slots: int) -> int:
        """Return the most that a rank holds with this many slots."""
        return n_slots * self.unit_bytes + len(self.devices) * self.batch_bytes


@dataclass
class Outcome(Generic[Result]):
    """What became of a list; complete on the first rank only.

    Parameters
    ----------
    results
        Of every unit of the list, in its order; None where there is none.
    failed
        Why units could not be used, by name.
    n_before
        How many were done before.
    n_left
        How many wait for another run, because of `Settings.do_at_most`.
    leads
        Whether this is the first rank, the only one that goes on to report.
    """

    results: list[Result | None]
    failed: dict[str, str] = field(default_factory=dict)
    n_before: int = 0
    n_left: int = 0
    leads: bool = True

    @property
    def done(self) -> list[Result]:
        """The results that there are, in the order of the list."""
        return [result for result in self.results if result is not None]
