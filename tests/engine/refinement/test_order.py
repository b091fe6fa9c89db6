"""Which particles an iteration takes, and in which order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

import refinement_replay as replays
from vitreous.engine.ctf import Defocus, Optics
from vitreous.engine.refinement import order
from vitreous.engine.refinement.data import Data
from vitreous.engine.refinement.settings import Settings
from vitreous.engine.refinement.state import Schedule

N = 1000
ALL = Schedule(iteration=4)
BATCH = Schedule(iteration=4, subset_size=200)
SETTINGS = Settings(seed=7)


def _unread(rows: np.ndarray) -> torch.Tensor:
    message = "choosing particles must not read images"
    raise AssertionError(message)


def _data(identity: np.ndarray | None = None) -> Data:
    names = np.arange(N) if identity is None else identity
    groups = (names * 7919 % 3).astype(np.int64)
    optics = Optics.of(pixel_size_A=1.0, box_px=32)
    return Data(optics, Defocus.of(torch.ones(N)), groups, np.zeros(3, bool), names, _unread)


def test_every_particle_comes_once_and_groups_stay_together() -> None:
    data, assignments = _data(), replays.assignments_of(N)
    rows = order.particles(data, assignments, ALL, SETTINGS)
    assert sorted(rows) == list(range(N))
    assert (np.diff(data.optics_group[rows]) >= 0).all()
    first = rows[data.optics_group[rows] == 0]
    assert abs(np.corrcoef(first, np.arange(len(first)))[0, 1]) < 0.2


def test_halves_share_particles_and_mini_batches() -> None:
    data, assignments = _data(), replays.assignments_of(N)
    halves = [order.particles(data, assignments, ALL, SETTINGS, half) for half in (0, 1)]
    assert sorted(np.concatenate(halves)) == list(range(N))
    for half in (0, 1):
        rows = order.particles(data, assignments, BATCH, SETTINGS, half)
        assert len(rows) == 100
        assert (assignments.half[rows] == half).all()


def test_the_order_belongs_to_the_particles_not_to_their_rows() -> None:
    mixed = np.random.default_rng(3).permutation(N)
    plain, other = _data(), _data(mixed)
    assignments = replays.assignments_of(N)
    for schedule in (ALL, BATCH):
        rows = order.shuffled(plain, assignments, schedule, SETTINGS)
        again = order.shuffled(other, assignments, schedule, SETTINGS)
        assert (plain.identity[rows] == other.identity[again]).all()


def test_mini_batches_are_drawn_anew_and_the_full_order_once() -> None:
    data, assignments = _data(), replays.assignments_of(N)

    def rows(schedule: Schedule, settings: Settings = SETTINGS) -> set[int]:
        return set(order.particles(data, assignments, schedule, settings).tolist())

    later = replace(BATCH, iteration=5)
    assert len(rows(BATCH)) == 200
    assert rows(BATCH) == rows(BATCH)
    assert len(rows(BATCH) & rows(later)) < 80  # 40 by chance
    assert rows(BATCH) != rows(BATCH, replace(SETTINGS, seed=8))
    first = order.shuffled(data, assignments, ALL, SETTINGS)
    next_ = order.shuffled(data, assignments, replace(ALL, iteration=5), SETTINGS)
    assert (first == next_).all()
