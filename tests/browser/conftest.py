"""Fixtures of the tests in a real Chromium: one browser, one server and project a module."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

import requirements
import small_project
from browser import gui_process
from vitreous import Project
from vitreous.gui import drafts
from vitreous.io import write_volume

FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu",
]
TALKER = """#!/bin/sh
# Says a line a quarter of a second, until it is stopped or has said enough.
out=$2
i=0
while [ $i -lt ${LINES_SAID:-400} ]; do
  i=$((i + 1)); echo "line $i of the talker"; sleep 0.25
  [ -e "${out}RELION_JOB_ABORT_NOW" ] && { touch "${out}RELION_JOB_EXIT_ABORTED"; exit 1; }
done
touch "${out}RELION_JOB_EXIT_SUCCESS"
"""
BROKEN = """#!/bin/sh
echo "reading the gain reference"
echo "ERROR: gain.mrc has 3838 x 3710 pixels, the movies have 4096 x 4096" >&2
exit 3
"""
expect.set_options(timeout=15_000)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """Return what starts browsers; a process can hold one of it."""
    requirements.need("chromium")
    if not gui_process.STATIC.exists():
        pytest.skip("the front end is not built (make install, or npm run build in frontend)")
    with sync_playwright() as one:
        yield one


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with micrographs to import and programs for External jobs."""
    made = small_project.make(tmp_path_factory.mktemp("project") / "betagal")
    folder = made.root / "Micrographs"
    folder.mkdir()
    random = np.random.default_rng(7)
    for number in range(3):
        image = random.normal(size=(256, 256)).astype(np.float32)
        write_volume(folder / f"mic{number:03d}.mrc", image, 1.4)
    for name, text in (("talker.sh", TALKER), ("broken.sh", BROKEN)):
        (made.root / name).write_text(text)
        (made.root / name).chmod(0o755)
    return made


@pytest.fixture(scope="module")
def gui(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[gui_process.Gui]:
    with gui_process.serve(project.root, tmp_path_factory.mktemp("runtime") / "r") as running:
        yield running


@pytest.fixture
def window(
    chromium: Browser, gui: gui_process.Gui, project: Project, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a window; what its page complains of fails the test."""
    # What an earlier test typed or set is kept for the project: no test needs another's.
    shutil.rmtree(project.root / drafts.FOLDER, ignore_errors=True)
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_window(url: str = "", *, width: int = 1280, height: int = 800) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(url or gui.url)
        return page

    yield open_window
    for number, context in enumerate(contexts):
        if request.session.testsfailed and context.pages:
            folder = Path(request.config.rootpath) / "build/browser"
            folder.mkdir(parents=True, exist_ok=True)
            context.pages[0].screenshot(path=folder / f"{request.node.name}-{number}.png")
        context.close()
    assert complaints == []


@pytest.fixture
def page(window: Callable[..., Page]) -> Page:
    """Return a window on the project."""
    return window()
