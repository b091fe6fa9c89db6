"""Copies on a scratch disk: used, shared, kept, wiped, never more than they may."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from dataset.refinement.conftest import BOX, N, particles_in
from vitreous.dataset.refinement import data_of
from vitreous.dataset.refinement.machine import Machine
from vitreous.dataset.refinement.scratch import on_scratch
from vitreous.errors import EnvironmentMissing, InputError

ALL = np.arange(N)


@pytest.fixture
def scratch(tmp_path):
    (tmp_path / "ssd").mkdir()
    return tmp_path / "ssd"


def machine(scratch, **more):
    return Machine(scratch_folder=str(scratch), keep_free_MiB=0.0, **more)


def images(particles):
    data = data_of(particles)
    groups = [ALL[data.optics_group == group] for group in (0, 1)]
    return torch.cat([data.read(rows) for rows in groups])


def files(scratch):
    return sorted(path.name for path in (scratch / "relion_volatile").iterdir())


def test_images_come_from_the_copy_and_it_goes_at_the_end(scratch, tmp_path):
    particles = particles_in(tmp_path)
    before = images(particles)
    counted = []
    with on_scratch(particles, machine(scratch), session="a", each=counted.append) as copy:
        assert (copy.n_copied, copy.was_there, sum(counted)) == (N, False, N)
        assert files(scratch) == [
            "opticsgroup1_particles.mrcs", "opticsgroup2_particles.mrcs", "particles.json",
        ]  # fmt: skip
        shutil.rmtree(tmp_path / "stacks")
        assert torch.equal(images(copy.particles), before)
        mode = (scratch / "relion_volatile").stat().st_mode
        assert mode & stat.S_IWOTH
    assert not (scratch / "relion_volatile").exists()


def test_without_a_folder_and_with_images_in_memory_there_is_no_copy(scratch, tmp_path):
    particles = particles_in(tmp_path)
    for chosen in (Machine(), machine(scratch, preread=True)):
        with on_scratch(particles, chosen, session="a") as copy:
            assert (copy.particles, copy.n_copied) == (particles, 0)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("room", [0, 1, 5, N])
def test_what_does_not_fit_is_read_from_where_it_was(room, scratch, tmp_path, monkeypatch):
    particles = particles_in(tmp_path)
    before = images(particles)
    free = 4 * BOX * BOX * room + 10 + 3 * 2**20
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    chosen = Machine(scratch_folder=str(scratch), keep_free_MiB=3.0)
    with on_scratch(particles, chosen, session="a") as copy:
        assert copy.n_copied == room
        names = copy.particles.table["rlnImageName"].tolist()
        assert [str(scratch) in name for name in names] == [row < room for row in range(N)]
        assert torch.equal(images(copy.particles), before)


def test_a_disk_that_fills_while_copying(scratch, tmp_path, monkeypatch):
    particles = particles_in(tmp_path)
    before = images(particles)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitreous.io.mrc_stack.StackWriter.write", full)
    with on_scratch(particles, machine(scratch), session="a") as copy:
        assert copy.n_copied == 0
        assert torch.equal(images(copy.particles), before)


def test_a_kept_copy_is_used_again_for_the_same_images_only(scratch, tmp_path):
    particles = particles_in(tmp_path)
    keeping = machine(scratch, keep_scratch=True)
    with on_scratch(particles, keeping, session="a"):
        pass
    reusing = machine(scratch, keep_scratch=True, reuse_scratch=True)
    with on_scratch(particles, reusing, session="b") as copy:
        assert (copy.was_there, copy.n_copied) == (True, N)
        assert torch.equal(images(copy.particles), images(particles))
    with on_scratch(particles.select(ALL[:6]), reusing, session="c") as copy:
        assert (copy.was_there, copy.n_copied) == (False, 6)
    os.utime(tmp_path / "stacks/a.mrcs", (1, 1))
    with on_scratch(particles.select(ALL[:6]), reusing, session="d") as copy:
        assert not copy.was_there


def test_an_old_copy_is_wiped(scratch, tmp_path):
    particles = particles_in(tmp_path)
    (scratch / "relion_volatile").mkdir()
    (scratch / "relion_volatile/opticsgroup9_particles.mrcs").touch()
    with on_scratch(particles, machine(scratch), session="a"):
        assert "opticsgroup9_particles.mrcs" not in files(scratch)


def test_nothing_else_is_ever_deleted(scratch, tmp_path):
    particles = particles_in(tmp_path)
    volatile = scratch / "relion_volatile"
    volatile.mkdir()
    (volatile / "thesis.tex").touch()
    (volatile / "opticsgroup1_particles.mrcs").touch()
    with (
        pytest.raises(InputError, match=r"holds thesis\.tex, which is no copy of particles"),
        on_scratch(particles, machine(scratch), session="a"),
    ):
        pass
    assert files(scratch) == ["opticsgroup1_particles.mrcs", "thesis.tex"]
    shutil.rmtree(volatile)
    (tmp_path / "data").mkdir()
    volatile.symlink_to(tmp_path / "data")
    with (
        pytest.raises(InputError, match="is not a folder"),
        on_scratch(particles, machine(scratch), session="a"),
    ):
        pass


def test_a_run_that_fails_leaves_its_copy_for_the_next(scratch, tmp_path):
    particles = particles_in(tmp_path)
    with (
        pytest.raises(RuntimeError, match="out of luck"),
        on_scratch(particles, machine(scratch), session="a"),
    ):
        raise RuntimeError("out of luck")
    again = machine(scratch, reuse_scratch=True)
    with on_scratch(particles, again, session="b") as copy:
        assert copy.was_there
    assert not (scratch / "relion_volatile").exists()


def test_a_copy_that_was_stopped_is_made_anew(scratch, tmp_path):
    particles = particles_in(tmp_path)

    def stop(_):
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        on_scratch(particles, machine(scratch), session="a", each=stop),
    ):
        pass
    with on_scratch(particles, machine(scratch, reuse_scratch=True), session="b") as copy:
        assert not copy.was_there


def test_processes_of_one_run_share_a_copy(scratch, tmp_path):
    particles = particles_in(tmp_path)
    made, together = [], threading.Barrier(3)

    def process():
        with on_scratch(particles, machine(scratch), session="run 1") as copy:
            made.append(not copy.was_there)
            assert torch.equal(images(copy.particles), before)
            together.wait(30)

    before = images(particles)
    threads = [threading.Thread(target=process) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, True]
    assert not (scratch / "relion_volatile").exists()


def test_a_copy_that_another_job_reads_is_not_wiped(scratch, tmp_path):
    particles = particles_in(tmp_path)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_scratch(particles, machine(scratch), session="one"))
        with (
            pytest.raises(EnvironmentMissing, match="in use by another job"),
            on_scratch(particles, machine(scratch), session="two"),
        ):
            pass
        assert len(files(scratch)) == 3


def test_a_folder_that_cannot_be_used(scratch, tmp_path):
    particles = particles_in(tmp_path)
    with (
        pytest.raises(EnvironmentMissing, match="cannot be used: No such file"),
        on_scratch(particles, machine(scratch / "none"), session="a"),
    ):
        pass
    assert not Path(scratch / "none").exists()


def test_a_folder_that_may_not_be_written_is_told(tmp_path):
    # Nobody, not even root, makes a folder there.
    with (
        pytest.raises(EnvironmentMissing, match="cannot be used"),
        on_scratch(particles_in(tmp_path), machine(Path("/proc/self")), session="a"),
    ):
        pass
