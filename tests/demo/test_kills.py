"""Killed again and again, the demonstration ends as it does undisturbed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tools.kill_demo import Run, compared, is_equal

pytestmark = pytest.mark.timeout(7200)  # the first test waits for the demonstration


@pytest.mark.slow
def test_killed_at_random_it_ends_the_same(demo_folder: Path, tmp_path: Path) -> None:
    run = Run(tmp_path / "disturbed", random.Random(3), mean_s=6)
    run.until_done(at_most=4, patience_s=3500)
    assert len(run.kills) >= 3
    found = compared(demo_folder, run.folder)
    assert is_equal(found), (found, run.kills)


def test_two_ends_are_compared(demo_folder: Path) -> None:
    found = compared(demo_folder, demo_folder)
    assert is_equal(found)
    assert found["particles"] >= 100
    assert found["poses_alike_percent"] == 100
    assert not is_equal(found | {"same_particles": False})
    assert not is_equal(found | {"poses_alike_percent": 98.9})
    assert not is_equal(found | {"largest_fsc_difference": 0.02})
