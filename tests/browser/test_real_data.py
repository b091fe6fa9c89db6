"""The walk-throughs of real images by the pages alone: forms, choosers, buttons and the gallery.

`VITREOUS_PICTURES` names a folder for the pictures that the documentation shows.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tools.make_walks import ROOT, walk

import requirements
from benchmarks import real_betagal
from browser import gui_process, steps
from browser.gallery_steps import click, save_selection, wait
from vitreous import Project
from vitreous.io import read_star, read_volume
from vitreous.running import record

EM = {"use_vdam": False, "use_em": True}
SEEDED = {"n_threads": "2", "other_arguments": "--random_seed 1"}
PARTICLES = {
    "import_images": False,
    "import_other": True,
    "other_kind": "Particles STAR file (.star)",
}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@dataclass(frozen=True)
class Seat:
    """A project, a window on it, and where pictures go."""

    root: Path
    page: Page
    pictures: Path

    def picture(self, name: str) -> None:
        """Take a picture of the window once its viewers show what they were given."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.viewer')]"
            ".every((one) => one.viewer && one.viewer.state.isLoaded !== false)"
        )
        self.page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture
def seat(
    window: Callable[..., Page],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Seat]]:
    """Return a function that prepares the project of a walk-through and opens it."""
    requirements.need("data")
    monkeypatch.setenv("DATA", str(requirements.DATA))
    root = tmp_path / "project"
    root.mkdir()
    Project.create(root)
    pictures = Path(os.environ.get("VITREOUS_PICTURES", tmp_path))
    data = ("--data", str(requirements.DATA))  # links of the projects lead there
    with gui_process.serve(root, tmp_path_factory.mktemp("runtime") / "r", *data) as gui:

        def sit(name: str) -> Seat:
            walk(ROOT / f"docs/walk-{name}.md", root, prepares_only=True)
            return Seat(root, window(gui.url, width=1440, height=900), pictures)

        yield sit


def test_real_betagal_from_the_pages_alone(seat: Callable[[str], Seat]) -> None:
    """The walk-through of docs/walk-betagal.md, all particles and iterations of it."""
    here = seat("betagal")
    page = here.page
    imported = steps.run(page, "import", **PARTICLES, other_file=Path("particles.star"))
    steps.finished(page, 5)
    expect(page.locator(".figures")).to_contain_text("684")
    warnings = page.get_by_role("region", name="Warnings")
    expect(warnings).to_have_count(0)

    (here.root / "wrong.star").symlink_to(
        requirements.DATA / "betagal_10204/particles_as_extracted.star"
    )
    steps.run(page, "import", **PARTICLES, other_file=Path("wrong.star"))
    steps.finished(page, 5)
    expect(warnings).to_contain_text("the particles do not show the CTF of their rows")
    here.picture("betagal-gui-import")

    steps.go(page, f"#/job/{imported}")
    steps.run_next(page, "class2d", **EM, **SEEDED, n_classes="12", mask_diameter_A="190")
    steps.finished(page, 60)
    chosen = steps.run_next(page, "select")
    wait(page, "s.isReady && s.isLoaded && s.rows.length === 12")
    for place in range(5):  # the largest come first, and these show the molecule
        click(page, place)
    wait(page, "s.selected[1] === 5")
    here.picture("betagal-gui-select")
    save_selection(page)
    kept = read_star(here.root / f"Select/job{chosen:03d}/particles.star")["particles"]
    assert 500 <= len(kept) < 684

    first = steps.run_next(page, "initialmodel", **SEEDED, point_group="D2", mask_diameter_A="190")
    steps.finished(page, 90)
    expect(page.locator(".figures")).to_contain_text("D2 mates agree to")
    steps.go(page, f"#/job/{chosen}")
    refined = steps.run_next(
        page, "refine3d", **SEEDED, map=Path(f"InitialModel/job{first:03d}/initial_model.mrc"),
        point_group="D2", mask_diameter_A="190", initial_low_pass_A="40",
    )  # fmt: skip
    steps.finished(page, 90)
    here.picture("betagal-gui-refine")
    folder = f"Refine3D/job{refined:03d}"
    steps.run_next(page, "maskcreate", other_arguments="--auto")
    steps.finished(page, 10)
    final = steps.run_next(
        page, "postprocess", half_map=Path(f"{folder}/run_half1_class001_unfil.mrc"),
        pixel_size_A="3.54",
    )  # fmt: skip
    steps.finished(page, 10)
    expect(page.locator(".figures")).to_contain_text(re.compile(r"Final resolution\s*7.08\s*Å"))
    expect(warnings).to_contain_text("The FSC never falls below 0.143")
    here.picture("betagal-gui-final")

    job = Project(here.root).job(final)
    assert job.results["resolution"] == pytest.approx(2 * 3.54, abs=0.01)
    assert read_volume(job.outputs["map"]).data.shape == (64, 64, 64)
    poses, degrees, shifts, distance_A = real_betagal.agreement(
        here.root / folder / "run_data.star"
    )
    figures = {
        "particles": len(kept), "poses_percent": poses, "median_deg": degrees,
        "shifts_percent": shifts, "median_A": distance_A, "jobs": _spent(here.root),
    }  # fmt: skip
    (here.pictures / "betagal-gui.json").write_text(json.dumps(figures, indent=1) + "\n")
    assert poses >= 85
    assert shifts >= 85


def test_real_apoferritin_from_the_pages_alone(seat: Callable[[str], Seat]) -> None:
    """The walk-through of docs/walk-apoferritin.md up to the picks by template."""
    here = seat("apoferritin")
    page = here.page
    steps.run(
        page, "import", images="Micrographs/*.mrc", are_movies=False, pixel_size_A="1.5",
        voltage_kV="300", cs_mm="2.7", amplitude_contrast="0.07",
    )  # fmt: skip
    steps.finished(page, 5)
    ctf = steps.run_next(page, "ctffind", max_resolution_A="4")
    steps.finished(page, 10)
    micrographs = f"CtfFind/job{ctf:03d}/micrographs_ctf.star"
    steps.run_next(
        page, "autopick", use_log=True, log_min_diameter_A="120", log_max_diameter_A="130",
        log_threshold_sigma="-1", min_distance_A="80",
    )  # fmt: skip
    steps.finished(page, 10)
    steps.run_next(
        page, "extract", micrographs=Path(micrographs), box_px="140",
        background_diameter_px="100",
    )  # fmt: skip
    steps.finished(page, 10)
    steps.run_next(page, "class2d", **EM, **SEEDED, n_classes="3", mask_diameter_A="130")
    steps.finished(page, 60)
    chosen = steps.run_next(page, "select")
    wait(page, "s.isReady && s.isLoaded")
    click(page, 0)
    wait(page, "s.selected[1] === 1")
    save_selection(page)
    steps.go(page, f"#/job/{ctf}")
    again = steps.run_next(
        page, "autopick", use_log=False, use_templates=True,
        templates=Path(f"Select/job{chosen:03d}/class_averages.star"), threshold="0.4",
        min_distance_A="80", max_noise_sigma="-1",
    )  # fmt: skip
    steps.finished(page, 20)
    found = Project(here.root).job(again).results["picks"]
    assert 300 < found < 900


def _spent(root: Path) -> dict[str, dict[str, float]]:
    """Return seconds of clock and processor, and peak memory, of each job."""
    found = {}
    for job in Project(root).jobs:
        known = record.read_process(job.path)
        if known is not None and known.ended:
            seconds = record.age_s(known.started) - record.age_s(known.ended)
            found[job.name] = {
                "seconds": round(seconds), "processor_s": round(known.processor_s),
                "peak_MiB": round(known.peak_memory_MiB),
            }  # fmt: skip
    return found
