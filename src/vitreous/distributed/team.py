"""The processes that share one refinement (refinement.md section 15.11).

The first rank decides and writes; the others compute what it hands out. A `Team` of one process
needs no launcher, no file and no network: everything then returns at once.

While a rank waits for others it goes on looking whether the job was asked to stop and whether all
ranks are alive, so that no death of another leaves it waiting for ever.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Final, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vitreous.distributed.meeting import Meeting, meet, this_host
from vitreous.distributed.signs import Signs
from vitreous.errors import ComputeError

T = TypeVar("T")
_PIECE_BYTES: Final = 256 << 20
_LOOK_EVERY_S: Final = 0.2
_LOOK_FOR_LOST_EVERY_S: Final = 5.0
_LONGEST_NAP_S: Final = 0.01
# So long a rank that lost the connection waits for its supervisor to stop it: the rank that died
# is then the one whose end is told as the reason.
_AFTER_LOSS_S: Final = 10.0


class Team:
    """One process among those of its job.

    Use it in a ``with`` block, on all ranks: what one calls, all must call, in the same order.

    Parameters
    ----------
    rank, n_ranks
        Which process this is, and how many there are.
    on_wait
        Called about five times a second while this rank waits; may raise to stop.
    environ
        Environment; ``VITREOUS_RENDEZVOUS`` names the file through which ranks meet.
    """

    def __init__(
        self,
        rank: int = 0,
        n_ranks: int = 1,
        *,
        on_wait: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.rank, self.n_ranks = rank, n_ranks
        self.on_wait = on_wait
        self._environ = environ
        self._meeting: Meeting | None = None
        self._signs: Signs | None = None
        self._groups: dict[tuple[int, ...], dist.ProcessGroup | None] = {}
        self._next_look = self._next_look_for_lost = 0.0

    def __enter__(self) -> Team:
        """Meet the others."""
        if self.n_ranks > 1:
            self._meeting = meet(self.rank, self.n_ranks, self._environ)
            self._signs = Signs(self._meeting.file, self.rank, self.n_ranks)
            if self.leads:  # it first removes what old starts left
                self._signs.begin()
            self.wait_for_all()
            if not self.leads:
                self._signs.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Part: after an error at once, otherwise when all are here."""
        if self._signs is None:
            return
        if kind is None:
            self.wait_for_all()
            self._signs.end()
            self.wait_for_all()
            if self.leads:
                self._signs.forget()
            dist.destroy_process_group()
        else:
            self._signs.end()
            if self.leads:
                self._signs.forget()

    @property
    def leads(self) -> bool:
        """Whether this is the first rank, which decides and writes."""
        return self.rank == 0

    @property
    def signs(self) -> Signs | None:
        """Signs of life of all ranks; none in a team of one."""
        return self._signs

    @property
    def on_this_computer(self) -> tuple[int, ...]:
        """The ranks that run on the computer of this one."""
        if self._meeting is None:
            return (self.rank,)
        return tuple(r for r, host in enumerate(self._meeting.hosts) if host == this_host())

    @property
    def is_on_one_computer(self) -> bool:
        """Whether all ranks run on one computer."""
        return len(self.on_this_computer) == self.n_ranks

    def share(self, value: T | None = None) -> T:
        """Return on all ranks the value that the first one gives.

        Parameters
        ----------
        value
            Whatever pickle can carry; what other ranks give is not looked at.
        """
        if self.n_ranks == 1:
            return cast(T, value)
        payload = _bytes_of(value) if self.leads else torch.empty(0, dtype=torch.uint8)
        size = torch.tensor([len(payload)])
        self._wait(lambda: dist.broadcast(size, 0, async_op=True))
        if not self.leads:
            payload = torch.empty(int(size), dtype=torch.uint8)
        for start in range(0, len(payload), _PIECE_BYTES):
            self._wait(
                partial(dist.broadcast, payload[start : start + _PIECE_BYTES], 0, async_op=True)
            )
        return cast(T, value if self.leads else _value_of(payload))

    def gather(self, value: T) -> list[T]:
        """Return on the first rank the values of all, by rank; on others an empty list."""
        if self.n_ranks == 1:
            return [value]
        payload = _bytes_of(value)
        sizes = [torch.empty(1, dtype=torch.int64) for _ in range(self.n_ranks)]
        mine = torch.tensor([len(payload)])
        self._wait(lambda: dist.all_gather(sizes, mine, async_op=True))
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(payload)] = payload
        found = [torch.empty_like(padded) for _ in sizes] if self.leads else None
        self._wait(lambda: dist.gather(padded, found, 0, async_op=True))
        pairs = zip(found or [], sizes, strict=False)
        return [cast(T, _value_of(one[: int(size)])) for one, size in pairs]

    def prepare(self, members: Sequence[int]) -> None:
        """Connect some ranks for `add_up_`; all ranks of the team call this while in step."""
        self._group(members)

    def add_up_(self, tensor: Tensor, members: Sequence[int]) -> None:
        """Add the tensors of some ranks into that of the first; those of others become anything.

        Parameters
        ----------
        tensor
            In the memory of the processor, contiguous.
        members
            The ranks that give one, the first among them; all of the team call this in the same
            order even where they give none.
        """
        group = self._group(members)
        if group is not None:
            self._wait(lambda: dist.reduce(tensor, 0, group=group, async_op=True))

    def any_(self, flags: Sequence[bool], members: Sequence[int]) -> list[bool]:
        """Return for each flag whether it is true on any of some ranks, on all of them."""
        group, told = self._group(members), torch.tensor(flags, dtype=torch.int32)
        if group is not None:
            self._wait(lambda: dist.all_reduce(told, dist.ReduceOp.MAX, group=group, async_op=True))
        return [bool(one) for one in told]

    def wait_for_all(self) -> None:
        """Wait until all ranks are here."""
        if self.n_ranks > 1:
            self.add_up_(torch.zeros(1), range(self.n_ranks))
            self.share(0)

    def look(self) -> None:
        """Raise where the job is to stop or a rank is lost; cheap, called often."""
        clock = time.monotonic()
        if clock >= self._next_look:
            self._next_look = clock + _LOOK_EVERY_S
            self.on_wait()
        if self._signs is not None and clock >= self._next_look_for_lost:
            self._next_look_for_lost = clock + _LOOK_FOR_LOST_EVERY_S
            self._signs.require_all()

    def _group(self, members: Sequence[int]) -> dist.ProcessGroup | None:
        """Return the group of some ranks, made at first use; None where this is none of them."""
        key = tuple(sorted(set(members)))
        if len(key) < 2:
            return None
        if key not in self._groups:
            made = dist.new_group(list(key), backend="gloo")
            self._groups[key] = made if self.rank in key else None
        return self._groups[key]

    def _wait(self, begin: Callable[[], dist.Work]) -> None:
        """Run something that all ranks do together, and look around until it is done."""
        nap_s = 1e-5
        try:
            work = begin()
            while not work.is_completed():
                self.look()
                time.sleep(nap_s)
                nap_s = min(2 * nap_s, _LONGEST_NAP_S)
            work.wait()
        except (RuntimeError, dist.DistError) as error:
            self._lost(error)

    def _lost(self, error: Exception) -> None:
        """Stop as the job does, or tell of a connection that broke."""
        until = time.monotonic() + _AFTER_LOSS_S
        while time.monotonic() < until:
            self.look()
            time.sleep(_LOOK_EVERY_S)
        raise ComputeError(
            f"Rank {self.rank} of {self.n_ranks} lost the connection to another rank, which died "
            "or whose computer is out of reach. Continue the job from its last iteration."
        ) from error


def _bytes_of(value: object) -> Tensor:
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    return torch.from_numpy(np.frombuffer(bytearray(data), np.uint8))


def _value_of(payload: Tensor) -> object:
    return pickle.loads(payload.numpy().data)
