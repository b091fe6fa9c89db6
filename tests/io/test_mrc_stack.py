"""Stacks that grow: whole at every moment, also when the writer is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from vitreous.errors import InputError
from vitreous.io import StackWriter, append_images, read_header, read_mrc, rewrite_images, write_mrc


@pytest.mark.parametrize("float16", [False, True])
def test_batches_become_one_valid_stack(tmp_path: Path, float16: bool):
    images = np.random.default_rng(0).normal(3, 2, (10, 8, 6)).astype(np.float32)
    path = tmp_path / "a.mrcs"
    with StackWriter(path, (8, 6), 1.5, float16=float16) as stack:
        stack.write(images[:4])
        stack.write(images[4])
        stack.write(images[5:5])
        stack.write(images[5:])
        assert not path.exists()
        assert stack.n_written == 10
    found, header = read_mrc(path)
    np.testing.assert_allclose(found.astype(np.float32), images, rtol=1e-3 if float16 else 0)
    assert header.pixel_size_A == 1.5
    assert mrcfile.validate(path)


def test_a_failed_writer_leaves_the_old_stack_and_nothing_else(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    write_mrc(path, np.ones((2, 4, 4)), 1)
    before = path.read_bytes()

    def fail() -> None:
        with StackWriter(path, (4, 4), 1) as stack:
            stack.write(np.zeros((3, 4, 4)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_wrong_shapes_overflow_and_emptiness_are_refused(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    with (
        pytest.raises(InputError, match=r"shape \(5, 4\) do not fit"),
        StackWriter(path, (4, 4), 1) as stack,
    ):
        stack.write(np.zeros((1, 5, 4)))
    with (
        pytest.raises(InputError, match="images from 1 on: values run"),
        StackWriter(path, (4, 4), 1, float16=True) as stack,
    ):
        stack.write(np.full((1, 4, 4), 1e6))
    with pytest.raises(InputError, match="without images"), StackWriter(path, (4, 4), 1):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0, 1, 2, 6, 12, 101])
def test_images_are_added_in_the_type_of_the_stack(tmp_path: Path, mode: int):
    path = tmp_path / "a.mrcs"
    first, second = np.full((2, 4, 4), 3), np.full((3, 4, 4), 9)
    write_mrc(path, first, 1.5, mode=mode)
    assert append_images(path, second) == 5
    found, header = read_mrc(path)
    np.testing.assert_array_equal(found, np.concatenate([first, second]))
    assert (header.mode, header.pixel_size_A) == (mode, 1.5)
    both = np.concatenate([first, second])
    statistics = header.statistics
    assert (statistics.minimum, statistics.maximum) == (3, 9)
    assert statistics.mean == pytest.approx(both.mean())
    assert statistics.rms == pytest.approx(both.std())
    if mode != 101:
        assert mrcfile.validate(path)


def test_images_that_do_not_fit_are_not_added(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    write_mrc(path, np.zeros((2, 4, 4)), 1, mode=12)
    before = path.read_bytes()
    for wrong in (np.zeros((1, 4, 5)), np.full((1, 4, 4), 1e9), np.full((1, 4, 4), np.nan)):
        with pytest.raises(InputError, match=r"a\.mrcs"):
            append_images(path, wrong)
    assert append_images(path, np.zeros((0, 4, 4))) == 2
    assert path.read_bytes() == before


def test_what_a_killed_writer_left_behind_the_last_image_is_written_over(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    write_mrc(path, np.ones((2, 4, 4)), 1)
    with path.open("ab") as stream:
        stream.write(b"\xff" * 100)
    assert read_mrc(path)[0].shape[0] == 2
    append_images(path, np.full((1, 4, 4), 7))
    np.testing.assert_array_equal(read_mrc(path)[0][2], 7)


def test_images_are_changed_in_place(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    write_mrc(path, np.zeros((5, 4, 4)), 1)
    rewrite_images(path, 2, np.full((2, 4, 4), 8))
    np.testing.assert_array_equal(read_mrc(path)[0][:, 0, 0], [0, 0, 8, 8, 0])
    with pytest.raises(InputError, match="images 5 to 6 are not all in the stack, which has 5"):
        rewrite_images(path, 4, np.zeros((2, 4, 4)))


APPENDER = """
import sys, numpy as np
from vitreous.io import append_images
number = 2
print("ready", flush=True)
while True:
    append_images(sys.argv[1], np.full((3, 64, 64), number, np.float32))
    number += 1
"""


def test_killed_at_any_moment_the_stack_is_whole(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    rng = np.random.default_rng(0)
    for _ in range(5):
        write_mrc(path, np.ones((3, 64, 64)), 1)
        process = subprocess.Popen([sys.executable, "-c", APPENDER, str(path)], stdout=-1)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + 0.1 * rng.random())
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        found, header = read_mrc(path)
        n = header.shape[0]
        assert n % 3 == 0
        np.testing.assert_array_equal(found[:, 0, 0], np.repeat(np.arange(1, n // 3 + 1), 3))
        np.testing.assert_array_equal(found.min(axis=(1, 2)), found.max(axis=(1, 2)))


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path):
    path = tmp_path / "a.mrcs"
    write_mrc(path, np.zeros((1, 16, 16)), 1)
    code = (
        "import sys, numpy as np\nfrom vitreous.io import append_images\n"
        "for i in range(10): append_images(sys.argv[1], np.full((1, 16, 16), float(sys.argv[2])))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)])
        for number in (1, 2, 3)
    ]
    assert [process.wait() for process in processes] == [0, 0, 0]
    found, _ = read_mrc(path)
    assert np.bincount(found[:, 5, 5].astype(int)).tolist() == [1, 10, 10, 10]
    assert read_header(path).shape[0] == 31
