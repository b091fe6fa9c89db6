"""Wherever images are read from, they are the same."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from dataset.refinement.conftest import BOX, N, particles_in
from distributed.ranks_together import together
from programs.fake_run import FakeRun
from vitreous.dataset.refinement import Machine, data_of, open_images
from vitreous.distributed.team import Team
from vitreous.errors import EnvironmentMissing, InputError

# Everything on, in the ways that go together.
WAYS = {
    "plain": {},
    "memory": {"preread": True},
    "one reader": {"parallel_reads": False},
    "memory through one reader": {"parallel_reads": False, "preread": True},
    "scratch": {"scratch_folder": "scratch"},
    "scratch through one reader": {"scratch_folder": "scratch", "parallel_reads": False},
    "pooled": {"n_pooled": 16},
}


def opened(rank, n_ranks, folder, ways):
    """Return for each way: images, what was said, and the folders on the scratch disk."""
    with Team(rank, n_ranks) as team:
        return {name: opened_in(team, folder, way) for name, way in ways.items()}


def opened_in(team, folder, way):
    with ExitStack() as until:
        run = FakeRun(folder, "Refine3D/job001/", rank=team.rank, n_ranks=team.n_ranks, n_threads=2)
        machine = Machine(**way, keep_free_MiB=0)
        first = (particles_in(folder), machine) if team.leads else ()
        images = open_images(until, team, run, *first)
        images.plan(np.arange(N))
        group = images.data.optics_group
        parts = [images.data.read(np.flatnonzero(group == g)).numpy() for g in np.unique(group)]
        there = sorted(path.name for path in Path("scratch").glob("relion_volatile/*"))
        team.wait_for_all()
    return parts, run.lines, there


def in_folder(rank, n_ranks, folder, ways):
    os.chdir(folder)
    return opened(rank, n_ranks, folder, ways)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    particles_in(tmp_path)
    return tmp_path


def expected(folder):
    data = data_of(particles_in(folder))
    group = data.optics_group
    return [data.read(np.flatnonzero(group == one)).numpy() for one in np.unique(group)]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("way", WAYS)
def test_one_process(folder, way):
    images, said, there = opened(0, 1, folder, {way: WAYS[way]})[way]
    assert same(images, expected(folder))
    assert ("particles.json" in there) == ("scratch" in way)
    assert list((folder / "scratch").glob("relion_volatile/*")) == []
    if "memory" in way:
        assert any(f"{N} x {BOX}² x 4 bytes = " in line for line in said)


def test_several_ranks(folder):
    some = {name: WAYS[name] for name in ("memory through one reader", "scratch", "one reader")}
    found = together(3, folder, in_folder, folder, some)
    right = expected(folder)
    for one in found:
        for name in some:
            assert same(one[name][0], right)
    assert "opticsgroup1_particles.mrcs" in found[2]["scratch"][2]
    assert list((folder / "scratch").glob("relion_volatile/*")) == []


def test_what_does_not_fit_on_the_scratch_disk_is_told(folder, monkeypatch):
    room = 4 * BOX * BOX * 10

    class Disk:
        free = room

    monkeypatch.setattr("vitreous.dataset.refinement.scratch.shutil.disk_usage", lambda _: Disk)
    images, said, _ = opened(0, 1, folder, {"scratch": WAYS["scratch"]})["scratch"]
    assert same(images, expected(folder))
    assert f"scratch: 10; {N - 10} did not fit and are read from where they were" in said[0]


def test_what_does_not_fit_into_memory_is_refused(folder, monkeypatch):
    monkeypatch.setattr("vitreous.dataset.refinement.in_memory.available_bytes", lambda: 1000)
    with pytest.raises(EnvironmentMissing, match="number x box² x 4 bytes"):
        opened(0, 1, folder, {"memory": WAYS["memory"]})


def test_another_folder_is_not_wiped(folder):
    (folder / "scratch/relion_volatile").mkdir()
    (folder / "scratch/relion_volatile/thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"):
        opened(0, 1, folder, {"scratch": WAYS["scratch"]})
    assert (folder / "scratch/relion_volatile/thesis.tex").read_text() == "years of work"
