"""Several windows and broken connections: one truth, and nothing that was typed is lost."""

import json
import urllib.parse

import pytest
from playwright.sync_api import expect

from browser import gui_process, steps


def kept(page, key):
    """Return what the server keeps under a key."""
    answer = page.request.get(urllib.parse.urljoin(page.url, f"/api/drafts/{key}"))
    return json.loads(answer.text())


def test_a_job_started_in_one_window_is_seen_in_the_other(window):
    one, other = window(), window()
    n = steps.run_external(one, "make_particles.sh")
    expect(other.locator(".side .job")).to_have_count(1, timeout=5000)
    steps.go(other, f"#/job/{n}")
    steps.state(other, "Finished")
    steps.state(one, "Finished")


def test_what_one_window_types_appears_in_an_untouched_form(window):
    one, other = window(), window()
    for page in (one, other):
        steps.go(page, "#/new/maskcreate")
        page.get_by_role("tab", name="Mask", exact=True).click()
        expect(steps.field(page, "threshold")).to_be_visible()
    steps.fill(one, "threshold", "0.07")
    expect(steps.field(other, "threshold").locator("input.in")).to_have_value("0.07")


def test_two_windows_never_overwrite_each_other_unseen(window):
    one, other = window(), window()
    for page in (one, other):
        steps.go(page, "#/new/postprocess")
        page.get_by_role("tab", name="Sharpen").click()
        expect(steps.field(page, "fit_bfactor")).to_be_visible()
    other.route("**/api/drafts/**", lambda route: route.abort())
    steps.fill(one, "fit_from_A", "12")
    expect(one.locator(".foot")).to_contain_text("Draft saved")
    steps.fill(other, "fit_from_A", "9")
    other.unroute("**/api/drafts/**")
    bar = other.locator(".bar-note")
    expect(bar).to_contain_text("Changed elsewhere")
    expect(other.locator(".foot").get_by_role("button", name="Run", exact=True)).to_be_disabled()
    bar.get_by_role("button", name="Compare").click()
    row = other.locator("dialog tbody tr")
    expect(row.locator("td")).to_have_text(["Lowest resolution for auto-B fit (A)", "9", "12"])
    other.locator("dialog").get_by_role("button", name="Keep mine").click()
    expect(steps.field(one, "fit_from_A").locator("input.in")).to_have_value("9")


def test_a_reload_keeps_what_was_typed(page):
    steps.go(page, "#/new/class3d")
    page.get_by_role("tab", name="Optimisation").click()
    steps.fill(page, "n_classes", "7")
    page.reload()
    page.get_by_role("tab", name="Optimisation").click()
    expect(steps.field(page, "n_classes").locator("input.in")).to_have_value("7")


@pytest.fixture(scope="module")
def tunnel(gui):
    link = gui_process.Link(gui.port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def gui(project, tmp_path_factory):
    """Return a server that knows the name of the tunnel's end."""
    runtime = tmp_path_factory.mktemp("runtime") / "r"
    words = ("--allow-host", "localhost", "--allow-host", "127.0.0.1")
    with gui_process.serve(project.root, runtime, *words) as running:
        yield running


def cut(page, tunnel):
    """Cut the connection of a page that has one, and wait until it has seen it."""
    expect(page.locator(".status")).to_contain_text("Connected")
    tunnel.cut()
    expect(page.locator(".status")).to_contain_text("Not connected for")


def test_a_cut_connection_loses_nothing(window, gui, tunnel):
    page = window(gui.url.replace(f":{gui.port}/", f":{tunnel.port}/"))
    steps.go(page, "#/new/localres")
    expect(steps.field(page, "half_map")).to_be_visible()
    cut(page, tunnel)
    steps.fill(page, "half_map", "Refine3D/job020/run_half1_class001_unfil.mrc")
    expect(page.locator(".status")).to_contain_text("1 not yet sent")
    expect(page.locator(".foot").get_by_role("button", name="Run", exact=True)).to_be_disabled()
    page.wait_for_timeout(3000)
    tunnel.mend()
    expect(page.locator(".status")).to_contain_text("Connected")
    expect(page.locator(".foot")).to_contain_text("Draft saved")
    value = kept(page, "form/localres")["value"]
    assert value["values"]["half_map"] == "Refine3D/job020/run_half1_class001_unfil.mrc"


def test_an_answer_that_comes_late_does_not_undo_what_was_typed(window, gui, tunnel):
    page = window(gui.url.replace(f":{gui.port}/", f":{tunnel.port}/"))
    steps.go(page, "#/new/class2d")
    field = steps.field(page, "particles").locator("input.in")
    expect(field).to_be_visible()
    asked = []
    page.route("**/api/drafts/form/class2d", lambda route: hold(route, asked))
    cut(page, tunnel)
    tunnel.mend()
    expect(page.locator(".status")).to_contain_text("Connected")
    page.wait_for_timeout(200)
    assert len(asked) == 1
    field.fill("Extract/job007/particles.star")
    expect(page.locator(".foot")).to_contain_text("Draft saved")
    route, answer = asked[0]
    route.fulfill(response=answer)
    page.wait_for_timeout(500)
    expect(field).to_have_value("Extract/job007/particles.star")


def hold(route, asked):
    """Ask the server, and keep its first answer to a question back."""
    if route.request.method == "GET" and not asked:
        asked.append((route, route.fetch()))
    else:
        route.continue_()


def test_ten_minutes_without_a_connection_lose_nothing(window, gui, tunnel):
    page = window(gui.url.replace(f":{gui.port}/", f":{tunnel.port}/"))
    page.clock.install()
    page.reload()
    steps.go(page, "#/new/motioncorr")
    expect(steps.field(page, "movies")).to_be_visible()
    cut(page, tunnel)
    steps.fill(page, "movies", "Import/job001/movies.star")
    page.clock.fast_forward("10:00")
    expect(page.locator(".status")).to_contain_text("Not connected for 10 min")
    expect(page.locator(".status")).to_contain_text("1 not yet sent")
    tunnel.mend()
    page.clock.fast_forward("00:10")
    expect(page.locator(".status")).to_contain_text("Connected")
    expect(page.locator(".foot")).to_contain_text("Draft saved")
    assert kept(page, "form/motioncorr")["value"]["values"]["movies"] == "Import/job001/movies.star"


def test_what_the_server_refuses_is_kept_and_sent_again(page):
    def full(route):
        if route.request.method == "PUT":
            route.fulfill(status=409, json={"error": "The disk is full.", "problems": []})
        else:
            route.continue_()

    steps.go(page, "#/new/extract")
    expect(steps.field(page, "micrographs")).to_be_visible()
    page.route("**/api/drafts/**", full)
    steps.fill(page, "micrographs", "CtfFind/job003/micrographs_ctf.star")
    expect(page.locator(".notice")).to_contain_text("The disk is full.")
    page.unroute("**/api/drafts/**")
    expect(page.locator(".foot")).to_contain_text("Draft saved")
    value = kept(page, "form/extract")["value"]["values"]
    assert value["micrographs"] == "CtfFind/job003/micrographs_ctf.star"
