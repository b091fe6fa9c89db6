"""Nothing is lost: kill -9, many writers, a full disk, a read-only folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import requirements
from vitreous.errors import ProjectError
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status
from vitreous.project.trash import delete, plan_delete

WRITER = Path(__file__).with_name("writer_that_dies.py")
ADD_25 = """
import sys
from vitreous.project.folder import ProjectFolder
from vitreous.project.pipeline import Status
folder = ProjectFolder(sys.argv[1])
for _ in range(25):
    with folder.edit("adding") as pipeline:
        print(pipeline.add_process("Extract", "relion.extract", Status.SCHEDULED).number)
"""


@pytest.fixture
def quick_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory where there is one: thousands of writes, whatever the disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_200_kills_at_random_moments_leave_a_whole_file_with_every_finished_job(
    quick_disk: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, str(WRITER), str(quick_disk / "p"), "200"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] is None
    assert told["kills"] == 200
    # The test means something only if writers got far and some died inside the lock.
    assert told["finished"] > 100
    assert told["locks"] > 20


def test_8_processes_adding_25_jobs_each_get_200_numbers(quick_disk: Path) -> None:
    folder = ProjectFolder.create(quick_disk / "p")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_25, str(folder.root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    told = [writer.communicate(timeout=120) for writer in writers]
    assert [error for _, error in told if error] == []
    numbers = [int(number) for output, _ in told for number in output.split()]
    assert sorted(numbers) == list(range(1, 201))
    pipeline = folder.read()
    assert sorted(process.number for process in pipeline) == sorted(numbers)
    assert pipeline.counter == 201
    assert not (folder.root / ".relion_lock").exists()
    assert all(folder.job_dir(name).is_dir() for name in pipeline.processes)


@contextlib.contextmanager
def mounted(target: Path, *options: str) -> Iterator[None]:
    requirements.need("root")
    target.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(target)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"this machine lets nobody mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def project_with_a_job(root: Path) -> ProjectFolder:
    folder = ProjectFolder.create(root)
    with folder.edit("x") as pipeline:
        pipeline.add_process("Import", "relion.import", Status.SUCCEEDED)
    return folder


def fill(path: Path, chunk: int) -> None:
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * chunk)


def add_jobs(folder: ProjectFolder, count: int, then: Callable[[], None] = lambda: None) -> None:
    with folder.edit("adding jobs") as pipeline:
        for _ in range(count):
            pipeline.add_process("Select", "relion.select", Status.RUNNING)
        then()


def test_a_full_disk_gives_a_clear_error_and_leaves_the_file(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=200k", "tmpfs"):
        folder = project_with_a_job(tmp_path / "small")
        before = folder.file.read_bytes()
        fill(tmp_path / "small/filler", 512)
        with pytest.raises(ProjectError, match=r"disk is full.*make room"):
            add_jobs(folder, 20)
        assert folder.file.read_bytes() == before
        with pytest.raises(ProjectError, match="disk is full"):
            delete(folder, plan_delete(folder, [1]))
        assert folder.file.read_bytes() == before
        assert folder.job_dir("Import/job001/").is_dir()
        (tmp_path / "small/filler").unlink()
        assert not (folder.root / ".relion_lock").exists()
        with folder.edit("z") as pipeline:
            pipeline.add_process("Select", "relion.select", Status.RUNNING)


def test_a_disk_that_fills_between_lock_and_write_leaves_the_file(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=200k", "tmpfs"):
        folder = project_with_a_job(tmp_path / "small")
        before = folder.file.read_bytes()
        with pytest.raises(ProjectError, match="disk is full"):
            add_jobs(folder, 1, then=lambda: fill(tmp_path / "small/filler", 4096))
        assert folder.file.read_bytes() == before
        assert not (folder.root / ".relion_lock").exists()
        assert list(folder.root.glob(".*.tmp")) == []


def test_a_read_only_folder_gives_a_clear_error_and_can_be_read(tmp_path: Path) -> None:
    folder = project_with_a_job(tmp_path / "p")
    before = folder.file.read_bytes()
    bound = tmp_path / "bound"
    with mounted(bound, "--bind", str(tmp_path / "p")):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(bound)], check=True)
        looking = ProjectFolder.open(bound)
        assert len(looking.read().processes) == 1
        with pytest.raises(ProjectError, match=r"read-only"), looking.edit("x"):
            pass
        with pytest.raises(ProjectError, match="read-only"):
            delete(looking, plan_delete(looking, [1]))
    assert folder.file.read_bytes() == before
