"""Randomness and work that do not depend on how many processes share the work."""

from __future__ import annotations

import hashlib
import multiprocessing
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
    with ProcessPoolExecutor(min(n_workers, len(tasks)), mp_context=context) as pool:
        waiting = iter(tasks)
        running: deque[Future[Result]] = deque(
            pool.submit(function, task) for task in islice(waiting, n_workers + 1)
        )
        try:
            while running:
                yield running.popleft().result()
                running.extend(pool.submit(function, task) for task in islice(waiting, 1))
        finally:
            for future in running:
                future.cancel()
