"""How the processes of one job find each other: through a file in the job folder.

Whoever starts several processes names the file in ``VITREOUS_RENDEZVOUS``. Each leaves there who
it is and on which computer, so that processes of one computer talk over its loopback interface,
which no firewall and no wrong host name disturbs.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, PrefixStore  # as torch.distributed has them

from vitreous.errors import EnvironmentMissing

RENDEZVOUS: Final = "VITREOUS_RENDEZVOUS"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_INTERFACE: Final = "GLOO_SOCKET_IFNAME"
_LOOPBACK: Final = "lo"
# Ranks may wait for each other for hours; that one is lost is seen by other means (`signs`).
_TIMEOUT: Final = timedelta(days=30)
_MEET_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Meeting:
    """Where the processes of a job are.

    Parameters
    ----------
    file
        Through which they met.
    hosts
        Of each rank, a name of its computer.
    """

    file: Path
    hosts: tuple[str, ...]


def meet(rank: int, n_ranks: int, environ: Mapping[str, str] = os.environ) -> Meeting:
    """Wait for all ranks, and connect them.

    Parameters
    ----------
    rank, n_ranks
        Which process this is, and how many there are.
    environ
        Environment.

    Raises
    ------
    EnvironmentMissing
        Nobody named the file, or not all ranks came.
    """
    if not environ.get(RENDEZVOUS):
        raise EnvironmentMissing(
            f"This is rank {rank} of {n_ranks}, but {RENDEZVOUS} names no file to meet the others "
            "through. Start the job with `vitreous run` or `vitreous exec`, which set it."
        )
    file = Path(environ[RENDEZVOUS])
    # A start of torchrun that was killed may have left a file of the same name.
    store = PrefixStore(f"start {environ.get('MASTER_PORT', '')}", FileStore(str(file), n_ranks))
    store.set_timeout(_MEET_WITHIN)
    store.set(f"host {rank}", this_host())
    try:
        hosts = tuple(store.get(f"host {other}").decode() for other in range(n_ranks))
        if len(set(hosts)) == 1 and any(name == _LOOPBACK for _, name in socket.if_nameindex()):
            os.environ.setdefault(_INTERFACE, _LOOPBACK)
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=n_ranks, timeout=_TIMEOUT
        )
    except (RuntimeError, dist.DistError) as error:
        raise EnvironmentMissing(
            f"Rank {rank} of {n_ranks} on {socket.gethostname()} could not connect to the others "
            f"through {file}: {_first_line(error)}. All ranks must see this file, and their "
            f"computers must reach each other; {_INTERFACE} chooses the network interface."
        ) from error
    return Meeting(file, hosts)


def this_host() -> str:
    """Return a name that this computer alone has."""
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot}".strip()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
