"""Ranks of a refinement exchange what they have, and none waits for ever for one that died."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import fields

import numpy as np
import pytest
import torch

from distributed.ranks_together import KILLED, together
from vitreous.distributed import sums as sums_module
from vitreous.distributed import team as team_module
from vitreous.distributed.one_reader import one_reads_for_all
from vitreous.distributed.shared_memory import shared_floats
from vitreous.distributed.signs import Signs
from vitreous.distributed.sums import add_up
from vitreous.distributed.team import Team
from vitreous.engine.projection import Accumulator
from vitreous.engine.refinement.statistics import Statistics, Sums
from vitreous.errors import ComputeError, EnvironmentMissing, InputError
from vitreous.project import markers
from vitreous.project.pipeline import Status

BOX = 12


class StoppedError(Exception):
    """Somebody asked for an end."""


def sums_of(rank, *, double=False):
    """Return sums that hang on the rank: two classes, with a pair of grids each."""
    chance = torch.Generator().manual_seed(rank)

    def accumulator():
        one = Accumulator(BOX, 2)
        one.grid[..., :3] = torch.randn(one.grid[..., :3].shape, generator=chance)
        if double:
            one.use_double_()
        return one

    def values(*shape):
        return torch.randn(shape, generator=chance, dtype=torch.float64)

    shapes = {"direction_weight": (2, 5), "class_offset": (2, 2), "group_weight": (2,)}
    shapes |= dict.fromkeys(("residual", "ctf2", "ctf2_weight"), (2, 7))
    scalars = ("offset2", "total_weight", "log_likelihood", "pmax", "n_particles")
    statistics = Statistics(
        **{
            f.name: values(*(() if f.name in scalars else shapes.get(f.name, (3,))))
            for f in fields(Statistics)
        }
    )
    return Sums(statistics, tuple((accumulator(), accumulator()) for _ in range(2)))


def plain(found):
    """Return sums as arrays that can travel."""
    if found is None:
        return None
    grids = [one.grid[..., :3].double().numpy() for pair in found.references for one in pair]
    return [getattr(found.statistics, f.name).numpy() for f in fields(Statistics)] + grids


def test_one_process_needs_no_launcher():
    with Team(environ={}) as team:
        assert team.leads
        assert team.share("value") == "value"
        assert team.gather(3) == [3]
        assert team.on_this_computer == (0,)
        assert team.signs is None
        given = sums_of(0)
        assert add_up(team, given, [0]) is given


def exchange(rank, n_ranks):
    with Team(rank, n_ranks) as team:
        first = team.share({"from": rank, "array": np.arange(5)})
        everything = team.gather("x" * rank)
        again = team.share(len(everything))
        return first["from"], first["array"].tolist(), everything, again, team.on_this_computer


def test_values_go_from_the_first_to_all_and_from_all_to_the_first(tmp_path):
    found = together(3, tmp_path, exchange)
    assert [one[:2] for one in found] == [(0, [0, 1, 2, 3, 4])] * 3
    assert [one[2] for one in found] == [["", "x", "xx"], [], []]
    assert [one[3:] for one in found] == [(3, (0, 1, 2))] * 3
    # torch takes its own file away when the last rank ends, mostly.
    assert [one for one in tmp_path.iterdir() if not one.name.startswith(".rendezvous")] == []


def summed(rank, n_ranks, folder, members, doubles):
    sums_module._SLAB_BYTES = 4000  # many slabs
    with Team(rank, n_ranks) as team:
        mine = sums_of(rank, double=rank in doubles) if rank in {0, *members} else None
        disk = team.signs.folder if folder else None
        return plain(add_up(team, mine, members, disk=disk))


@pytest.mark.parametrize(
    ("members", "doubles"), [((0, 1, 2), ()), ((1, 2), ()), ((0, 2), (2,)), ((0, 1, 2), (0, 1))]
)
def test_sums_of_ranks_are_their_sum_over_the_network_and_through_the_disk(
    tmp_path, members, doubles
):
    network = together(3, tmp_path, summed, False, members, doubles)
    disk = together(3, tmp_path, summed, True, members, doubles)
    assert network[1:] == disk[1:] == [None, None]
    parts = [plain(sums_of(rank)) for rank in sorted({0, *members})]
    for place, (one, other) in enumerate(zip(network[0], disk[0], strict=True)):
        expected = sum(part[place] for part in parts)
        assert np.allclose(one, expected, rtol=0, atol=1e-6)
        assert np.allclose(one, other, rtol=0, atol=1e-6)
    assert list(tmp_path.iterdir()) == []


def damaged(rank, n_ranks):
    team_module._AFTER_LOSS_S = 0.1
    write = sums_module._written

    def written(file, pieces):
        checksums = write(file, pieces)
        with file.open("r+b") as stream:
            stream.seek(100)
            stream.write(b"\x7f")
        return checksums

    sums_module._written = written
    with Team(rank, n_ranks) as team:
        return plain(add_up(team, sums_of(rank), [0, 1], disk=team.signs.folder))


def test_a_damaged_file_of_sums_is_refused_and_nobody_hangs(tmp_path):
    first, second = together(2, tmp_path, damaged)
    assert isinstance(first, ComputeError)
    assert "sums1.bin: the sums that another rank wrote are damaged" in str(first)
    assert isinstance(second, ComputeError)


def one_dies(rank, n_ranks):
    team_module._AFTER_LOSS_S = 0.1
    with Team(rank, n_ranks) as team:
        team.share(0)
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        team.gather(rank)


def test_a_rank_that_is_killed_leaves_no_other_waiting(tmp_path):
    began = time.monotonic()
    first, second, third = together(3, tmp_path, one_dies)
    assert second == KILLED
    for one in (first, third):
        assert isinstance(one, ComputeError)
        assert "lost the connection to another rank" in str(one)
        assert "GLHF" not in str(one)
        assert "Continue the job from its last iteration" in str(one)
    assert time.monotonic() - began < 60


def stopped_while_waiting(rank, n_ranks):
    asked = []

    def on_wait():
        asked.append(1)
        if rank == 1 and len(asked) > 3:
            raise StoppedError

    team_module._AFTER_LOSS_S = 0.1
    with Team(rank, n_ranks, on_wait=on_wait) as team:
        if rank == 0:
            time.sleep(1.5)
        team.share(0)


def test_a_rank_that_waits_can_be_stopped(tmp_path):
    assert isinstance(together(2, tmp_path, stopped_while_waiting)[1], StoppedError)


def test_without_a_file_to_meet_the_remedy_is_told():
    with pytest.raises(EnvironmentMissing, match="vitreous exec"), Team(1, 2, environ={}):
        pass


def signs_in(folder, rank=0):
    signs = Signs(folder / ".rendezvous_7", rank, 2, silent_s=100)
    signs.begin()
    return signs


def test_a_rank_without_signs_is_lost(tmp_path):
    mine, other = signs_in(tmp_path), signs_in(tmp_path, 1)
    mine.require_all()
    other.end()
    long_ago = time.time() - 200
    os.utime(mine.folder / "rank1", (long_ago, long_ago))
    with pytest.raises(ComputeError, match="rank 1 of 2 gave no sign for 100 s"):
        mine.require_all()
    mine.end()
    mine.forget()
    assert list(tmp_path.iterdir()) == []


def test_an_end_that_another_rank_left_is_noticed(tmp_path):
    mine = signs_in(tmp_path)
    markers.write_marker(tmp_path, Status.FAILED)
    with pytest.raises(ComputeError, match="was ended \\(failed\\) by another rank"):
        mine.require_all()
    mine.end()


def test_what_killed_starts_left_is_removed(tmp_path):
    (tmp_path / ".ranks_6").mkdir()
    (tmp_path / ".ranks_6/sums1.bin").write_bytes(b"old")
    signs_in(tmp_path).end()
    assert [path.name for path in tmp_path.iterdir()] == [".ranks_7"]


def read_by_one(rank, n_ranks):
    asked = []

    def read(rows):
        asked.append(len(rows))
        if (rows < 0).any():
            message = "stack.mrcs: there is no such image"
            raise InputError(message)
        return torch.from_numpy(rows).float()[:, None, None] * torch.ones(3, 3)

    with Team(rank, n_ranks) as team, one_reads_for_all(team, read) as shared:
        images = [shared(np.arange(k) + 10 * rank) for k in (1, 4, 0)]
        try:
            shared(np.array([-1]))
            refusal = ""
        except InputError as error:
            refusal = str(error)
        return [one.numpy() for one in images], refusal, len(asked)


def test_one_rank_reads_for_all_and_tells_what_is_wrong(tmp_path):
    found = together(3, tmp_path, read_by_one)
    for rank, (images, refusal, _) in enumerate(found):
        assert [one.shape for one in images] == [(1, 3, 3), (4, 3, 3), (0, 3, 3)]
        assert images[1][:, 0, 0].tolist() == [10 * rank + k for k in range(4)]
        assert refusal == "stack.mrcs: there is no such image"
    assert found[1][2] == found[2][2] == 0


def write_shared(rank, n_ranks):
    with Team(rank, n_ranks) as team:
        room = shared_floats(team, 6)
        room[2 * rank : 2 * rank + 2] = rank + 1
        team.wait_for_all()
        return room.tolist()


def test_ranks_of_one_computer_see_the_same_memory(tmp_path):
    assert together(3, tmp_path, write_shared) == [[1, 1, 2, 2, 3, 3]] * 3
