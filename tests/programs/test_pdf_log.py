"""The PDF log: what is drawn from the plots of a job, read back from the figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.programs import pdf_log, pdf_panels
from vitreous.running import record
from vitreous.running.results import Results

AXES = {"x": {"label": "Defocus", "unit": "µm"}, "y": {"label": "Micrographs", "unit": ""}}
KINDS = {
    "line": {"axes": AXES, "series": [{"name": "a", "x": [0, 1, 2], "y": [1, None, 3]}]},
    "scatter": {"axes": AXES, "series": [{"name": "a", "x": [0, 1], "y": [1, 2], "c": [1, 5]}]},
    "histogram": {"axes": AXES, "series": [{"name": "a", "edges": [0, 1, 2], "counts": [4, 5]}]},
    "bar": {"axes": AXES, "series": [{"name": "a", "labels": ["x", "y"], "values": [1, 2]}]},
    "image": {"image": [[0, 1, 2], [3, 4, 5]], "series": [{"name": "p", "x": [1], "y": [1]}]},
    "vectors": {"tracks": [{"name": "t", "x": [0, 1], "y": [0, 2]}]},
    "table": {"columns": [{"name": "n", "unit": "Å"}], "rows": [[1.5], [None]]},
}


@pytest.fixture
def job(tmp_path):
    """Return a function that hands plots in as a job does, and the job's folder."""
    results = Results()

    def plot(name, kind, title, data):
        data_file = record.write_plot(tmp_path, name, data)
        results.plot(name, kind, title, data.get("axes"), data_file)
        record.write_results(tmp_path, results.as_dict())

    return tmp_path, plot


def texts(folder):
    """Return every text on every page."""
    found = []
    for figure in pdf_log.figures(folder):
        found += [text.get_text() for text in figure.findobj(lambda one: hasattr(one, "get_text"))]
    return [text for text in found if text]


def panels(folder):
    return [axes for figure in pdf_log.figures(folder) for axes in figure.axes]


def test_every_kind_is_drawn_under_its_title_and_the_file_is_a_pdf(job):
    folder, plot = job
    for kind, data in KINDS.items():
        plot(kind, kind, f"Title of {kind}", data)
    path = pdf_log.write_log(folder)
    assert path == folder / "logfile.pdf"
    assert path.read_bytes().startswith(b"%PDF")
    told = texts(folder)
    for kind in KINDS:
        assert any(f"Title of {kind}" in text for text in told)
    assert not any("cannot be drawn" in text for text in told)
    assert "Defocus (µm)" in told


def test_equal_plots_make_equal_bytes(job):
    folder, plot = job
    plot("a", "line", "A", KINDS["line"])
    first = pdf_log.write_log(folder).read_bytes()
    assert pdf_log.write_log(folder).read_bytes() == first
    plot("a", "line", "A", {"series": [{"x": [0, 1], "y": [5, 6]}]})
    assert pdf_log.write_log(folder).read_bytes() != first


def test_a_line_has_its_gap_its_threshold_and_resolutions_for_ticks(job):
    folder, plot = job
    k = list(np.linspace(0, 0.25, 50))
    data = {
        "axes": {"x": {"label": "k", "unit": "1/Å", "low": 0, "high": 0.25}, "y": {"label": "FSC"}},
        "series": [{"name": "FSC", "x": k, "y": [None, *k[1:]]}],
        "thresholds": [{"axis": "y", "value": 0.143, "label": "0.143"}],
    }
    plot("fsc", "line", "FSC", data)
    (axes,) = panels(folder)
    drawn = axes.lines[0].get_ydata()
    assert np.isnan(drawn[0])
    np.testing.assert_allclose(drawn[1:], k[1:])
    assert list(axes.lines[1].get_ydata()) == [0.143, 0.143]
    ticks = dict(
        zip((t.get_text() for t in axes.get_xticklabels()), axes.get_xticks(), strict=True)
    )
    assert ticks["10"] == pytest.approx(0.1)
    assert ticks["4"] == pytest.approx(0.25)
    assert axes.get_xlabel() == "Resolution (Å)"


def test_the_first_row_of_an_image_is_at_the_top_unless_told_else(job):
    folder, plot = job
    for origin in ("top", "bottom"):
        plot(origin, "image", origin, {"image": [[1, 1], [0, 0], [0, 0]], "origin": origin})
    top, bottom = panels(folder)
    assert top.get_ylim()[0] > top.get_ylim()[1]
    assert bottom.get_ylim()[0] < bottom.get_ylim()[1]


def test_a_picture_has_the_ticks_that_it_names_and_never_those_of_pixels(job):
    folder, plot = job
    named = {"x": {"label": "Angle", "ticks": [[0, "90°"], [1, "0°"]]}, "c": {"label": "Å"}}
    for name, axes in (("named", named), ("coloured", {"c": {"label": "Å"}})):
        plot(name, "image", name, {"image": [[1, 2], [0, 0]], "axes": axes, "bar": True})
    drawn = {one.get_title(loc="left"): one for one in panels(folder)}
    ticks = [tick.get_text() for tick in drawn["named"].get_xticklabels()]
    assert ticks == ["90°", "0°"]
    assert list(drawn["named"].get_xticks()) == [0, 1]
    assert len(drawn["coloured"].get_xticks()) == len(drawn["coloured"].get_yticks()) == 0


def test_drift_at_its_place_is_enlarged_and_begins_there(job):
    folder, plot = job
    track = {"x": [5, 6], "y": [7, 7.5], "at": [100, 200]}
    plot("local", "vectors", "Local", {"tracks": [track], "scale": 10, "width": 400, "height": 400})
    (axes,) = panels(folder)
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[100, 200], [110, 205]])
    assert any("10 × enlarged" in text for text in texts(folder))


def test_many_units_go_on_over_pages_and_very_many_are_cut_with_a_word(job, monkeypatch):
    folder, plot = job
    monkeypatch.setattr(pdf_log, "MOST_PANELS", 20)
    one = {"series": [{"x": [0, 1], "y": [0, 1]}]}
    plot("fits", "line", "Fits", {"panels": [{"title": f"mic {i}", **one} for i in range(20)]})
    assert len(list(pdf_log.figures(folder))) == 3
    assert len(panels(folder)) == 20
    many = pdf_log.MOST_PANELS + 5
    plot("fits", "line", "Fits", {"panels": [{"title": f"mic {i}", **one} for i in range(many)]})
    assert f"Fits (the first 20 of {many})" in texts(folder)


def test_panels_do_not_overlap_and_stay_on_the_page(job):
    folder, plot = job
    for number, (kind, data) in enumerate(list(KINDS.items()) * 2):
        plot(f"{number}", kind, kind, {**data, "panels": [data, data, data]})
    for figure in pdf_log.figures(folder):
        boxes = [axes.get_position() for axes in figure.axes]
        for i, box in enumerate(boxes):
            assert 0 < box.y0 < box.y1 < 1
            assert 0 < box.x0 < box.x1 < 1
            for other in boxes[:i]:
                assert not box.overlaps(other)


def test_a_long_table_goes_on_and_loses_no_row(job):
    folder, plot = job
    rows = [[f"mic{i:03d}.mrc", i / 7] for i in range(130)]
    plot("t", "table", "All", {"columns": [{"name": "Name"}, {"name": "FOM"}], "rows": rows})
    told = texts(folder)
    assert {row[0] for row in rows} <= set(told)
    assert "0.142857" in told


def test_what_cannot_be_drawn_is_told_and_spoils_nothing_else(job):
    folder, plot = job
    plot("odd", "spider", "Odd", {"a": 1})
    plot("bad", "line", "Bad", {"series": [{"x": [1, 2], "y": [1]}]})
    plot("good", "line", "Good", KINDS["line"])
    told = texts(folder)
    assert any("“spider” are not drawn" in text for text in told)
    assert any("“Bad” cannot be drawn as line" in text for text in told)
    assert "Good" in told
    pdf_log.write_log(folder)


def test_a_job_without_plots_says_so_and_a_broken_file_is_not_fatal(tmp_path):
    pdf_log.write_log(tmp_path)
    assert "This job has made no plots." in texts(tmp_path)
    (tmp_path / "results.json").write_text("{")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "broken.json").write_text("[1")
    pdf_log.write_log(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "scatter"])
def test_plots_that_no_list_names_are_drawn_as_what_they_look_like(tmp_path, kind):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "alone.json").write_text(json.dumps(KINDS[kind]))
    assert "alone" in texts(tmp_path)
    assert not any("cannot be drawn" in text for text in texts(tmp_path))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_no_panel_is_lost_when_pages_are_filled(shapes):
    wanted = [
        pdf_log.Panel("image" if is_image else "line", str(n), {}, is_small)
        for n, (is_image, is_small) in enumerate(shapes)
    ]
    placed = [one.panel for page in pdf_panels.fill_pages(wanted) for one in page]
    assert placed == wanted
