"""Micrographs are read into memory of those that were worked on."""

import numpy as np

from vitreous.io import read_image, write_mrc
from vitreous.programs.reused_memory import ReusedMemory


def written(path, shape, value, mode=2):
    write_mrc(path, np.full(shape, value, np.float32), 1.0, mode=mode)
    return path


def test_memory_that_was_given_back_takes_the_next_micrograph(tmp_path):
    memory = ReusedMemory()
    first = memory.read(written(tmp_path / "a.mrc", (6, 8), 1))
    second = memory.read(written(tmp_path / "b.mrc", (6, 8), 2))
    assert not np.shares_memory(first, second)
    memory.give_back(first)
    third = memory.read(written(tmp_path / "c.mrc", (6, 8), 3))
    assert np.shares_memory(first, third)
    assert (third == 3).all()
    assert (second == 2).all()


def test_micrographs_of_another_size_or_type_are_read_all_the_same(tmp_path):
    memory = ReusedMemory()
    for number, (shape, mode) in enumerate([((6, 8), 2), ((4, 8), 2), ((4, 8), 12), ((4, 8), 6)]):
        micrograph = memory.read(written(tmp_path / f"{number}.mrc", shape, number, mode))
        assert micrograph.shape == shape
        assert (micrograph == number).all()
        memory.give_back(micrograph)


def test_an_image_of_a_stack_is_read_into_memory(tmp_path):
    write_mrc(tmp_path / "s.mrcs", np.arange(24, dtype=np.float32).reshape(2, 3, 4), 1.0)
    memory = np.empty((3, 4), np.float32)
    found = read_image(f"2@{tmp_path}/s.mrcs", memory=memory)
    assert found.data is memory
    assert np.array_equal(memory, np.arange(12, 24).reshape(3, 4))
