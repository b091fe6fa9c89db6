"""The tiny demonstration: run once for all tests, also where several processes share them."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import vitreous

_COMMAND = [sys.executable, "-P", "-m", "vitreous", "demo"]


def run_demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `vitreous demo FOLDER --size tiny` as a user does."""
    command = [*_COMMAND, str(folder), "--size", "tiny"]
    return subprocess.run(command, capture_output=True, text=True, timeout=3500)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The project of the demonstration. Nothing may change it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder = shared / "tiny_demo"
    with (shared / "tiny_demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "demo.json").exists():
            done = run_demo(folder)
            (shared / "tiny_demo.out").write_text(done.stdout + done.stderr)
            assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def demo_says(demo_folder: Path) -> str:
    """What the demonstration printed."""
    return (demo_folder.parent / "tiny_demo.out").read_text()


@pytest.fixture
def found(demo_folder: Path) -> dict[str, Any]:
    """What the demonstration found."""
    return dict(json.loads((demo_folder / "demo.json").read_text()))


@pytest.fixture
def demo(demo_folder: Path) -> vitreous.Project:
    """The project, to look at."""
    return vitreous.Project(demo_folder, read_only=True)


@pytest.fixture
def copy(demo_folder: Path, tmp_path: Path) -> vitreous.Project:
    """A copy of the project, to change."""
    shutil.copytree(demo_folder, tmp_path / "demo", symlinks=True)
    return vitreous.Project(tmp_path / "demo")
