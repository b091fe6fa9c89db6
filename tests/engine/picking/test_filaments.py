"""Filaments are traced along their ridges and no further."""

from __future__ import annotations

import numpy as np

from vitreous.engine.picking import filaments


def _ridge(start: tuple[float, float], angle_deg: float, length: int) -> tuple[np.ndarray, ...]:
    y, x = np.indices((120, 140), np.float32)
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    along = (x - start[0]) * c + (y - start[1]) * s
    across = -(x - start[0]) * s + (y - start[1]) * c
    merit = np.exp(-((across / 2) ** 2)) * ((along >= 0) & (along <= length))
    return merit.astype(np.float32), np.full(merit.shape, -angle_deg, np.float32)


SEARCH = filaments.FilamentSearch(0.5, 5.0, 30.0, 0.02)


def test_a_straight_filament_is_one_track_of_its_length() -> None:
    merit, psi = _ridge((30, 30), 30, 80)
    tracks = filaments.trace(merit, psi, np.ones(merit.shape, bool), SEARCH)
    assert len(tracks) == 1
    assert abs(tracks[0].length - 80) < 6
    placed = filaments.segments(tracks, 10.0)
    assert 7 <= len(placed.places) <= 9
    np.testing.assert_allclose(placed.psi_deg % 180, 150, atol=4)
    np.testing.assert_allclose(np.diff(placed.along), 10)


def test_short_pieces_are_dropped() -> None:
    merit, psi = _ridge((30, 30), 10, 20)
    assert not filaments.trace(merit, psi, np.ones(merit.shape, bool), SEARCH)


def test_ends_come_in_pairs() -> None:
    merit, psi = _ridge((20, 60), 0, 90)
    tracks = filaments.trace(merit, psi, np.ones(merit.shape, bool), SEARCH)
    placed = filaments.ends(tracks)
    np.testing.assert_array_equal(placed.track, [0, 0])
    assert sorted(np.rint(placed.places[:, 0]).tolist())[0] <= 25
    assert sorted(np.rint(placed.places[:, 0]).tolist())[1] > 105


def test_a_broken_amyloid_is_bridged() -> None:
    merit, psi = _ridge((20, 60), 0, 100)
    merit[:, 60:64] = 0
    search = filaments.FilamentSearch(0.3, 5.0, 80.0, 0.02, is_amyloid=True)
    tracks = filaments.trace(merit, psi, np.ones(merit.shape, bool), search)
    assert len(tracks) == 1


def test_nothing_gives_nothing() -> None:
    empty = np.zeros((20, 20), np.float32)
    tracks = filaments.trace(empty, empty, np.ones(empty.shape, bool), SEARCH)
    assert not tracks
    assert len(filaments.segments(tracks, 3.0).places) == 0
    assert len(filaments.ends(tracks).places) == 0
