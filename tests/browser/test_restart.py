"""A server that is stopped and started again: windows go on, jobs do not notice."""

import urllib.parse

import pytest
from playwright.sync_api import expect

from browser import gui_process, steps


@pytest.fixture(scope="module")
def gui():
    """No server of the fixtures: this test starts its own."""


def _serve(project, runtime, port, *words):
    return gui_process.serve(project.root, runtime, "--port", str(port), *words)


def test_a_window_goes_on_after_the_server_was_stopped_and_started(window, project, tmp_path):
    port = gui_process.free_port()
    runtime = tmp_path / "r"
    with _serve(project, runtime, port) as first:
        page = window(first.url)
        n = steps.run_external(page, "talker.sh")
        steps.state(page, "Running")
        steps.go(page, "#/new/localres")
        expect(steps.field(page, "half_map")).to_be_visible()
        expect(page.locator(".status")).to_contain_text("Connected")
    said = project.job(n).path / "run.out"
    n_bytes = said.stat().st_size
    expect(page.locator(".status")).to_contain_text("Not connected for")
    steps.fill(page, "half_map", "typed_while_it_was_away_half1.mrc")
    with _serve(project, runtime, port) as second:
        assert second.url == first.url
        expect(page.locator(".status")).to_contain_text("Connected", timeout=30_000)
        field = steps.field(page, "half_map").locator("input.in")
        expect(field).to_have_value("typed_while_it_was_away_half1.mrc")
        expect(page.locator(".foot")).to_contain_text("Draft saved")
        page.reload()
        expect(field).to_have_value("typed_while_it_was_away_half1.mrc")
        steps.go(page, f"#/job/{n}")
        steps.state(page, "Running")
        assert said.stat().st_size > n_bytes  # it went on talking
        page.locator(".head").get_by_role("button", name="Abort").click()
        page.locator("dialog .danger").click()
        steps.state(page, "Aborted")
    with _serve(project, runtime, port, "--new-token") as third:
        assert third.url != first.url
        answer = page.request.get(urllib.parse.urljoin(page.url, "/api/jobs"))
        assert answer.status == 401
