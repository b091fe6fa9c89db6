"""Entries of RELION's menus, each by its place in the page."""

import re

import pytest
from playwright.sync_api import expect

from browser import gui_process, steps


@pytest.fixture(scope="module", autouse=True)
def jobs(project):
    """Two finished jobs, one failed and one scheduled."""
    for alias in ("zebra", "apple"):
        project.run("external", executable="./make_particles.sh", alias=alias)
    project.run("external", executable="./broken.sh", background=True).wait()
    project.run("external", executable="./make_particles.sh", schedule=True)


def entry(page, menu, name):
    page.get_by_role("button", name=menu, exact=True).click()
    page.get_by_role("menuitem", name=name).or_(
        page.get_by_role("menuitemradio", name=name)
    ).first.click()


def test_the_pipeline_is_read_again_and_its_nodes_are_made_again(page, project):
    nodes = project.root / ".Nodes"
    for path in sorted(nodes.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    entry(page, "Project menu", "Remake .Nodes/")
    expect(page.locator(".notice").first).to_be_visible()
    assert list(nodes.rglob("particles.star"))
    page.locator("body").press("Alt+r")
    expect(page.locator(".notice")).to_have_count(2)
    expect(page.locator(".side .job")).to_have_count(4)


def test_the_note_of_the_project_is_written_and_stands_among_all_notes(page, project):
    entry(page, "Project menu", "Project note")
    dialog = page.locator("dialog")
    dialog.get_by_role("textbox").fill("Grids of the second freezing.")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_contain_text("Saved.")
    dialog.get_by_role("button", name="Close").click()
    assert project.note(None).strip() == "Grids of the second freezing."
    entry(page, "Project menu", "All notes")
    expect(page.locator("main")).to_contain_text("Grids of the second freezing.")


def test_a_file_is_shown_from_the_menu(page):
    page.locator("body").press("Control+o")
    dialog = page.locator("dialog")
    dialog.get_by_role("button", name="Micrographs", exact=True).click()
    dialog.get_by_role("button", name="mic001.mrc", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("mic001.mrc")
    expect(page).to_have_url(re.compile("#/display"))


def test_the_start_page_and_about_can_be_opened_again(page):
    page.locator("body").press("Alt+z")
    expect(page).to_have_url(re.compile("#/start"))
    entry(page, "Project menu", "About")
    expect(page.locator("dialog")).to_contain_text("Files in the form of")


def test_finished_jobs_stand_by_age_or_alias(page):
    finished = page.locator(".side .job.finished .al")
    expect(finished).to_have_text(["apple", "zebra"])
    entry(page, "Jobs menu", "Oldest first")
    expect(finished).to_have_text(["zebra", "apple"])
    page.locator("body").press("Alt+a")
    expect(finished).to_have_text(["apple", "zebra"])
    page.locator("body").press("Alt+c")
    expect(page.locator(".side .list-head", has_text="Finished")).not_to_contain_text("alias")


def test_scheduled_jobs_are_exported_and_imported(page, project):
    entry(page, "Jobs menu", "Export or import")
    page.get_by_label("Name of the export").fill("plan")
    page.get_by_role("button", name="Export scheduled jobs").click()
    expect(page.locator(".notice").first).to_be_visible()
    assert (project.root / "ExportJobs/plan/exported.star").is_file()
    scheduled = page.locator(".side .job.scheduled")
    expect(scheduled).to_have_count(1)
    page.get_by_label("exported.star of an export").fill("ExportJobs/plan/exported.star")
    page.get_by_role("button", name="Import scheduled jobs").click()
    expect(scheduled).to_have_count(2)
    scheduled.last.click()
    steps.action(page, "Delete")
    page.locator("dialog").get_by_role("button", name="Move 1 job to Trash").click()
    expect(scheduled).to_have_count(1)


def test_running_scheduled_jobs_are_stopped_by_their_name(page, project):
    entry(page, "Jobs menu", "Run scheduled jobs")
    dialog = page.locator("dialog")
    dialog.get_by_label("Name").fill("night")
    dialog.get_by_label("Wait before").fill("30")
    dialog.get_by_role("button", name="Run 1 job").click()
    steps.go(page, "#/runs")
    page.get_by_role("button", name="Stop night").click()
    expect(page.locator(".run", has_text="night")).to_contain_text("ended", timeout=30_000)
    assert not (project.root / "RUNNING_PIPELINER_night").exists()


def test_errors_of_a_log_are_cleared(page):
    steps.go(page, "#/job/3/log")
    expect(page.locator("[data-log=err]")).to_contain_text("gain.mrc has 3838 x 3710")
    page.get_by_role("button", name="Clear errors").click()
    expect(page.get_by_role("region", name="run.err")).to_contain_text("empty, as it should be")


def test_a_new_form_begins_with_what_was_used_last(page):
    steps.go(page, "#/new/external")
    executable = steps.field(page, "executable").locator("input.in")
    expect(executable).to_have_value("./make_particles.sh")
    tabs = page.get_by_role("tablist", name="Tabs of the form").get_by_role("tab")
    expect(tabs.first).to_contain_text("1")  # changed from default
    page.get_by_role("button", name="Start from").click()
    page.get_by_role("menuitem", name="Defaults").click()
    expect(executable).to_have_value("")


def test_files_of_the_project_are_browsed(page):
    steps.go(page, "#/new/external")
    steps.field(page, "executable").get_by_role("button", name="Browse").click()
    dialog = page.locator("dialog")
    dialog.get_by_label("Filter").fill("talk")
    dialog.get_by_role("button", name="talker.sh", exact=True).click()
    expect(steps.field(page, "executable").locator("input.in")).to_have_value("talker.sh")


def test_the_server_is_stopped_from_the_menu(window, project, tmp_path):
    with gui_process.serve(project.root, tmp_path / "r") as gui:
        page = window(gui.url)
        entry(page, "Project menu", "Stop server")
        page.locator("dialog").get_by_role("button", name="Stop server").click()
        expect(page.locator(".status")).to_contain_text("Not connected for")
        assert gui.process.wait(20) == 0
