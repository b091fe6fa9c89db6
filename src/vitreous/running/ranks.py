"""Which of several processes this one is, as told by whoever started it.

One process needs none of this. Several are started by vitreous itself (a local job), by
``torchrun``, by Slurm's ``srun``, by Open MPI's or MPICH's ``mpirun``; each sets its own
environment variables.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RENDEZVOUS: Final = "VITREOUS_RENDEZVOUS"
"""Environment variable: the file through which the ranks of a job find each other."""

# Rank, number of ranks, rank on this machine; the first set that is there counts.
_LAUNCHERS: Final = (
    ("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("mpirun", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
)

# What all ranks of one start have in common and no other start has.
_STARTS: Final = (
    "TORCHELASTIC_RUN_ID",
    "PMIX_NAMESPACE",
    "SLURM_JOB_ID",
    "SLURM_STEP_ID",
    "SLURM_RESTART_COUNT",
    "PBS_JOBID",
    "LSB_JOBID",
    "JOB_ID",
)


@dataclass(frozen=True)
class Ranks:
    """One process among those of its job.

    Parameters
    ----------
    rank, n_ranks, local_rank
        Its number, how many there are, its number among those on the same machine.
    launcher
        Who started them; empty for a single process.
    """

    rank: int = 0
    n_ranks: int = 1
    local_rank: int = 0
    launcher: str = ""


def from_environment(environ: Mapping[str, str]) -> Ranks:
    """Tell which rank this is; the only one, where the environment says nothing.

    Raises
    ------
    ValueError
        The variables contradict each other.
    """
    for launcher, rank_name, size_name, local_name in _LAUNCHERS:
        if rank_name not in environ or size_name not in environ:
            continue
        # A batch script without srun has a SLURM_PROCID too, but belongs to no step.
        if launcher == "srun" and not environ.get("SLURM_STEP_ID", "").isdigit():
            continue
        rank, n_ranks = int(environ[rank_name]), int(environ[size_name])
        if not 0 <= rank < n_ranks:
            raise ValueError(
                f"{rank_name}={rank} and {size_name}={n_ranks}: a rank is at least 0 and below the"
                " number of ranks"
            )
        return Ranks(rank, n_ranks, int(environ.get(local_name, rank)), launcher)
    return Ranks()


def to_environment(ranks: Ranks, rendezvous: str) -> dict[str, str]:
    """Return the variables that make a child process this rank.

    Parameters
    ----------
    ranks
        Which one it is.
    rendezvous
        The file through which the ranks find each other.
    """
    return {
        "RANK": str(ranks.rank),
        "WORLD_SIZE": str(ranks.n_ranks),
        "LOCAL_RANK": str(ranks.local_rank),
        RENDEZVOUS: rendezvous,
    }


def meeting_name(environ: Mapping[str, str]) -> str:
    """Return a name that all ranks of one start agree on, for the file where they meet.

    Without a launcher or a scheduler all ranks are children of this process.
    """
    known = [environ[name] for name in _STARTS if environ.get(name)]
    return re.sub(r"[^A-Za-z0-9]+", "_", "_".join(known)) if known else str(os.getpid())


def without_ranks(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment that tells a child nothing of ranks, as a new job needs it."""
    told = {name for _, *names in _LAUNCHERS for name in names} | {RENDEZVOUS}
    return {name: value for name, value in environ.items() if name not in told}
