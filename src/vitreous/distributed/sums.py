"""The sums of an expectation step, added over ranks into those of the first.

They travel in slabs, so that no rank needs room for a second grid: over the network, or through
checksummed files in the job folder (``combine through disc``). Both add the same numbers.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from vitreous.distributed.team import Team
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.errors import ComputeError

_SLAB_BYTES: Final = 64 << 20
_USED: Final = 3  # real part, imaginary part, weight; the fourth number of a grid is room only


def add_up(
    team: Team, sums: Sums | None, members: Sequence[int], *, disk: Path | None = None
) -> Sums | None:
    """Add the sums of several ranks; all ranks of the team call this.

    Parameters
    ----------
    team
        All ranks.
    sums
        Of this rank, used up; sums of nothing on the first rank where it has no share, and None
        on others without.
    members
        The ranks with a share.
    disk
        A folder that all see: go through files there, instead of over the network.

    Returns
    -------
    Sums or None
        The total, on the first rank.

    Raises
    ------
    ComputeError
        A file is not what its rank wrote.
    """
    members = sorted({0, *members})
    if len(members) == 1:
        return sums
    grids = [] if sums is None else [one for pair in sums.references for one in pair]
    doubles = team.any_([one.grid.dtype == torch.float64 for one in grids], members)
    for grid, is_double in zip(grids, doubles, strict=True):
        if is_double:
            grid.use_double_()
    packed = torch.empty(0) if sums is None else _packed(sums.statistics)
    pieces = _pieces(packed, grids) if sums is not None else iter(())
    if disk is None:
        _over_network(team, pieces, members)
    else:
        _through_disk(team, pieces, members, disk)
    if sums is None or not team.leads:
        return None
    return Sums(_unpacked(packed, sums.statistics), sums.references)


def _packed(statistics: Statistics) -> Tensor:
    return torch.cat([getattr(statistics, f.name).flatten() for f in fields(statistics)])


def _unpacked(packed: Tensor, like: Statistics) -> Statistics:
    found, start = {}, 0
    for f in fields(like):
        old: Tensor = getattr(like, f.name)
        found[f.name] = packed[start : start + old.numel()].reshape(old.shape)
        start += old.numel()
    return Statistics(**found)


def _pieces(packed: Tensor, grids: Sequence[Accumulator]) -> Iterator[Tensor]:
    """Yield views of all that is summed, in the same order and of the same sizes on all ranks."""
    yield packed
    for one in grids:
        grid = one.grid[..., :_USED]
        step = max(1, _SLAB_BYTES // (grid[0].numel() * grid.element_size()))
        for start in range(0, len(grid), step):
            yield grid[start : start + step]


def _over_network(team: Team, pieces: Iterator[Tensor], members: Sequence[int]) -> None:
    for piece in pieces:
        # A copy: what others give is overwritten, and slabs are not contiguous.
        copy = piece.to("cpu", copy=True, memory_format=torch.contiguous_format)
        team.add_up_(copy, members)
        if team.leads:
            piece.copy_(copy)


def _through_disk(
    team: Team, pieces: Iterator[Tensor], members: Sequence[int], folder: Path
) -> None:
    """Let every rank write its sums to a file, and the first add the files."""
    file, checksums = folder / f"sums{team.rank}.bin", []
    if team.rank in members and not team.leads:
        checksums = _written(file, pieces)
    told = team.gather(checksums)
    if team.leads:
        others = [_Sums(folder / f"sums{rank}.bin", told[rank]) for rank in members if rank]
        for piece in pieces:
            for other in others:
                piece.add_(other.next(piece).to(piece.device))
    team.wait_for_all()
    file.unlink(missing_ok=True)


def _written(file: Path, pieces: Iterator[Tensor]) -> list[int]:
    checksums = []
    with file.open("wb") as stream:
        for piece in pieces:
            data = np.ascontiguousarray(piece.cpu().numpy())
            stream.write(data.data)
            checksums.append(zlib.crc32(data.data))
        stream.flush()
    return checksums


class _Sums:
    """The file of another rank, read slab by slab."""

    def __init__(self, file: Path, checksums: Sequence[int]) -> None:
        self._file, self._checksums = file, list(checksums)
        self._data = np.memmap(file, np.uint8, "r")
        self._at = 0

    def next(self, like: Tensor) -> Tensor:
        """Return the next slab, of the shape and the type of ours."""
        n_bytes = like.numel() * like.element_size()
        data = np.array(self._data[self._at : self._at + n_bytes])
        self._at += n_bytes
        if zlib.crc32(data.data) != self._checksums.pop(0):
            raise ComputeError(
                f"{self._file}: the sums that another rank wrote are damaged or not whole. Look "
                "after the disk, or set Combine iterations through the disk to No; then continue "
                "the job from its last iteration."
            )
        return torch.from_numpy(data).view(like.dtype).reshape(like.shape)
