"""From import to a selection and back again, by the pages alone: what a user does in a session."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from playwright.sync_api import expect

from browser import steps
from browser.gallery_steps import click, save_selection, wait
from vitreous import Project
from vitreous.io import read_star

EM = {"use_vdam": False, "use_em": True}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with simulated particles that are not imported yet."""
    root = tmp_path_factory.mktemp("way") / "betagal"
    made = Project.create(root)
    words = "simulate particles --o Particles --n 160 --box_size 32 --angpix 7 --snr 0.3 --offset 3"
    command = [sys.executable, "-P", "-m", "vitreous", *words.split()]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    return made


def test_import_classify_select_continue_abort_delete_and_undelete(page, project):
    particles = steps.run(
        page, "import", import_images=False, import_other=True,
        other_file="Particles/particles.star", other_kind="Particles STAR file (.star)",
    )  # fmt: skip
    steps.state(page, "Finished", timeout=60_000)
    expect(page.locator(".figures")).to_contain_text("160")

    classes = steps.run(
        page, "class2d", after=particles, **EM, n_classes="3", n_iterations_em="6",
        mask_diameter_A="200", other_arguments="--random_seed 1",
    )  # fmt: skip
    expect(page.locator("[data-log=out]")).to_contain_text("Iteration 2:", timeout=60_000)
    steps.state(page, "Finished", timeout=60_000)
    page.get_by_role("button", name="Display").click()
    page.get_by_role("menuitem", name=re.compile("run_it006_optimiser")).first.click()
    wait(page, "s.isReady && s.isLoaded && s.rows.length === 3")

    chosen = steps.run(page, "select", after=classes)
    wait(page, "s.isReady && s.isLoaded")
    click(page, 0)
    wait(page, "s.selected[1] === 1")
    save_selection(page)
    kept = read_star(project.root / f"Select/job{chosen:03d}/particles.star")["particles"]
    assert 0 < len(kept) < 160

    steps.go(page, f"#/job/{classes}/options")
    steps.fill_on_its_tab(page, "class2d", "n_iterations_em", "900")
    page.locator(".foot").get_by_role("button", name="Continue").click()
    steps.state(page, "Running")
    expect(page.locator("[data-log=out]")).to_contain_text("Iteration 8:", timeout=60_000)
    page.get_by_role("button", name="Abort", exact=True).click()
    page.locator("dialog").get_by_role("button", name=re.compile("^Abort ")).click()
    steps.state(page, "Aborted", timeout=60_000)

    steps.go(page, f"#/job/{chosen}")
    steps.action(page, "Delete")
    page.locator("dialog").get_by_role("button", name="Move 1 job to Trash").click()
    expect(page.locator(".side .job")).to_have_count(2)
    steps.go(page, "#/trash")
    page.locator("tbody tr").first.get_by_role("button", name="Undelete").click()
    expect(page.locator(".side .job")).to_have_count(3)
    assert (project.root / f"Select/job{chosen:03d}/particles.star").exists()
