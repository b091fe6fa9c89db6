"""Picking by hand in the browser: what a person does, and what is on disk afterwards."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from playwright.sync_api import expect

from browser import gui_process, picker_steps, steps
from browser.picker_steps import (
    FOM,
    click,
    colour_at,
    drag,
    graded,
    on_disk,
    open_picker,
    place,
    places,
    shift_click,
    told,
    wait,
    wait_for_colour,
    write_picks,
)
from vitreous.io import Table, read_star, write_star


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return picker_steps.make_project(tmp_path_factory.mktemp("picking"))


@pytest.fixture(scope="module")
def gui(project, tmp_path_factory):
    with picker_steps.serve(project, tmp_path_factory.mktemp("runtime")) as running:
        yield running


@pytest.fixture
def job(project):
    return project.run("manualpick", micrographs="micrographs.star", diameter_A=60, low_pass_A=-1)


def test_picks_are_added_moved_and_deleted_and_every_step_can_be_taken_back(page, job):
    open_picker(page, job, nPicks=0, isEditable=True)
    click(page, 200, 200)
    click(page, 500, 300)
    click(page, 508, 306)  # inside the circle of the one before: nothing is added
    wait(page, nPicks=2, nMarks=2, nUnsent=0)
    assert np.array(on_disk(job)) == places((200, 200), (500, 300))
    drag(page, (200, 200), (240, 420))
    wait(page, nPicks=2, nUndo=3, nUnsent=0)
    assert np.array(on_disk(job)) == places((240, 420), (500, 300))
    shift_click(page, 500, 300)
    wait(page, nPicks=1, nUnsent=0)
    click(page, 600, 600)
    click(page, 240, 420, button="middle")
    wait(page, nPicks=1, nUnsent=0)
    for n in (2, 1, 2, 2, 1, 0):
        page.keyboard.press("Control+z")
        wait(page, nPicks=n)
    wait(page, nUndo=0, nRedo=6, nUnsent=0)
    assert on_disk(job) == []
    for n in (1, 2, 2, 1):
        page.keyboard.press("Control+y")
        wait(page, nPicks=n)
    wait(page, nUnsent=0)
    assert np.array(on_disk(job)) == places((240, 420))
    table = read_star(job.path / "Mics/m0_manualpick.star").first
    assert table.value("rlnAnglePsi") == -999
    assert table.value(FOM) == 0
    assert table.value("rlnParticleSelectionType") == 1


def test_the_brush_erases_what_it_meets_and_deleted_picks_come_back_whole(page, job):
    write_picks(job, graded(100))
    before = read_star(job.path / "Mics/m0_manualpick.star").first
    open_picker(page, job, nPicks=100)
    page.keyboard.press("e")
    page.get_by_label("Brush in Å").fill("120")
    page.keyboard.press("Enter")
    page.locator(".mg-over").focus()
    drag(page, (20, 92), (700, 92))
    now = wait(page, nUnsent=0, nUndo=1)
    assert 70 <= now["nPicks"] <= 90  # one or two of the ten rows are gone
    assert all(abs(pick["y"] - 92) > 25 for pick in now["picks"])
    page.keyboard.press("Control+z")
    wait(page, nPicks=100, nUnsent=0)
    after = read_star(job.path / "Mics/m0_manualpick.star").first
    for label in before.labels:
        np.testing.assert_allclose(after[label], before[label], atol=1e-5)
    page.keyboard.press("p")
    page.get_by_role("button", name="Clear", exact=True).click()
    wait(page, nPicks=0, nUnsent=0)
    page.keyboard.press("Control+z")
    wait(page, nPicks=100)


def test_the_threshold_hides_with_a_live_count_and_deletes_only_when_asked(page, job):
    columns = graded(200)
    write_picks(job, columns)
    open_picker(page, job, nPicks=200, nShown=200)
    page.get_by_label("Figure of merit at least").fill("0.3")
    page.keyboard.press("Enter")
    kept = int((columns[FOM] >= 0.3).sum())
    wait(page, nShown=kept, nMarks=kept, nPicks=200)
    expect(page.locator(".mg-ends")).to_contain_text(f"{kept} of 200 shown")
    assert len(on_disk(job)) == 200
    page.get_by_label("Hide picks below this figure of merit").focus()
    page.keyboard.press("End")
    expect(page.locator(".mg-ends")).to_contain_text("1 of 200 shown")
    page.get_by_label("Figure of merit at least").fill("0.3")
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Delete the {200 - kept} hidden here").click()
    wait(page, nPicks=kept, nUnsent=0)
    assert len(on_disk(job)) == kept


def test_marks_have_the_colours_of_their_values(page, job):
    columns = {
        "rlnCoordinateX": [200.0, 500.0],
        "rlnCoordinateY": [400.0, 400.0],
        FOM: [0.1, 0.9],
        "rlnClassNumber": [3, 1],
    }
    write_picks(job, columns)
    open_picker(page, job, nPicks=2, nMarks=2)
    low, high = colour_at(page, 200, 400), colour_at(page, 500, 400)
    assert low[2] > low[0] + 60  # blue
    assert high[0] > high[2] + 60  # red
    page.get_by_label("By", exact=True).select_option("rlnClassNumber")
    wait_for_colour(page, 200, 400, lambda found: found[0] > found[2] + 60)
    page.get_by_label("By", exact=True).select_option("plain")
    wait_for_colour(page, 200, 400, lambda found: found[1] > max(found[0], found[2]) + 40)
    page.reload()
    wait(page, isLoaded=True, nPicks=2)
    expect(page.get_by_label("By", exact=True)).to_have_value("plain")


def test_another_star_file_gives_the_values_that_colour_picks(page, project):
    found = {
        "rlnMicrographName": ["MotionCorr/job009/Mics/m0.mrc"] * 3,
        "rlnCoordinateX": [503.0, 201.0, 700.0],
        "rlnCoordinateY": [399.0, 402.0, 700.0],
        "rlnMaxValueProbDistribution": [0.9, 0.1, 0.5],
    }
    optics = Table.from_columns("optics", {"rlnOpticsGroup": [1]})
    write_star(project.root / "refined.star", [optics, Table.from_columns("particles", found)])
    job = project.run(
        "manualpick", micrographs="micrographs.star", diameter_A=60, low_pass_A=-1,
        use_colors=True, color_label="rlnMaxValueProbDistribution", color_file="refined.star",
        blue_value=0.0, red_value=1.0,
    )  # fmt: skip
    write_picks(
        job, {"rlnCoordinateX": [200.0, 500.0, 350.0], "rlnCoordinateY": [400.0, 400.0, 600.0]}
    )
    open_picker(page, job, nPicks=3, nMarks=3)
    expect(page.get_by_label("By", exact=True)).to_have_value("rlnMaxValueProbDistribution")
    low, high = colour_at(page, 200, 400), colour_at(page, 500, 400)
    assert low[2] > low[0] + 60  # blue
    assert high[0] > high[2] + 60  # red
    # A pick that comes back whole brings nothing of the other file along.
    page.keyboard.press("e")
    click(page, 500, 400)
    wait(page, nPicks=2, nUnsent=0)
    page.keyboard.press("Control+z")
    wait(page, nPicks=3, nUnsent=0)
    text = (job.path / "Mics/m0_manualpick.star").read_text()
    assert "rlnMaxValueProbDistribution" not in text


def test_types_have_digits_and_are_written(page, job):
    open_picker(page, job, nPicks=0)
    page.keyboard.press("3")
    wait(page, type=3)
    click(page, 300, 300)
    page.keyboard.press("Control+1")
    click(page, 500, 500)
    wait(page, nPicks=2, nUnsent=0)
    table = read_star(job.path / "Mics/m0_manualpick.star").first
    assert table["rlnParticleSelectionType"].tolist() == [3, 1]


def test_filaments_have_two_ends_and_go_together(page, project):
    job = project.run(
        "manualpick",
        micrographs="micrographs.star",
        pick_filaments=True,
        diameter_A=40,
        low_pass_A=-1,
    )
    open_picker(page, job, nPicks=0)
    for x, y in ((100, 100), (400, 160), (100, 500), (600, 520)):
        click(page, x, y)
    wait(page, nPicks=4, nUnsent=0)
    red, green, blue = colour_at(page, 250, 130, radius_A=0)
    assert green > red + 40
    assert green > blue + 20  # the line between the ends
    shift_click(page, 400, 160)
    wait(page, nPicks=2, nUnsent=0)
    assert np.array(on_disk(job)) == places((100, 500), (600, 520))
    page.keyboard.press("Control+z")
    wait(page, nPicks=4, nUnsent=0)
    assert np.array(on_disk(job)) == places((100, 100), (400, 160), (100, 500), (600, 520))
    click(page, 300, 300)
    wait(page, nPicks=5, nUnsent=0)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("an end of a filament is missing")


def test_keys_step_through_micrographs_that_can_be_sorted_and_ticked(page, job):
    open_picker(page, job)
    page.keyboard.press("]")
    wait(page, row=1, isLoaded=True)
    click(page, 300, 300)
    wait(page, nPicks=1, nUnsent=0)
    page.keyboard.press("u")
    line = page.locator(".mg-line[data-row='1']")
    expect(line.get_by_role("checkbox")).not_to_be_checked()
    expect(line.locator(".num").first).to_have_text("1")
    expect(page.locator(".mg-foot")).to_contain_text("2 of 3 used")
    page.get_by_role("button", name="Defocus: sort").click()
    expect(page.locator(".mg-line .cut")).to_have_text(["m1", "m2", "m0"])
    page.keyboard.press("]")
    wait(page, row=2)
    page.keyboard.press("[")
    wait(page, row=1)
    page.get_by_label("Filter micrographs").fill("m2")
    expect(page.locator(".mg-line .cut")).to_have_text(["m2"])
    page.get_by_role("button", name="Invert").click()
    expect(page.locator(".mg-foot")).to_contain_text("1 of 3 used")

    def ticks():
        table = read_star(job.path / "local_selection.star").first
        return table["rlnSelected"].tolist() == [0, 1, 0]

    gui_process.wait_for("the ticks on disk", ticks)


def test_extract_runs_on_hand_picks(page, project, job):
    open_picker(page, job)
    for x, y in ((150, 150), (400, 400), (600, 200)):
        click(page, x, y)
    page.keyboard.press("]")
    wait(page, row=1, isLoaded=True)
    click(page, 300, 500)
    wait(page, nUnsent=0)
    page.locator(".mg-line[data-row='2']").get_by_role("checkbox").click()
    page.get_by_role("button", name="Save and close").click()
    steps.state(page, "Finished")
    listed = read_star(job.path / "manualpick.star")["coordinate_files"]
    assert listed["rlnMicrographName"].tolist() == ["Mics/m0.mrc", "Mics/m1.mrc"]
    chosen = read_star(job.path / "micrographs_selected.star")["micrographs"]
    assert chosen["rlnMicrographName"].tolist() == ["Mics/m0.mrc", "Mics/m1.mrc"]
    extract = project.run(
        "extract",
        micrographs="micrographs.star",
        coordinates=f"{job.name}manualpick.star",
        box_px=64,
    )
    particles = read_star(extract.path / "particles.star")["particles"]
    assert len(particles) == 4
    found = np.stack([particles["rlnCoordinateX"], particles["rlnCoordinateY"]], 1)
    assert found == places((150, 150), (400, 400), (600, 200), (300, 500))


def test_two_windows_see_the_same_picks_within_a_second(window, job):
    one, other = window(), window()
    for page in (one, other):
        open_picker(page, job)
    click(one, 300, 300)
    begun = time.monotonic()
    wait(other, nPicks=1, nMarks=1, seconds=3)
    assert time.monotonic() - begun < 2.5  # a second on a quiet machine
    click(other, 500, 500)
    wait(one, nPicks=2, nUnsent=0)
    one.keyboard.press("Control+z")  # only its own step, the other's pick stays
    wait(other, nPicks=1)
    assert np.array(on_disk(job)) == places((500, 500))


@pytest.mark.parametrize(
    ("button", "wanted"),
    [
        ("Merge both", [(200, 200), (600, 600), (400, 400)]),
        ("Take theirs", [(200, 200), (600, 600)]),
        ("Keep mine", [(200, 200), (400, 400)]),
    ],
)
def test_a_conflict_shows_both_and_a_person_chooses(window, job, button, wanted):
    one, other = window(), window()
    open_picker(one, job)
    click(one, 200, 200)
    wait(one, nPicks=1, nUnsent=0)
    open_picker(other, job, nPicks=1)
    one.route("**/api/picks/**", lambda route: route.abort())
    click(one, 400, 400)
    wait(one, nPicks=2, isOffline=True)
    click(other, 600, 600)
    wait(other, nPicks=2, nUnsent=0)
    one.unroute("**/api/picks/**")
    wait(one, hasConflict=True)
    bar = one.locator(".mg-conflict")
    expect(bar).to_contain_text("2 picks, 1 added")
    assert np.array(on_disk(job)) == places((200, 200), (600, 600))  # nothing was overwritten
    bar.get_by_role("button", name=button).click()
    wait(one, hasConflict=False, nUnsent=0, nPicks=len(wanted))
    expect(bar).to_be_hidden()
    assert np.array(sorted(on_disk(job))) == places(*sorted(wanted))
    wait(other, nPicks=len(wanted))


@pytest.fixture
def tunnel(gui):
    link = gui_process.Link(gui.port)
    yield link
    link.close()


def test_a_broken_connection_and_a_reload_in_the_middle_lose_nothing(window, gui, tunnel, job):
    page = window(gui.url.replace(f":{gui.port}/", f":{tunnel.port}/"))
    open_picker(page, job)
    click(page, 150, 150)
    wait(page, nPicks=1, nUnsent=0)
    wait(page, row=0)
    tunnel.cut()
    click(page, 300, 300)
    click(page, 450, 450)
    shift_click(page, 150, 150)
    wait(page, nPicks=2, nUnsent=3, isOffline=True)
    page.keyboard.press("]")
    wait(page, row=1)
    click(page, 600, 500)
    wait(page, nPicks=1, nUnsent=4)
    expect(page.locator(".mg-saved")).to_contain_text("4 changes kept here")
    expect(page.locator(".status")).to_contain_text("4 not yet sent")
    assert np.array(on_disk(job)) == places((150, 150))
    # The page itself is lost while there is no connection; it comes back with it.
    page.goto("about:blank")
    tunnel.mend()
    page.goto(f"http://127.0.0.1:{tunnel.port}/#/job/{job.number}/picks")
    wait(page, isLoaded=True, nPicks=2, nUnsent=0)
    gui_process.wait_for("both micrographs", lambda: len(on_disk(job, 1)) == 1)
    assert np.array(on_disk(job)) == places((300, 300), (450, 450))
    assert np.array(on_disk(job, 1)) == places((600, 500))


def test_a_reload_before_anything_is_sent_keeps_the_picks(page, job):
    open_picker(page, job)
    page.route(
        "**/api/picks/*/0",
        lambda route: route.abort() if route.request.method == "POST" else route.continue_(),
    )
    click(page, 222, 333)
    wait(page, nPicks=1, isOffline=True)
    page.unroute("**/api/picks/*/0")
    page.reload()
    wait(page, nPicks=1, nUnsent=0)
    assert np.array(on_disk(job)) == places((222, 333))


def test_the_view_zooms_pans_measures_and_tells_values(page, job):
    before = open_picker(page, job)["view"]["scale"]
    at = place(page, 200, 100)
    page.mouse.move(*at)
    page.mouse.wheel(0, -600)
    now = told(page)["view"]
    assert now["scale"] > before * 1.5
    assert place(page, 200, 100) == pytest.approx(at, abs=1)
    expect(page.locator(".mg-place")).to_contain_text("value 55", timeout=8000)
    expect(page.locator(".mg-place")).to_contain_text("400.0, 200.0 Å")
    page.keyboard.press("=")
    assert told(page)["view"]["scale"] == pytest.approx(1)
    drag(page, (300, 300), (400, 350))
    assert told(page)["view"]["x"] == pytest.approx(now["x"] - 100, abs=120)
    page.keyboard.press("0")
    assert told(page)["view"]["scale"] == pytest.approx(before)
    page.keyboard.press("r")
    drag(page, (100, 200), (400, 600))
    ruler = wait(page, isProfiled=True)["ruler"]
    length = math.hypot(ruler["x1"] - ruler["x0"], ruler["y1"] - ruler["y0"])
    assert length == pytest.approx(500, abs=2)
    expect(page.locator(".mg-curve-line")).to_be_visible()
    page.keyboard.press("t")
    expect(page.locator(".mg-fourier")).to_be_visible()
    page.keyboard.press("t")
    page.get_by_label("Contrast").select_option("pct-1")
    wait(page, isLoaded=True)
    assert told(page)["nPicks"] == 0


def test_the_keyboard_alone_can_pick(page, job):
    open_picker(page, job)
    page.locator(".mg-over").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait(page, nPicks=1, nUnsent=0)
    page.keyboard.press("Delete")
    wait(page, nPicks=0, nUnsent=0)
    page.keyboard.press("Shift+F10")
    page.get_by_role("menuitem", name="Show metadata").click()
    expect(page.locator("dialog[open]")).to_contain_text("rlnDefocusU")


def test_sets_are_compared_and_taken_over(page, project, job):
    write_picks(job, graded(40))
    open_picker(page, job, nPicks=40)
    page.get_by_role("button", name="Save and close").click()
    steps.state(page, "Finished")
    expect(page.locator(".mg-bottom")).to_contain_text("Continue it to change its picks")
    page.get_by_role("button", name="Correct by hand").click()
    expect(page.locator(".head h1")).not_to_contain_text(job.name.strip("/"), timeout=30_000)
    wait(page, isLoaded=True, nPicks=40, isEditable=True)
    click(page, 720, 72)
    now = wait(page, nPicks=41, nUnsent=0)
    assert now["isEditable"]
    title = f"ManualPick {job.number:03d}"
    page.get_by_label("Compare another set of picks").select_option(label=title)
    wait(page, others=[40])
    expect(page.locator(".mg-agree")).to_have_text("40 of 41 agree")


def test_a_pick_among_five_thousand_is_seen_at_once(page, job):
    write_picks(job, graded(5000))
    open_picker(page, job, nPicks=5000, nMarks=5000)
    page.get_by_label("Diameter in Å").fill("6")
    page.keyboard.press("Enter")
    took = []
    for n in range(5):
        click(page, 5, 60 + 100 * n)
        wait(page, nPicks=5001 + n, nMarks=5001 + n)
        took.append(told(page)["lastPick_ms"])
    assert min(took) < 250  # 100 on a quiet machine; tests share theirs
    wait(page, nUnsent=0)
    assert len(on_disk(job)) == 5005


def test_a_reader_looks_and_changes_nothing(window, gui, job):
    write_picks(job, graded(30))
    page = window(gui.read_only_url)
    open_picker(page, job, nPicks=30, isEditable=False)
    click(page, 5, 700)
    page.wait_for_timeout(300)
    assert told(page)["nPicks"] == 30
    expect(page.get_by_role("button", name="Save and close")).to_be_hidden()
    expect(page.locator("[data-tool=pick]")).to_be_hidden()
    assert len(on_disk(job)) == 30


def test_a_micrograph_can_be_looked_at_without_a_job(page):
    steps.go(page, "#/display?path=Mics/m1.mrc")
    now = wait(page, isLoaded=True, n=1)
    assert not now["isEditable"]
    steps.go(page, "#/display?path=micrographs.star&as=micrograph&row=2")
    wait(page, isLoaded=True, row=2, n=3, name="Mics/m2.mrc")


def test_the_results_page_shows_picks_in_small(page, job):
    write_picks(job, graded(50), row=1)
    open_picker(page, job)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("50 picks of 1 micrographs")
    steps.go(page, f"#/job/{job.number}/results")
    wait(page, isLoaded=True, nPicks=50, row=1, isEditable=False)
    page.get_by_role("button", name="Previous micrograph").click()
    wait(page, row=0, nPicks=0)
