"""Plots as PostScript: every part lies in the box, and texts are safe."""

from __future__ import annotations

import math
import re

from vitreous.programs.eps_plot import write_eps

PLOT = {
    "axes": {
        "x": {"label": "1/d²", "unit": "1/Å²"},
        "y": {"label": "A (b)", "unit": "", "low": -0.1, "high": 1.05},
    },
    "series": [
        {"name": "one", "x": [0.0, 0.1, 0.2], "y": [1.0, None, 7.0]},
        {"name": "two\\", "x": [0.0, 0.2], "y": [math.nan, 0.5]},
    ],
    "thresholds": [{"axis": "y", "value": 0.143, "label": "0.143"}],
}


def test_all_is_drawn_inside_the_box(tmp_path):
    write_eps(tmp_path / "a.eps", "FSC (Å)", PLOT)
    text = (tmp_path / "a.eps").read_text("ascii")
    points = re.findall(r"^(\S+) (\S+) (?:moveto|lineto)$", text, re.MULTILINE)
    assert len(points) >= 2 + 2 + 1
    assert all(0 <= float(x) <= 500 and 0 <= float(y) <= 360 for x, y in points)
    assert "(FSC \\(A\\)) centred" in text
    assert "(1/d^2 \\(1/A^2\\)) centred" in text
    assert "(two\\\\) right" in text
    assert text.count("stroke") >= 3
    assert "nan" not in text.lower()


def test_a_plot_without_points_is_still_a_plot(tmp_path):
    empty = {"axes": {"x": {"label": "x"}, "y": {"label": "y"}}, "series": []}
    write_eps(tmp_path / "a.eps", "none", empty)
    assert "showpage" in (tmp_path / "a.eps").read_text()
