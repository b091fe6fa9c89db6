"""Which graphics cards a rank and its threads compute on.

RELION's way to write it (``gpu_ids``): a colon separates ranks, a comma the cards of one rank, and
an empty text takes all there are. ``0:1:2`` gives three ranks a card each, ``0,1:2,3`` two ranks
two each. A rank beyond the last field starts again at the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from vitreous.errors import EnvironmentMissing, InputError

CPU = torch.device("cpu")
_NODE_SIZES = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


def parse(gpu_ids: str) -> tuple[tuple[int, ...], ...]:
    """Return the cards of each rank as they are written; empty where nothing is.

    Raises
    ------
    InputError
        It is something else than numbers, commas and colons.

    Examples
    --------
    >>> parse("0,1:2")
    ((0, 1), (2,))
    """
    text = "".join(gpu_ids.split()).strip('"')
    if not text.strip(":,"):
        return ()
    if not re.fullmatch(r"\d+([,:]\d+)*", text):
        raise InputError(
            f"Which GPUs: found {gpu_ids!r}, wanted numbers with commas between the cards of one "
            "rank and colons between ranks, such as 0,1 or 0:1:2; empty takes all."
        )
    return tuple(tuple(int(one) for one in field.split(",")) for field in text.split(":"))


def of_rank(
    gpu_ids: str,
    rank: int = 0,
    n_ranks: int = 1,
    *,
    use_gpu: bool = True,
    n_cards: int | None = None,
    environ: Mapping[str, str] | None = None,
) -> tuple[torch.device, ...]:
    """Return the devices that one rank computes on, each once.

    Parameters
    ----------
    gpu_ids
        What the user wrote.
    rank, n_ranks
        Which process this is, and how many there are in all.
    use_gpu
        Whether cards are wanted at all; otherwise the processor is the only device.
    n_cards
        How many cards this machine has; asked of CUDA where it is left out.
    environ
        Environment, which tells how the ranks lie on several machines; by default all are on
        this one.

    Raises
    ------
    EnvironmentMissing
        Cards are wanted and there are none, or not that many.
    InputError
        `gpu_ids` cannot be read.
    """
    if not use_gpu:
        return (CPU,)
    n_cards = torch.cuda.device_count() if n_cards is None else n_cards
    if n_cards == 0:
        raise EnvironmentMissing(
            "Use GPUs is on, but CUDA finds no graphics card here. Switch it off (use_gpu=No), or "
            "run on a machine with a card; `vitreous doctor` tells what this one has."
        )
    fields = parse(gpu_ids)
    if fields:
        numbers = tuple(dict.fromkeys(fields[rank % len(fields)]))
    else:
        local, n_local = _on_this_machine(rank, n_ranks, environ or {})
        numbers = tuple(range(local, n_cards, n_local)) or (local % n_cards,)
    unknown = [number for number in numbers if number >= n_cards]
    if unknown:
        raise EnvironmentMissing(
            f"Which GPUs: rank {rank} of {n_ranks} is to use card {unknown[0]}, but this machine "
            f"has {n_cards}, counted from 0. Change {gpu_ids!r}, or leave it empty to take all."
        )
    return tuple(torch.device("cuda", number) for number in numbers)


def free_bytes(device: torch.device) -> int:
    """Return how much memory of a card nobody uses."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def use(device: torch.device) -> None:
    """Make a card the one that kernels start on, with matrix products in full float32.

    TF32 would round log weights of strong low-resolution signal by more than a nat
    (refinement.md 15.4).
    """
    if device.type != "cuda":
        return
    torch.cuda.set_device(device)
    torch.backends.cuda.matmul.allow_tf32 = False


def of_threads(devices: tuple[torch.device, ...], n_threads: int) -> tuple[torch.device, ...]:
    """Return the device of each of `n_threads` threads: the devices in turn.

    Every device gets a thread, so there may be more than `n_threads`.
    """
    return tuple(devices[i % len(devices)] for i in range(max(n_threads, len(devices))))


def _on_this_machine(rank: int, n_ranks: int, environ: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of a rank among those on its machine, and how many these are."""
    local = int(environ.get("LOCAL_RANK", rank))
    n_local = next((int(environ[name]) for name in _NODE_SIZES if name in environ), 0)
    if not n_local:  # Slurm: "2(x3)" is two on each of three machines
        told = re.match(r"\d+", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))
        n_local = int(told.group()) if told else n_ranks
    return local, max(1, n_local, local + 1)
