"""Randomness and work that do not depend on how many processes share the work."""

from __future__ import annotations

import hashlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np

Task = TypeVar("Task")
Result = TypeVar("Result")


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random numbers of one unit of work, from the seed of the job and its name."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def in_order(
    function: Callable[[Task], Result], tasks: Sequence[Task], n_workers: int
) -> Iterator[Result]:
    """Yield the result of each task in the order of the tasks, a few ahead at the most.

    Parameters
    ----------
    function
        What is done; must be importable where there are several workers.
    tasks
        Each is worked on alone.
    n_workers
        Processes; 1 works in this one.
    """
    if n_workers <= 1 or len(tasks) <= 1:
        yield from map(function, tasks)
        return
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(n_workers, len(tasks)), mp_context=context) as pool:
        waiting = iter(tasks)
        running: deque[Future[Result]] = deque()
        try:
            for task in islice(waiting, n_workers + 1):
                running.append(_submit(pool, function, task))
            while running:
                yield running.popleft().result()
                for task in islice(waiting, 1):
                    running.append(_submit(pool, function, task))
        except BaseException:  # stopped: what the workers are at is wanted by nobody
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Task], Result], task: Task
) -> Future[Result]:
    """Hand a task over. Workers leave Ctrl-C to this process, which then stops them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(function, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
