"""The line through a B-factor plot: resolution against number of particles.

``1 / d^2 = a + s ln N``; the B-factor of data and processing together is ``B = 2 / s`` (Rosenthal &
Henderson, J. Mol. Biol. 333, 721 (2003)): so many particles more, so much more signal, of which a
Gaussian fall-off leaves less and less. The fit is weighted by the error of each resolution, and its
own errors are those of the weights, enlarged where points scatter more than they should.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FACTORS = (1.5, 2.0, 4.0, 8.0)
_FEWEST = 2


@dataclass(frozen=True)
class Point:
    """The resolution of so many particles.

    Parameters
    ----------
    n_particles
        How many.
    resolution_A, error_A
        Infinite where there is no resolution.
    limited
        Whether the pixels are too coarse to show more.
    """

    n_particles: int
    resolution_A: float
    error_A: float
    limited: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it belongs in a fit."""
        return math.isfinite(self.resolution_A) and not self.limited

    @property
    def y(self) -> float:
        """1 / d^2 in 1/Å²."""
        return 1 / self.resolution_A**2

    @property
    def y_error(self) -> float:
        """Error of `y`."""
        return 2 * self.error_A / self.resolution_A**3


@dataclass(frozen=True)
class Fit:
    """The line, with errors.

    Parameters
    ----------
    intercept, slope
        Of 1/d² in 1/Å² over ln N.
    covariance
        ``2 2`` of intercept and slope.
    """

    intercept: float
    slope: float
    covariance: NDArray[np.float64]

    @property
    def b_factor_A2(self) -> float:
        """2 / slope."""
        return 2 / self.slope if self.slope else math.inf

    @property
    def b_error_A2(self) -> float:
        """Standard error of the B-factor."""
        return 2 * math.sqrt(self.covariance[1, 1]) / self.slope**2 if self.slope else math.inf

    def y(self, n_particles: float) -> tuple[float, float]:
        """Return 1/d² on the line, and its error."""
        x = np.array([1.0, math.log(n_particles)])
        return self.intercept + self.slope * x[1], math.sqrt(float(x @ self.covariance @ x))

    def resolution_A(self, n_particles: float) -> tuple[float, float]:
        """Return the resolution foretold for so many particles, and its error."""
        y, error = self.y(n_particles)
        if y <= 0:
            return math.inf, math.inf
        return 1 / math.sqrt(y), error / (2 * y**1.5)


def fit(points: Sequence[Point]) -> Fit | None:
    """Put a line through the usable points; None where there are fewer than two."""
    usable = [point for point in points if point.is_usable]
    if len({point.n_particles for point in usable}) < _FEWEST:
        return None
    x = np.array([[1.0, math.log(point.n_particles)] for point in usable])
    y = np.array([point.y for point in usable])
    weight = 1 / np.array([point.y_error for point in usable]) ** 2
    covariance = np.linalg.inv(x.T @ (weight[:, None] * x))
    intercept, slope = covariance @ (x.T @ (weight * y))
    free = len(usable) - _FEWEST
    if free > 0:
        rest = y - x @ np.array([intercept, slope])
        covariance *= max(1.0, float((weight * rest**2).sum()) / free)
    return Fit(float(intercept), float(slope), covariance)


def sizes(smallest: int, largest: int, total: int) -> list[int]:
    """Return how many particles the subsets have: doubled from the smallest, below the total."""
    found = []
    n = smallest
    while n < total and n <= largest:
        found.append(n)
        n *= 2
    return found


def plot(points: Sequence[Point], line: Fit | None) -> dict[str, object]:
    """Return the data of the picture."""
    usable = [point for point in points if point.is_usable]
    left_out = [point for point in points if math.isfinite(point.resolution_A) and point.limited]
    bars_x: list[float | None] = []
    bars_y: list[float | None] = []
    for point in usable:
        bars_x += [point.n_particles, point.n_particles, None]
        bars_y += [point.y - point.y_error, point.y + point.y_error, None]
    series: list[dict[str, object]] = [
        _marks("measured", usable),
        {"name": "standard error", "x": bars_x, "y": bars_y},
    ]
    note = "Too few subsets have a resolution for a line."
    if line:
        counts = [float(point.n_particles) for point in usable]
        grid = np.geomspace(min(counts), FACTORS[-1] * max(counts), 30).tolist()
        on_line = [line.y(n) for n in grid]
        series.append({"name": "fitted line", "x": grid, "y": [y for y, _ in on_line]})
        for sign in (1, -1):
            y = [y + sign * error for y, error in on_line]
            name = "its error" if sign > 0 else ""
            series.append({"name": name, "x": grid, "y": y, "style": "pale"})
        note = f"B = {line.b_factor_A2:.0f} ± {line.b_error_A2:.0f} Å²."
    if left_out:
        series.append(_marks("limited by the pixels, not fitted", left_out))
    return {
        "axes": {
            "x": {"label": "Particles", "unit": "", "scale": "log"},
            "y": {"label": "1 / resolution²", "unit": "1/Å²"},
        },
        "series": series,
        "note": note,
    }


def table(points: Sequence[Point], line: Fit | None) -> dict[str, object]:
    """Return measured and foretold resolutions as rows."""
    rows: list[list[object]] = []
    for point in points:
        found = round(point.resolution_A, 3) if math.isfinite(point.resolution_A) else None
        error = round(point.error_A, 3) if found else None
        rows.append([point.n_particles, "measured", found, error])
    if line and points:
        most = max(point.n_particles for point in points)
        for factor in FACTORS:
            resolution_A, error_A = line.resolution_A(factor * most)
            if math.isfinite(resolution_A):
                values = [round(resolution_A, 3), round(error_A, 3)]
                rows.append([round(factor * most), "foretold", *values])
    columns = [
        {"name": "Particles", "unit": ""},
        {"name": "", "unit": ""},
        {"name": "Resolution", "unit": "Å"},
        {"name": "Error", "unit": "Å"},
    ]
    return {"columns": columns, "rows": rows}


def _marks(name: str, points: Sequence[Point]) -> dict[str, object]:
    x, y = [point.n_particles for point in points], [point.y for point in points]
    return {"name": name, "x": x, "y": y, "style": "points"}
