"""The tiny demonstration ends with a map that is right, says so, and is not done twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import vitreous
from demo.demo_steps import ALIASES, WORDS
from vitreous.demo.workflow import SIZES

OF_SO_LITTLE = (
    "No B-factor was fitted",
    "the FSC never falls below 0.143",
    "The FSC never falls",
    "The signal falls below the noise and comes back",
    "The resolution depends on the mask",
)
"""What jobs warn of since the tiny demonstration resolves all that its pixels allow, and since the
signal of 90 particles a half lies near the noise in many shells."""

pytestmark = pytest.mark.timeout(3600)  # the first test waits for the demonstration


def test_every_step_is_a_job_that_succeeded(demo: vitreous.Project) -> None:
    assert [job.type.split(".")[1] for job in demo.jobs] == WORDS
    assert {job.status for job in demo.jobs} == {"Succeeded"}
    assert [(job.alias or "").split("/")[1] for job in demo.jobs] == ALIASES
    for job in demo.jobs:
        assert job.log(err=True) == "", job.name
        told = [one["what"] for one in job.results.get("warnings", [])]
        told = [one for one in told if not any(words in one for words in OF_SO_LITTLE)]
        assert told == [], job.name


def test_particles_are_found_and_little_else(found: dict[str, Any]) -> None:
    assert found["recall"] >= 0.9
    assert found["precision"] >= 0.9
    assert found["particles_kept"] >= 100


def test_motion_and_defocus_are_measured(found: dict[str, Any]) -> None:
    assert found["motion_error_A"] <= 0.4
    assert found["defocus_error_A"] <= 60
    assert found["largest_defocus_error_A"] <= 200


def test_the_map_is_the_molecule(found: dict[str, Any]) -> None:
    """The two measures, of which only one knows the truth, agree too."""
    assert found["resolution_against_truth_A"] <= 14
    assert found["resolution_A"] <= 14
    assert min(found["fsc_with_truth"][1:12]) >= 0.9  # to 21 Å
    ratio = found["resolution_A"] / found["resolution_against_truth_A"]
    assert 0.75 <= ratio <= 1.33


def test_time_and_memory_of_every_job_are_told(found: dict[str, Any], demo_says: str) -> None:
    size = SIZES["tiny"]
    assert [row["alias"] for row in found["jobs"]] == ALIASES
    assert sum(size.shares_s.values()) <= 60 * size.minutes
    for row in found["jobs"]:
        assert row["job"] in demo_says
        assert row["processor_s"] <= 2 * row["share_s"], row  # two cores
        assert 20 < row["peak_MiB"] < 2000, row
    for told in ("Resolution", "Against the truth", "recall", "Motion", "Defocus", "vitreous gui"):
        assert told in demo_says


def test_shares_of_time_add_up() -> None:
    for name, size in SIZES.items():
        assert list(size.shares_s) == [*ALIASES, "truth"], name
        assert sum(size.shares_s.values()) <= 60 * size.minutes, name


def test_run_again_it_repeats_no_job(demo_folder: Path) -> None:
    records = sorted(demo_folder.glob("*/job*/process.json"))
    before = [path.read_text() for path in records]
    done = _demo(demo_folder, "--size", "tiny")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done before") == len(ALIASES)
    assert [path.read_text() for path in records] == before


def test_another_size_in_the_same_folder_is_refused(demo_folder: Path) -> None:
    done = _demo(demo_folder, "--size", "small")
    assert done.returncode == 2
    assert "holds a demonstration of size tiny" in done.stderr


def test_a_project_of_somebody_is_left_alone(tmp_path: Path) -> None:
    vitreous.Project.create(tmp_path)
    done = _demo(tmp_path)
    assert done.returncode == 2
    assert "is a project of its own" in done.stderr
    assert not (tmp_path / "simulate.sh").exists()


@pytest.mark.parametrize("wrong", ["huge", ""])
def test_an_unknown_size_is_refused(tmp_path: Path, wrong: str) -> None:
    done = _demo(tmp_path / "demo", "--size", wrong)
    assert done.returncode == 2
    assert "tiny" in done.stderr
    assert not (tmp_path / "demo").exists()


def test_json_is_all_that_is_printed(demo_folder: Path) -> None:
    done = _demo(demo_folder, "--size", "tiny", "--json")
    assert json.loads(done.stdout)["size"] == "tiny"


def _demo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "vitreous", "demo", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def test_stopped_by_ctrl_c_it_says_how_to_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    # A shell that puts the tests into the background lets them ignore Ctrl-C, their children too.
    heeding = ["env", "--default-signal=INT"]
    command = [sys.executable, "-P", "-m", "vitreous", "demo", str(folder), "--size", "tiny"]
    process = subprocess.Popen(
        [*heeding, *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    _wait_for(folder / "External/job001/process.json", process)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=300)
    finally:
        process.kill()
    status = vitreous.Project(folder).job("microscope").status
    if status == "Succeeded":  # it was done before it could be stopped
        assert process.returncode == 130
    else:
        assert process.returncode == 1
        assert status == "Aborted"
        assert "External/job001/ (microscope) was stopped. Run this again to go on." in said
    assert not (folder / "Import").exists()


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not path.exists() or '"running"' not in path.read_text():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
