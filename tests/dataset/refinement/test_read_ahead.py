"""Images that are read ahead are those of the disk, whatever is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch

from dataset.refinement.conftest import BOX, N, particles_in
from vitreous.dataset.refinement import data_of
from vitreous.dataset.refinement.read_ahead import ReadAhead
from vitreous.errors import FormatError


@pytest.fixture
def data(tmp_path):
    return data_of(particles_in(tmp_path))


@pytest.fixture
def counted(data):
    """Data that tell what was read of them, and in which threads."""
    asked, threads = [], set()

    def read(rows):
        asked.append(rows.tolist())
        threads.add(threading.current_thread())
        return data.read(rows)

    return replace(data, read=read), asked, threads


@pytest.mark.parametrize("chunk", [1, 5, 7, 24])
@pytest.mark.parametrize("most_bytes", [1, 4 * BOX * BOX * 10, 1 << 30])
def test_chunks_of_any_size_are_what_the_disk_gives(data, counted, chunk, most_bytes):
    slow, asked, threads = counted
    ahead = ReadAhead(slow, most_bytes=most_bytes)
    ahead._n_together = 4
    order = np.random.default_rng(1).permutation(N)
    ahead.plan(order)
    group = data.optics_group[order]
    for one in np.unique(group):
        rows = order[group == one]
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            assert torch.equal(ahead.read(part), data.read(part))
    ahead.close()
    assert sorted(chain(*asked)) == list(range(N))
    assert max(map(len, asked)) <= 4
    assert threading.current_thread() not in threads


def test_it_reads_before_it_is_asked_and_no_more_than_there_is_room_for(data, counted):
    slow, asked, _ = counted
    ahead = ReadAhead(slow, most_bytes=4 * BOX * BOX * 8)
    ahead._n_together = 4
    ahead.plan(np.arange(N))
    ahead._thread.submit(lambda: None).result()  # when all that was asked for is done
    assert sum(map(len, asked)) == 8
    assert torch.equal(ahead.read(np.arange(3)), data.read(np.arange(3)))
    ahead.close()


def test_what_was_not_planned_is_read_at_once(data):
    ahead = ReadAhead(data)
    rows = np.array([9, 3, 9])
    assert torch.equal(ahead.read(rows), data.read(rows))
    ahead.plan(np.arange(N))
    assert torch.equal(ahead.read(rows), data.read(rows))
    assert torch.equal(ahead.read(np.arange(5)), data.read(np.arange(5)))
    ahead.plan(np.arange(6, 12))  # a new plan replaces the old
    assert torch.equal(ahead.read(np.arange(6, 12)), data.read(np.arange(6, 12)))
    ahead.close()


def test_what_cannot_be_read_is_told_to_who_asks(tmp_path, data):
    (tmp_path / "stacks/a.mrcs").write_bytes(b"not a stack")
    ahead = ReadAhead(data)
    ahead.plan(np.arange(N))
    with pytest.raises(FormatError, match=r"a\.mrcs"):
        ahead.read(np.arange(4))
    ahead.close()
