"""A job's life: live log, abort, continue, schedule, failure, alias, note, delete, undelete."""

import re

import pytest
from playwright.sync_api import expect

from browser import steps


@pytest.fixture
def maker(page):
    """Return the number of a finished job, which the page shows."""
    n = steps.run_external(page, "make_particles.sh")
    steps.state(page, "Finished")
    return n


def abort(page):
    page.get_by_role("button", name="Abort", exact=True).click()
    expect(page.locator("dialog button:focus")).to_have_text("Let it run")
    page.locator("dialog").get_by_role("button", name="Abort External").click()
    steps.state(page, "Aborted")


def name_it(page, alias):
    page.get_by_role("button", name="Add an alias").click()
    page.get_by_label("Alias", exact=True).fill(alias)
    page.keyboard.press("Enter")
    expect(page.locator(".side .job.finished .al", has_text=alias)).to_be_visible()


def test_a_running_job_shows_its_log_live_and_can_be_aborted(page):
    steps.run_external(page, "talker.sh", alias="talker")
    steps.state(page, "Running")
    expect(page.locator(".side .job.running .al")).to_have_text("talker")
    expect(page.locator(".work")).to_contain_text("1 running")
    tail = page.locator("[data-log=out]")
    expect(tail).to_contain_text("line 3 of the talker")
    expect(tail).to_contain_text("line 8 of the talker")
    steps.tab(page, "Log")
    page.get_by_label("Search both logs").fill("line 2 ")
    expect(page.locator("mark").first).to_have_text("line 2 ")
    abort(page)
    expect(page.locator(".side .job.aborted .al", has_text="talker")).to_be_visible()


def test_a_stopped_job_is_continued_by_its_options(page):
    n = steps.run_external(page, "talker.sh")
    steps.state(page, "Running")
    abort(page)
    steps.go(page, f"#/job/{n}/options")
    expect(steps.field(page, "executable")).to_contain_text("Fixed since the job started")
    page.locator(".foot").get_by_role("button", name="Continue").click()
    steps.state(page, "Running")
    abort(page)


def test_a_scheduled_job_waits_until_it_is_run(page):
    steps.run_external(page, "make_particles.sh", button="Schedule")
    steps.state(page, "Scheduled")
    expect(page.locator(".side .job.scheduled")).to_have_count(1)
    page.get_by_role("button", name="Jobs menu").click()
    page.get_by_role("menuitem", name="Run scheduled jobs").click()
    dialog = page.locator("dialog")
    expect(dialog.get_by_role("checkbox")).to_be_checked()
    dialog.get_by_label("Wait after each job").fill("0.2")
    dialog.get_by_role("button", name="Run 1 job").click()
    steps.state(page, "Finished")


def test_a_failed_job_opens_on_its_reason(page):
    steps.run_external(page, "broken.sh")
    steps.state(page, "Failed")
    expect(page.get_by_role("tab", selected=True).last).to_have_text("Reason")
    expect(page.locator("#job-panel")).to_contain_text("What you can do")
    expect(page.locator(".log.err")).to_contain_text("gain.mrc has 3838 x 3710 pixels")
    steps.go(page, "#/")
    attention = page.get_by_role("region", name="Needs attention")
    expect(attention).to_contain_text("failed")
    attention.get_by_role("button", name="Mark as seen").click()
    expect(attention).to_have_count(0)


def test_alias_note_and_mark_can_be_changed_and_taken_back(page, maker):
    name_it(page, "good_particles")
    steps.tab(page, "Note")
    page.get_by_role("textbox", name="Note", exact=True).fill("Thin ice, use these.")
    page.locator("#job-panel").get_by_role("button", name="Save").click()
    expect(page.locator("#job-panel")).to_contain_text("Saved.")
    page.get_by_label(re.compile("Filter jobs")).fill("thin ice")
    expect(page.locator(".side .job")).to_have_count(1)
    page.keyboard.press("Escape")
    steps.action(page, "Mark as failed")
    steps.state(page, "Failed")
    page.locator(".notice").get_by_role("button", name="Undo").last.click()
    steps.state(page, "Finished")


def test_a_deleted_job_lies_in_the_trash_and_comes_back(page, maker):
    name_it(page, "thrown_away")
    n_before = page.locator(".side .job").count()
    steps.action(page, "Delete")
    dialog = page.locator("dialog")
    expect(dialog.locator("tbody tr")).to_have_count(1)
    expect(dialog.locator("button:focus")).to_have_text("Cancel")
    dialog.get_by_role("button", name="Move 1 job to Trash").click()
    expect(page.locator(".side .job")).to_have_count(n_before - 1)
    steps.go(page, "#/trash")
    row = page.locator("tbody tr", has_text="thrown_away")
    row.get_by_role("button", name="Undelete").click()
    expect(page.locator(".side .job")).to_have_count(n_before)
    expect(page.get_by_role("heading", level=1)).to_contain_text("External/job")


def test_a_job_is_overwritten_only_after_a_question(page, maker):
    steps.go(page, f"#/job/{maker}/options?mode=overwrite")
    button = page.locator(".foot").get_by_role("button", name="Overwrite")
    expect(button).to_be_enabled()
    dialog = page.locator("dialog")
    page.keyboard.press("Control+Enter")
    expect(dialog).to_contain_text("This cannot be undone")
    page.keyboard.press("Control+Enter")  # pressed again it is no answer
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    steps.state(page, "Finished")
    button.click()
    expect(dialog).to_contain_text("This cannot be undone")
    dialog.get_by_role("button", name=re.compile("Overwrite")).click()
    steps.state(page, "Finished")


def test_clean_up_shows_sizes_before_anything_moves(page, maker):
    steps.action(page, "Gentle clean")
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("There is nothing to clean")
    dialog.get_by_role("tab", name="Harsh clean").click()
    expect(dialog).to_contain_text("NO_HARSH_CLEAN")
    dialog.get_by_role("button", name="Cancel").click()


def test_the_graph_leads_to_jobs_and_finds_them(page, maker):
    name_it(page, "sought")
    steps.go(page, "#/graph")
    box = page.locator(".graphbox")
    expect(box.locator(".node")).not_to_have_count(0)
    page.get_by_label("Find a job in the graph").fill("sought")
    expect(box.locator(".node.found")).to_have_count(1)
    box.locator(".node.found").click()
    expect(page).to_have_url(re.compile(f"#/job/{maker}"))
