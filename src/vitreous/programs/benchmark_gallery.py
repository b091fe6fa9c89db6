"""The gallery in a real Chromium: first images of a long list, and scrolling all of it."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np

from vitreous.io import Table, write_star

NAME: Final = "many.star"
_IMAGES: Final = 100_000
_STEPS: Final = 300
_READY: Final = """() => {
  const found = document.querySelector('.viewer.gallery')?.viewer?.state;
  return found && found.isReady && found.isLoaded;
}"""
_SCROLL: Final = """(steps) => new Promise((done) => {
  const box = document.querySelector('.g-scroll');
  const tall = box.scrollHeight - box.clientHeight;
  const tasks = [0];
  const watch = new PerformanceObserver((list) => {
    for (const one of list.getEntries()) tasks.push(one.duration);
  });
  watch.observe({ entryTypes: ['longtask'] });
  const began = performance.now();
  let step = 0;
  const next = () => {
    step += 1;
    box.scrollTop = tall * step / steps;
    if (step < steps) { requestAnimationFrame(next); return; }
    const frame = document.querySelector('.viewer.gallery').viewer.state.longestFrame_ms;
    done({ task: Math.max(...tasks), frame, rate: 1000 * steps / (performance.now() - began) });
  };
  requestAnimationFrame(next);
})"""


def make_list(root: Path, n_in_stack: int) -> None:
    """Write a list of 100,000 particles over the images of a small stack."""
    rows = np.arange(_IMAGES)
    names = [f"{row % n_in_stack + 1:06d}@stack.mrcs" for row in rows]
    columns = {"rlnImageName": names, "rlnDefocusU": rows[::-1].astype(float)}
    write_star(root / NAME, [Table.from_columns("particles", columns)])


def measure(url: str) -> dict[str, Any]:
    """Return what a person would feel; why not, where no browser is there.

    Parameters
    ----------
    url
        Address of the server with its token.
    """
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return {"gallery": "not measured: needs Chromium and the Python package playwright"}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(url)
        began = page.evaluate("performance.now()")
        page.evaluate(f"location.hash = '#/display?path={NAME}'")
        page.wait_for_function(_READY, timeout=60_000)
        first_s = (page.evaluate("performance.now()") - began) / 1000
        page.wait_for_timeout(1500)
        found = page.evaluate(_SCROLL, _STEPS)
        browser.close()
    return {
        "gallery_images": _IMAGES,
        "gallery_first_s": round(first_s, 3),
        "gallery_script_ms": round(found["frame"], 1),
        "gallery_long_task_ms": round(found["task"], 1),
        "gallery_frames_per_s": round(found["rate"], 1),
    }
