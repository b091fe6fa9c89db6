"""Going on by hand with the picks of an AutoPick job."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from browser import picker_steps, steps
from browser.picker_steps import FOM, click, places, shift_click, told, wait
from vitreous import Project
from vitreous.io import Table, read_star, write_star, write_volume
from vitreous.io.coordinates import read_picks

SIDE, PIXEL_A = 384, 4.0
BLOBS = ((80, 90), (290, 110), (190, 300))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project with a micrograph of three dark particles."""
    made = Project.create(tmp_path_factory.mktemp("goes_on") / "blobs")
    (made.root / "Mics").mkdir()
    image = np.random.default_rng(4).normal(0, 0.3, (SIDE, SIDE)).astype(np.float32)
    y, x = np.indices((SIDE, SIDE))
    for bx, by in BLOBS:
        image -= 2 * np.exp(-((x - bx) ** 2 + (y - by) ** 2) / (2 * 9.0**2)).astype(np.float32)
    write_volume(made.root / "Mics/m0.mrc", image, PIXEL_A)
    optics = {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [PIXEL_A]}
    rows = {"rlnMicrographName": ["Mics/m0.mrc"], "rlnOpticsGroup": [1]}
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(made.root / "micrographs.star", tables)
    return made


@pytest.fixture(scope="module")
def gui(project, tmp_path_factory):
    with picker_steps.serve(project, tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture
def picked(project):
    """Return a finished AutoPick job that found the three."""
    return project.run(
        "autopick", micrographs="micrographs.star", use_log=True,
        log_min_diameter_A=100, log_max_diameter_A=200,
    )  # fmt: skip


def picks_of(job, kind):
    return read_picks(job.path / f"Mics/m0_{kind}.star")


def test_picks_of_an_autopick_job_go_on_in_a_manualpick_job(page, project, picked):
    before = (picked.path / "Mics/m0_autopick.star").read_bytes()
    n = len(picks_of(picked, "autopick"))
    assert n >= len(BLOBS)
    steps.go(page, f"#/job/{picked.number}/picks")
    wait(page, isLoaded=True, nPicks=n, isEditable=False)
    expect(page.locator(".mg-bottom")).to_contain_text("A program picked these. Correct by hand")
    page.get_by_role("button", name="Correct by hand").click()
    expect(page.locator(".head h1")).to_contain_text("ManualPick", timeout=60_000)
    wait(page, isLoaded=True, nPicks=n, isEditable=True, seconds=40)
    shift_click(page, *BLOBS[0])
    click(page, 340, 330)
    wait(page, nPicks=n, nUndo=2, nUnsent=0)
    page.get_by_role("button", name="Save and close").click()
    steps.state(page, "Finished")
    by_hand = project.jobs[-1]
    table = picks_of(by_hand, "manualpick")
    found = np.stack([table["rlnCoordinateX"], table["rlnCoordinateY"]], 1)
    assert found[-1:] == places((340, 330))
    assert np.hypot(*(found - BLOBS[0]).T).min() > 15  # the one that was taken away
    assert np.hypot(*(found - BLOBS[1]).T).min() < 10
    assert np.count_nonzero(table[FOM]) == n - 1  # what AutoPick knew of them came along
    assert (picked.path / "Mics/m0_autopick.star").read_bytes() == before
    listed = read_star(by_hand.path / "manualpick.star")["coordinate_files"]
    assert listed["rlnMicrographName"].tolist() == ["Mics/m0.mrc"]


def test_an_autopick_job_that_is_continued_by_hand_is_picked_in_place(page, project, picked):
    n = len(picks_of(picked, "autopick"))
    project.run(continue_job=picked.name, continue_by_hand=True)
    steps.go(page, f"#/job/{picked.number}/picks")
    wait(page, isLoaded=True, nPicks=n, isEditable=True, seconds=40)
    click(page, 340, 330)
    wait(page, nPicks=n + 1, nUnsent=0)
    assert len(picks_of(picked, "autopick")) == n + 1
    page.get_by_role("button", name="Save and close").click()
    steps.state(page, "Finished")
    assert told(page)["nPicks"] == n + 1
