"""Import from its form to its results, and from there to the next step."""

import re

import pytest
from playwright.sync_api import expect

from browser import steps


@pytest.fixture(scope="module", autouse=True)
def imported(project):
    """A job that is done, so that each test finds the same first one."""
    job = project.run("import", images="Micrographs/*.mrc", are_movies=False)
    assert job.status == "Succeeded", job.log(err=True)


def test_import_runs_from_its_form_and_shows_what_it_found(page):
    steps.go(page, "#/new/import")
    steps.fill(page, "images", "Micrographs/*.mrc")
    steps.answer(page, "are_movies", "No")
    expect(page.locator(".foot")).to_contain_text("Ready")
    page.get_by_role("button", name="Check command").click()
    expect(page.locator("dialog .command")).to_contain_text("vitreous exec")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_have_count(0)
    page.keyboard.press("Control+Enter")
    steps.state(page, "Finished")
    expect(page.get_by_role("heading", level=1)).to_have_text("Import/job002")
    figures = page.locator(".figures")
    expect(figures).to_contain_text("Imported micrographs")
    expect(figures.locator("dd").first).to_have_text("3")
    expect(page.locator(".side .job")).to_have_count(2)
    steps.tab(page, "Inputs and outputs")
    expect(page.locator("#job-panel")).to_contain_text("micrographs.star")
    page.get_by_role("button", name="Display").click()
    page.get_by_role("menuitem", name=re.compile("micrographs.star")).click()
    page.wait_for_function(
        "() => document.querySelector('.viewer.gallery')?.viewer?.state.rows.length === 3"
    )


def test_the_next_step_takes_the_output_as_its_input(page):
    steps.go(page, "#/job/1")
    page.get_by_role("link", name="CTF estimation").last.click()
    micrographs = steps.field(page, "micrographs").locator("input.in")
    expect(micrographs).to_have_value("Import/job001/micrographs.star")
    expect(page.locator(".sum")).to_contain_text("3 micrographs")
    steps.field(page, "micrographs").get_by_role("button", name="Browse").click()
    expect(page.locator("dialog table")).to_contain_text("Import/job001/micrographs.star")
    page.locator("dialog").get_by_role("button", name="Import/job001/micrographs.star").click()
    expect(page.locator("dialog")).to_have_count(0)
