"""Several real processes that run one function as ranks of a team, for tests."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

PATIENCE_S = 40.0
PRELOADED = ["torch", "vitreous.distributed.sums", "vitreous.dataset.refinement"]
KILLED = "killed"


def together(n_ranks: int, folder: Path, function: Callable[..., Any], *args: object) -> list[Any]:
    """Return what ``function(rank, n_ranks, *args)`` returns on every rank.

    Where it raises, the exception is the result; `KILLED` where the process died.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    pipes, processes = [], []
    for rank in range(n_ranks):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_main, args=(theirs, folder, rank, n_ranks, function, args), daemon=True
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    found = [_result(pipe) for pipe in pipes]
    for process in processes:
        process.join(PATIENCE_S)
        process.close()
    return found


def _result(pipe: Connection) -> Any:
    if not wait([pipe], PATIENCE_S):
        return "hangs"
    try:
        return pipe.recv()
    except EOFError:
        return KILLED


def _main(
    pipe: Connection,
    folder: Path,
    rank: int,
    n_ranks: int,
    function: Callable[..., Any],
    args: tuple[object, ...],
) -> None:
    os.environ["VITREOUS_RENDEZVOUS"] = str(folder / ".rendezvous_test")
    torch.set_num_threads(1)
    try:
        result = function(rank, n_ranks, *args)
    except Exception as error:  # noqa: BLE001 - handed to the test
        traceback.print_exc()
        result = error
    pipe.send(result)
    pipe.close()
    os._exit(0)
