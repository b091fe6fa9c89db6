"""From an empty project to a finished import: first screen, form, run, results."""

import re

from playwright.sync_api import expect

from browser import steps


def test_an_empty_project_tells_the_first_step(page):
    expect(page.get_by_role("heading", level=1)).to_have_text("This folder has no jobs yet")
    expect(page.locator(".side")).to_contain_text("No jobs yet")
    expect(page.locator(".status")).to_contain_text("Connected")
    page.locator("main").get_by_role("link", name="Import", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Import")


def test_all_job_types_stand_in_relions_order(page):
    page.get_by_role("tab", name="New job").click()
    names = page.locator(".side .type b").all_inner_texts()
    assert len(names) == 22
    assert names[:6] == [
        "Import",
        "Motion correction",
        "CTF estimation",
        "Manual picking",
        "Auto-picking",
        "Particle extraction",
    ]
    assert names[-1] == "External"
    page.get_by_label("Find a job type").fill("sharpen")
    expect(page.locator(".side .type b")).to_have_text(["Post-processing"])


def test_options_that_a_rule_switches_off_stay_and_say_why(page):
    steps.go(page, "#/new/refine3d")
    page.get_by_role("tab", name="Compute").click()
    scratch = steps.field(page, "scratch_folder")
    expect(scratch.locator("input.in")).to_be_enabled()
    steps.answer(page, "preread_images", "Yes")
    expect(scratch.locator("input.in")).to_be_disabled()
    expect(scratch.locator(".why")).to_contain_text(
        "Not used while “Pre-read all particles into RAM?” is Yes."
    )
    changed = steps.field(page, "preread_images")
    expect(changed).to_have_class(re.compile("changed"))
    changed.get_by_role("button", name="Back to No").click()
    expect(scratch.locator("input.in")).to_be_enabled()
    page.get_by_role("tab", name="Helix").click()
    expect(page.locator(".form")).to_contain_text("more options open with Yes")


def test_numbers_may_leave_the_slider_and_problems_stand_at_their_field(page):
    steps.go(page, "#/new/refine3d")
    page.get_by_role("tab", name="Compute").click()
    steps.fill(page, "n_pooled", "64")
    expect(steps.field(page, "n_pooled")).to_contain_text("above the slider")
    expect(page.locator(".foot")).to_contain_text("problem")
    expect(page.locator(".foot").get_by_role("button", name="Run", exact=True)).to_be_disabled()
    page.locator(".foot .link").click()
    expect(page.locator(".field.invalid").first).to_be_visible()
    steps.field(page, "particles").get_by_role("button", name="Help").click()
    expect(steps.field(page, "particles")).to_contain_text("In job.star: fn_img")


def test_import_runs_from_its_form_and_shows_what_it_found(page):
    steps.go(page, "#/new/import")
    steps.fill(page, "images", "Micrographs/*.mrc")
    steps.answer(page, "are_movies", "No")
    expect(page.locator(".foot")).to_contain_text("Ready")
    page.get_by_role("button", name="Check command").click()
    expect(page.locator("dialog .command")).to_contain_text("vitreous exec")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Enter")
    steps.state(page, "Finished")
    expect(page.get_by_role("heading", level=1)).to_have_text("Import/job001")
    figures = page.locator(".figures")
    expect(figures).to_contain_text("Imported micrographs")
    expect(figures.locator("dd").first).to_have_text("3")
    expect(page.locator(".side .job")).to_have_count(1)
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
