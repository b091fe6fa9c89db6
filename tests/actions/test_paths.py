"""Paths that a user gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.actions.paths import OutsideError, inside, nearest

ROOT = Path("/lab/project")


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("Movies/*.tiff", "Movies/*.tiff"),
        ("./Movies//a.tif", "Movies/a.tif"),
        ("/lab/project/Movies/a.tif", "Movies/a.tif"),
        ("Class2D/../Movies/a.tif", "Movies/a.tif"),
        ("", ""),
        ("$$particles", "$$particles"),
    ],
)
def test_a_path_inside_is_stored_relative_and_plain(given, stored):
    assert inside(ROOT, given) == stored


@pytest.mark.parametrize(
    "given", ["/data/Movies/*.tiff", "../other/a.star", "/lab/project2/a.star", "a/../../b"]
)
def test_a_path_outside_is_refused_with_the_link_to_make(given):
    with pytest.raises(OutsideError, match=r"Make a link \(`ln -s "):
        inside(ROOT, given)


def test_the_link_for_a_wildcard_is_to_its_folder():
    with pytest.raises(
        OutsideError, match=r"ln -s /data/Movies Movies`\) and give Movies/\*\.tiff"
    ):
        inside(ROOT, "/data/Movies/*.tiff")


def test_a_project_reached_through_a_link_is_still_the_project(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", str(tmp_path / "real" / "a.star")) == "a.star"


@given(st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=30))
def test_what_is_stored_never_leads_out(text):
    try:
        stored = inside(ROOT, text)
    except OutsideError:
        return
    if text.strip() and not text.startswith("$$"):
        assert not stored.startswith("/")
        assert ".." not in stored.split("/")


def test_the_same_file_name_is_nearest():
    names = ["Extract/job006/particles.star", "Class2D/job007/run_it025_data.star"]
    assert nearest("Extract/job005/particles.star", names, n=1) == names[:1]


def test_the_project_may_be_reached_through_a_link(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "link").symlink_to("project")
    assert inside(tmp_path / "project", f"{tmp_path}/link/Import/a.star") == "Import/a.star"
    assert inside(tmp_path / "link", f"{tmp_path}/project/a.star") == "a.star"
