"""Options in words, and the manual pages that are made of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitreous.jobs import describe, registry

TOOL = Path(__file__).parents[2] / "tools" / "make_job_pages.py"


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("make_job_pages", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(word, key):
    return next(row for row in describe.table(registry.find(word)) if row.key == key)


@pytest.mark.parametrize(
    ("word", "key", "default", "text"),
    [
        ("class2d", "nr_classes", "1", "1 to 50"),
        ("postprocess", "angpix", "-1", "0.3 to 5, or -1"),
        ("postprocess", "fn_in", "required", "an unfiltered half-map of a Refine3D job"),
        ("import", "is_multiframe", "Yes", "Yes or No"),
        ("import", "fn_mtf", "empty", "file"),
        ("ctfrefine", "do_defocus", "No", "No; Per-micrograph; Per-particle"),
        ("motioncorr", "patch_x", "1", "whole number, at least 1"),
        ("autopick", "shrink", "0", "0 to 1"),
    ],
)
def test_defaults_and_values_in_words(word, key, default, text):
    found = row(word, key)
    assert (found.default, found.range) == (default, text)


def test_a_rule_speaks_of_labels():
    found = row("ctfrefine", "do_trefoil")
    assert found.when == "not “Estimate anisotropic magnification” and “Estimate beam tilt”"


def test_there_is_a_page_for_every_job_type_with_every_option(pages, tmp_path):
    assert pages.main(tmp_path) == len(registry.all_types())
    index = (tmp_path / "index.md").read_text()
    for job_type in registry.all_types():
        page = (tmp_path / f"{job_type.word}.md").read_text()
        assert page.startswith(f"# {job_type.gui_name}\n\n{job_type.title}\n")
        assert all(f"`{spec.key}`" in page for spec in job_type.options.values())
        assert f"]({job_type.word}.md)" in index


def test_a_page_says_whether_the_job_can_be_run(pages, tmp_path):
    pages.main(tmp_path)
    for job_type in registry.all_types():
        page = (tmp_path / f"{job_type.word}.md").read_text()
        assert (f"`vitreous run {job_type.word} " in page) == job_type.is_built()
        assert ("cannot run them yet" in page) != job_type.is_built()


def test_prose_written_by_hand_comes_before_the_options(pages, tmp_path):
    (tmp_path / "prose").mkdir()
    (tmp_path / "prose" / "class2d.md").write_text("Written by hand.\n")
    pages.main(tmp_path)
    page = (tmp_path / "class2d.md").read_text()
    assert 0 < page.index("Written by hand.") < page.index("## Options")


def test_table_cells_have_no_stray_bars(pages, tmp_path):
    pages.main(tmp_path)
    for path in tmp_path.glob("*.md"):
        for line in path.read_text().splitlines():
            if line.startswith("|") and path.name != "index.md":
                assert line.replace("\\|", "").count("|") == 6, line


def test_the_pages_stand_in_the_navigation_where_it_says_jobs(pages, tmp_path):
    nav = [{"Home": "index.md"}, {"Job types": "jobs/"}]
    config = pages.on_config(SimpleNamespace(docs_dir=str(tmp_path), nav=nav))
    assert config.nav[0] == {"Home": "index.md"}
    listed = config.nav[1]["Job types"]
    assert listed[0] == {"All": "jobs/index.md"}
    assert [next(iter(entry)) for entry in listed[1:]] == [
        job_type.gui_name for job_type in registry.all_types()
    ]
    assert all((tmp_path / path).is_file() for entry in listed for path in entry.values())
