"""An empty project: first screen, job types, forms."""

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
