"""Images kept in memory are those of the disk, and are refused where they do not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dataset.refinement.conftest import BOX, N, particles_in
from vitreous.dataset.refinement import data_of
from vitreous.dataset.refinement.in_memory import preread, preread_bytes
from vitreous.errors import EnvironmentMissing

ROWS = np.array([9, 3, 21, 3])


def test_images_are_read_once(tmp_path):
    data = data_of(particles_in(tmp_path))
    before = data.read(ROWS)
    counted = []
    kept = preread(data, each=counted.append, n_threads=2)
    assert sum(counted) == N
    (tmp_path / "stacks/a.mrcs").unlink()
    assert torch.equal(kept.read(ROWS), before)


def test_only_some_rows(tmp_path):
    data = data_of(particles_in(tmp_path))
    asked = []

    def read(rows):
        asked.extend(rows.tolist())
        return data.read(rows)

    kept = preread(replace(data, read=read), np.array([3, 9, 10]))
    assert sorted(asked) == [3, 9, 10]
    asked.clear()
    kept.read(np.array([9, 3]))
    assert asked == []
    assert torch.equal(kept.read(ROWS), data.read(ROWS))
    assert asked == ROWS.tolist()


def test_the_formula(tmp_path):
    data = data_of(particles_in(tmp_path))
    assert preread_bytes(data) == 4 * N * BOX * BOX
    assert preread_bytes(data, np.array([1, 2])) == 2 * 4 * BOX * BOX


def test_too_much_is_refused_with_the_formula(tmp_path, monkeypatch):
    data = data_of(particles_in(tmp_path))
    monkeypatch.setattr("vitreous.dataset.refinement.in_memory.available_bytes", lambda: 20_000)
    with pytest.raises(EnvironmentMissing, match="24 particles of 16 pixels take"):
        preread(data)


def test_a_value_that_is_no_number_passes_for_the_engine_to_skip(tmp_path):
    particles = particles_in(tmp_path)
    path = tmp_path / "stacks/a.mrcs"
    content = bytearray(path.read_bytes())
    content[1024 : 1024 + 4] = np.array([np.nan], np.float32).tobytes()
    path.write_bytes(content)
    image = data_of(particles).read(np.array([0]))
    assert torch.isnan(image).sum() == 1
