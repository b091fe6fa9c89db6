"""Threads that read ahead, compute and write behind, with a bounded number of units in flight."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final

import torch

from vitreous.errors import EnvironmentMissing
from vitreous.programs.micrograph_faults import UNIT_ERRORS, reason

_WAKE_EVERY_S: Final = 0.1
_END: Final = None


@dataclass(frozen=True)
class Event:
    """What became of a unit.

    Parameters
    ----------
    number
        Its place in the list.
    result
        What it gave; None where it failed.
    failure
        Why it failed; empty where it did not.
    cost
        Arithmetic (flop) and bytes.
    """

    number: int
    result: Any = None
    failure: str = ""
    cost: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Stages:
    """The three steps of a unit; see `micrograph_list.Work`.

    Parameters
    ----------
    load
        Number of a unit -> what was read.
    compute
        Numbers, what was read, device -> what was computed.
    save
        Number, what was computed -> its result.
    cost
        What was computed -> arithmetic and bytes.
    """

    load: Callable[[int], Any]
    compute: Callable[[Sequence[int], Sequence[Any], torch.device], Sequence[Any]]
    save: Callable[[int, Any], Any]
    cost: Callable[[Any], tuple[float, float]]


class Pipeline:
    """Units on their way through reading, computing and writing.

    Use it in a ``with`` block: leaving it stops the threads, which end at their next unit.

    Parameters
    ----------
    stages
        What is done.
    numbers
        Units to work on, in order.
    devices
        One thread computes on each.
    batch
        Units that are computed together at most.
    n_slots
        Units in flight at most.
    n_readers, n_writers
        Threads.
    """

    def __init__(
        self,
        stages: Stages,
        numbers: Sequence[int],
        devices: Sequence[torch.device],
        *,
        batch: int = 1,
        n_slots: int = 4,
        n_readers: int = 1,
        n_writers: int = 1,
    ) -> None:
        self._stages, self._numbers, self._batch = stages, iter(numbers), batch
        self._slots = threading.Semaphore(n_slots)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._ready: queue.Queue[tuple[int, Any] | None] = queue.Queue()
        self._computed: queue.Queue[tuple[int, Any] | None] = queue.Queue()
        self._events: queue.Queue[Event] = queue.Queue()
        self._n_left = len(numbers)
        self._n_reading, self._n_computing = n_readers, len(devices)
        self._n_writers = n_writers
        self._pool = ThreadPoolExecutor(n_readers + len(devices) + n_writers)
        self._threads: list[Future[None]] = [
            *(self._pool.submit(self._read) for _ in range(n_readers)),
            *(self._pool.submit(self._compute, device) for device in devices),
            *(self._pool.submit(self._write) for _ in range(n_writers)),
        ]

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def events(self, every_s: float) -> Iterator[Event | None]:
        """Yield what became of every unit as it comes, and None where nothing did for a while.

        Raises whatever ended a thread that was not the fault of one unit.
        """
        while self._n_left:
            for thread in self._threads:
                if thread.done():
                    thread.result()
            try:
                event = self._events.get(timeout=every_s)
            except queue.Empty:
                yield None
                continue
            self._n_left -= 1
            yield event

    def stop(self, seconds: float) -> None:
        """Begin nothing new and give what is being written a moment to end."""
        self._stopped.set()
        wait(self._threads[len(self._threads) - self._n_writers :], timeout=seconds)

    def _read(self) -> None:
        while self._take_slot():
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                self._slots.release()
                break
            try:
                loaded = self._stages.load(number)
            except UNIT_ERRORS as error:
                self._fail(number, error)
            else:
                self._ready.put((number, loaded))
        with self._lock:
            self._n_reading -= 1
            if self._n_reading == 0:
                for _ in range(self._n_computing):
                    self._ready.put(_END)

    def _compute(self, device: torch.device) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        is_open = True
        while is_open and (first := self._get(self._ready)):
            units = [first]
            while len(units) < self._batch and not self._ready.empty():
                try:
                    more = self._ready.get_nowait()
                except queue.Empty:
                    break
                if more is _END:
                    is_open = False
                    break
                units.append(more)
            self._compute_batch(units, device)
        with self._lock:
            self._n_computing -= 1
            if self._n_computing == 0:
                for _ in range(self._n_writers):
                    self._computed.put(_END)

    def _compute_batch(self, units: list[tuple[int, Any]], device: torch.device) -> None:
        numbers = [number for number, _ in units]
        try:
            computed = self._stages.compute(numbers, [loaded for _, loaded in units], device)
        except torch.OutOfMemoryError as error:
            if len(units) == 1:
                raise EnvironmentMissing(
                    f"{device}: its memory ran out ({' '.join(str(error).split())}). Use a card "
                    "with more memory, fewer ranks a card, or the processor (use_gpu=No)."
                ) from error
        except UNIT_ERRORS as error:
            if len(units) == 1:
                self._fail(numbers[0], error)
                return
        else:
            for number, one in zip(numbers, computed, strict=True):
                self._computed.put((number, one))
            return
        for unit in units:  # the others must not suffer for one
            self._compute_batch([unit], device)

    def _write(self) -> None:
        while item := self._get(self._computed):
            number, computed = item
            try:
                result = self._stages.save(number, computed)
                cost = self._stages.cost(computed)
            except UNIT_ERRORS as error:
                self._fail(number, error)
            else:
                self._slots.release()
                self._events.put(Event(number, result, cost=cost))

    def _fail(self, number: int, error: BaseException) -> None:
        why = reason(error)
        self._slots.release()
        self._events.put(Event(number, failure=why))

    def _take_slot(self) -> bool:
        while not self._stopped.is_set():
            if self._slots.acquire(timeout=_WAKE_EVERY_S):
                return True
        return False

    def _get(self, source: queue.Queue[tuple[int, Any] | None]) -> tuple[int, Any] | None:
        while not self._stopped.is_set():
            try:
                return source.get(timeout=_WAKE_EVERY_S)
            except queue.Empty:
                continue
        return None
