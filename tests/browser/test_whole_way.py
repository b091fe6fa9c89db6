"""From import to a selection and back again, by the pages alone: what a user does in a session."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

import requirements
from browser import steps
from browser.gallery_steps import click, wait
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
    wait(page, "s.selected[1] === 1 && s.isKept")
    page.get_by_role("button", name="Save selection").click()
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    steps.state(page, "Finished", timeout=60_000)
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


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_real_apoferritin_from_the_pages_alone(window, chromium, tmp_path, tmp_path_factory):
    """The walk-through of docs/walk-apoferritin.md up to the picks by template."""
    from browser import gui_process

    requirements.need("data")
    project = Project.create(tmp_path / "apoferritin")
    _micrographs(project.root)
    with gui_process.serve(project.root, tmp_path_factory.mktemp("runtime") / "r") as gui:
        page = window(gui.url, width=1440, height=900)
        imported = steps.run(
            page, "import", images="Micrographs/*.mrc", are_movies=False, pixel_size_A="1.5",
            voltage_kV="300", cs_mm="2.7", amplitude_contrast="0.07",
        )  # fmt: skip
        steps.state(page, "Finished", timeout=60_000)
        ctf = steps.run(page, "ctffind", after=imported, max_resolution_A="4")
        steps.state(page, "Finished", timeout=300_000)
        picks = steps.run(
            page, "autopick", after=ctf, use_log=True, log_min_diameter_A="120",
            log_max_diameter_A="130", log_threshold_sigma="-1", min_distance_A="80",
        )  # fmt: skip
        steps.state(page, "Finished", timeout=300_000)
        particles = steps.run(
            page, "extract", after=picks,
            micrographs=f"CtfFind/job{ctf:03d}/micrographs_ctf.star", box_px="140",
            background_diameter_px="100",
        )  # fmt: skip
        steps.state(page, "Finished", timeout=300_000)
        classes = steps.run(
            page, "class2d", after=particles, **EM, n_classes="3", mask_diameter_A="130",
            n_threads="2", other_arguments="--random_seed 1",
        )  # fmt: skip
        steps.state(page, "Finished", timeout=1_800_000)
        chosen = steps.run(page, "select", after=classes)
        wait(page, "s.isReady && s.isLoaded")
        click(page, 0)
        wait(page, "s.isKept")
        page.get_by_role("button", name="Save selection").click()
        page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
        steps.state(page, "Finished", timeout=60_000)
        again = steps.run(
            page, "autopick", after=ctf, use_log=False, use_templates=True,
            templates=f"Select/job{chosen:03d}/class_averages.star", threshold="0.4",
            min_distance_A="80", max_noise_sigma="-1",
        )  # fmt: skip
        steps.state(page, "Finished", timeout=600_000)
    found = Project(project.root).job(again).results["picks"]
    assert 300 < found < 900


def _micrographs(root: Path) -> None:
    """Convert the pictures as the walk-through does."""
    data = Path(os.environ.get("DATA", Path(__file__).resolve().parents[3] / "shared/data"))
    (root / "Micrographs").mkdir()
    for picture in sorted((data / "micrographs/apoferritin_10146").glob("*.bin_avg.png")):
        name = picture.name.removesuffix(".bin_avg.png")
        words = ["image", "--i", str(picture), "--o", f"Micrographs/{name}.mrc"]
        command = [sys.executable, "-P", "-m", "vitreous", *words, "--force_header_angpix", "1.5"]
        subprocess.run(command, cwd=root, check=True, capture_output=True)
