"""The line of a B-factor plot against truth, and what is left out of it."""

import math

import numpy as np
import pytest

from vitreous.programs import bfactor_plot
from vitreous.programs.bfactor_plot import Point


def points(b_factor_A2, intercept, counts, error_A=0.02, seed=None):
    """Points of the law 1/d^2 = a + 2/B ln N, with errors of resolution where a seed is given."""
    found = []
    for number, n in enumerate(counts):
        d = (intercept + 2 / b_factor_A2 * math.log(n)) ** -0.5
        if seed is not None:
            d += np.random.default_rng(100 * seed + number).normal(0, error_A)
        found.append(Point(n, d, error_A))
    return found


COUNTS = [100 * 2**k for k in range(8)]


def test_the_law_is_recovered():
    line = bfactor_plot.fit(points(80, 0.01, COUNTS))
    assert line.b_factor_A2 == pytest.approx(80)
    assert line.intercept == pytest.approx(0.01)
    resolution_A, _ = line.resolution_A(1e6)
    assert resolution_A == pytest.approx((0.01 + 2 / 80 * math.log(1e6)) ** -0.5)


def test_errors_of_the_fit_are_what_repetition_shows():
    found = [bfactor_plot.fit(points(80, 0.01, COUNTS, seed=seed)) for seed in range(200)]
    b = np.array([line.b_factor_A2 for line in found])
    told = np.mean([line.b_error_A2 for line in found])
    assert b.mean() == pytest.approx(80, abs=4 * b.std() / 200**0.5 + 0.1)
    # Errors are enlarged, never made smaller, by how points scatter.
    assert 0.95 < told / b.std() < 1.35
    d = np.array([line.resolution_A(5e5)[0] for line in found])
    error = np.mean([line.resolution_A(5e5)[1] for line in found])
    assert 0.95 < error / d.std() < 1.35


def test_points_that_scatter_more_make_larger_errors():
    calm = points(80, 0.01, COUNTS)
    off = [0.2 * (-1) ** number for number in range(len(calm))]
    wild = [Point(p.n_particles, p.resolution_A + d, 0.02) for p, d in zip(calm, off, strict=True)]
    assert bfactor_plot.fit(wild).b_error_A2 > 3 * bfactor_plot.fit(calm).b_error_A2


def test_what_pixels_limit_or_has_no_resolution_is_not_fitted():
    good = points(80, 0.01, COUNTS[:4])
    limited = [Point(1600, 3.0, 0.01, limited=True), Point(50, math.inf, math.inf)]
    assert bfactor_plot.fit(good + limited).b_factor_A2 == pytest.approx(80)
    assert bfactor_plot.fit(limited) is None
    assert bfactor_plot.fit(good[:1]) is None


def test_subsets_double_up_to_the_whole():
    assert bfactor_plot.sizes(100, 10**9, 900) == [100, 200, 400, 800]
    assert bfactor_plot.sizes(100, 250, 900) == [100, 200]
    assert bfactor_plot.sizes(100, 10**9, 100) == []


def test_picture_and_table_hold_what_was_measured_and_foretold():
    some = [*points(80, 0.01, COUNTS[:4]), Point(1600, 3.0, 0.01, limited=True)]
    line = bfactor_plot.fit(some)
    drawn = bfactor_plot.plot(some, line)
    names = [one["name"] for one in drawn["series"]]
    assert names[0] == "measured"
    assert "limited by the pixels, not fitted" in names
    assert len(drawn["series"][0]["x"]) == 4
    assert drawn["note"].startswith("B = 80 ±")
    rows = bfactor_plot.table(some, line)["rows"]
    assert [row[1] for row in rows] == ["measured"] * 5 + ["foretold"] * 4
    assert rows[-1][0] == 8 * 1600
    assert "Too few" in bfactor_plot.plot(some[:1], None)["note"]
    unknown = bfactor_plot.table([Point(50, math.inf, math.inf)], None)["rows"]
    assert unknown == [[50, "measured", None, None]]
