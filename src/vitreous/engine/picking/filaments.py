"""Filaments traced along the ridges of figures of merit (preprocessing.md section 6).

A filament runs along x in a reference, so a place whose best angle is psi has a filament in the
direction ``(cos psi, -sin psi)``. A track starts at the best place left and goes both ways in small
steps; each step may turn no more than the curvature allows and goes where the merit is best. It
ends where the merit falls below the threshold, and what lies within a tube radius is erased.

NumPy holds the planes that a track walks over, pixel by pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Points = NDArray[np.float64]

_TURNS = 7  # directions tried at each step
_MAX_STEPS = 10_000
_GAP_STEPS = 2  # so many weak steps in a row do not end a track


@dataclass(frozen=True)
class FilamentSearch:
    """What counts as a filament; lengths in work pixels.

    Parameters
    ----------
    threshold
        Smallest figure of merit.
    tube_radius
        Half of the tube diameter: two filaments are at least so far apart.
    min_length
        Shorter tracks are dropped.
    turn_per_pixel
        Largest curvature, in radians for each pixel.
    is_amyloid
        Average the merit along the filament first: narrow filaments are found by their length, not
        by a single place.
    """

    threshold: float
    tube_radius: float
    min_length: float
    turn_per_pixel: float
    is_amyloid: bool = False


@dataclass(frozen=True)
class Track:
    """One filament: points x y along its axis, in work pixels, and its mean merit."""

    points: Points
    merit: float

    @property
    def length(self) -> float:
        """Length along the axis."""
        return float(np.linalg.norm(np.diff(self.points, axis=0), axis=1).sum())


@dataclass(frozen=True)
class Segments:
    """Places along filaments.

    Parameters
    ----------
    places
        ``n 2``, x y.
    psi_deg
        ``n``: minus the angle of the axis from x to y.
    track
        ``n``: number of the filament from 0.
    along
        ``n``: distance from the start of the filament.
    """

    places: Points
    psi_deg: Points
    track: NDArray[np.int64]
    along: Points


def trace(
    merit: Plane, psi_deg: Plane, allowed: NDArray[np.bool_], s: FilamentSearch
) -> list[Track]:
    """Find the filaments of a micrograph, best first.

    Parameters
    ----------
    merit, psi_deg
        ``y x``: best figure of merit, and its angle.
    allowed
        ``y x``: where filaments may lie.
    """
    ridge = _along_axis(merit, psi_deg, s) if s.is_amyloid else merit
    left = np.where(allowed, ridge, -np.inf)
    tracks: list[Track] = []
    order = np.argsort(-left, axis=None)
    for flat in order[: int((left >= s.threshold).sum())]:
        y, x = divmod(int(flat), left.shape[1])
        if not left[y, x] >= s.threshold:
            continue
        psi = np.deg2rad(float(psi_deg[y, x]))
        direction = np.array([np.cos(psi), -np.sin(psi)])
        start = np.array([float(x), float(y)])
        ahead, behind = _walk(left, start, direction, s), _walk(left, start, -direction, s)
        points = np.concatenate([behind[::-1], start[None], ahead])
        mean = float(_values(merit, points).mean())
        _erase_(left, points, s.tube_radius)
        track = Track(points, mean)
        if track.length >= max(s.min_length, 2 * s.tube_radius):
            tracks.append(track)
    return tracks


def segments(tracks: list[Track], step: float) -> Segments:
    """Place segments along filaments at a distance of `step` work pixels, from their middles on."""
    places, psi, numbers, along = [], [], [], []
    for number, track in enumerate(tracks):
        walked = np.concatenate(
            [[0.0], np.linalg.norm(np.diff(track.points, axis=0), axis=1).cumsum()]
        )
        n = int(walked[-1] / step) + 1
        at = (walked[-1] - (n - 1) * step) / 2 + step * np.arange(n)
        spots = np.stack([np.interp(at, walked, track.points[:, i]) for i in (0, 1)], 1)
        near, far = (
            np.stack([np.interp(at + d, walked, track.points[:, i]) for i in (0, 1)], 1)
            for d in (-step / 2 - 1, step / 2 + 1)
        )
        axis = far - near
        places.append(spots)
        psi.append(-np.rad2deg(np.arctan2(axis[:, 1], axis[:, 0])))
        numbers.append(np.full(n, number))
        along.append(at)
    if not tracks:
        return Segments(np.zeros((0, 2)), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))
    return Segments(
        np.concatenate(places),
        np.concatenate(psi),
        np.concatenate(numbers).astype(np.int64),
        np.concatenate(along),
    )


def ends(tracks: list[Track]) -> Segments:
    """Return the two ends of each filament, one after the other."""
    placed = [np.zeros((0, 2))] + [track.points[[0, -1]] for track in tracks]
    places = np.concatenate(placed)
    axis = np.repeat(places[1::2] - places[::2], 2, axis=0)
    along = [length for track in tracks for length in (0.0, track.length)]
    return Segments(
        places,
        -np.rad2deg(np.arctan2(axis[:, 1], axis[:, 0])),
        np.repeat(np.arange(len(tracks)), 2),
        np.array(along, np.float64),
    )


def _walk(left: Plane, start: Points, direction: Points, s: FilamentSearch) -> Points:
    """Go one way until the merit is too low; return the points after the start."""
    step = max(1.0, s.tube_radius / 2)
    limit = s.turn_per_pixel * step
    turns = np.linspace(-limit, limit, _TURNS)
    place, heading = start, float(np.arctan2(direction[1], direction[0]))
    points: list[Points] = []
    n_weak = 0
    for _ in range(_MAX_STEPS):
        headings = heading + turns
        tried = place + step * np.stack([np.cos(headings), np.sin(headings)], 1)
        values = _values(left, tried)
        best = int(np.argmax(values - 1e-6 * np.abs(turns)))
        if not np.isfinite(values[best]):
            break
        n_weak = 0 if values[best] >= s.threshold else n_weak + 1
        if n_weak > _GAP_STEPS:
            break
        place, heading = tried[best], float(headings[best])
        points.append(place)
    strong = len(points) - n_weak if n_weak <= len(points) else 0
    return np.array(points[:strong]).reshape(-1, 2)


def _values(plane: Plane, points: Points) -> Points:
    """Read a plane at places x y, to the nearest pixel; minus infinity outside."""
    x, y = np.rint(points[:, 0]).astype(int), np.rint(points[:, 1]).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < plane.shape[1]) & (y < plane.shape[0])
    values = np.full(len(points), -np.inf)
    values[inside] = plane[y[inside], x[inside]]
    return values


def _erase_(left: Plane, points: Points, radius: float) -> None:
    """Erase what lies within a radius of a track (the points are closer together than that)."""
    reach = int(np.ceil(radius))
    for x, y in points:
        low_x, low_y = max(0, int(x) - reach), max(0, int(y) - reach)
        window = left[low_y : int(y) + reach + 2, low_x : int(x) + reach + 2]
        rows = np.arange(window.shape[0])[:, None] + low_y - y
        columns = np.arange(window.shape[1])[None] + low_x - x
        window[rows**2 + columns**2 <= radius**2] = -np.inf


def _along_axis(merit: Plane, psi_deg: Plane, s: FilamentSearch) -> Plane:
    """Average the merit over one tube diameter along the direction of each pixel."""
    from scipy.ndimage import map_coordinates  # slow to import, and only filaments need it

    y, x = np.indices(merit.shape, np.float32)
    psi = np.deg2rad(psi_deg)
    total = np.zeros(merit.shape, np.float32)
    offsets = np.linspace(-s.tube_radius, s.tube_radius, 9)
    for distance in offsets:
        places = [y - np.sin(psi) * distance, x + np.cos(psi) * distance]
        total += map_coordinates(merit, places, order=1, mode="nearest")
    return np.asarray(total / len(offsets), np.float32)
