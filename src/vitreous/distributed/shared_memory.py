"""Memory that the processes of one computer share, gone when the last of them ends.

An anonymous file in memory (`memfd_create`), which others open through ``/proc``: unlike
``/dev/shm`` it has no limit of its own, and a crash leaves nothing to clean up.
"""

from __future__ import annotations

import mmap
import os
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.distributed.team import Team
from vitreous.errors import EnvironmentMissing

_FLOAT_BYTES: Final = 4


def shared_floats(team: Team, n: int) -> Float[Tensor, " n"]:
    """Return numbers in memory that all ranks on this computer see; all ranks call this.

    Parameters
    ----------
    team
        All ranks.
    n
        How many, in float32; zero at first.

    Raises
    ------
    EnvironmentMissing
        Processes may not see each other's files here.
    """
    if team.n_ranks == 1:
        return torch.zeros(n)
    first = team.on_this_computer[0]
    size, handle = max(1, _FLOAT_BYTES * n), -1
    if team.rank == first:
        handle = os.memfd_create("vitreous_particles")
        os.ftruncate(handle, size)
    of_rank = team.share(team.gather((os.getpid(), handle)))
    if team.rank != first:
        handle = _opened(*of_rank[first])
    memory = mmap.mmap(handle, size)
    team.wait_for_all()  # everybody has opened it
    os.close(handle)
    return torch.from_numpy(np.frombuffer(memory, np.float32, n))


def _opened(pid: int, handle: int) -> int:
    path = f"/proc/{pid}/fd/{handle}"
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        raise EnvironmentMissing(
            f"Ranks of one computer cannot share memory here ({path}: {error.strerror}), as in "
            "containers of their own. Set Read all particles into memory to No, or use one rank "
            "on each computer."
        ) from None
