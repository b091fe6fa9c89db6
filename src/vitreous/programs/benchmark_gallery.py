"""The gallery in a real Chromium: first images of a long list, and scrolling all of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vitreous.io import Table, write_star

if TYPE_CHECKING:
    from playwright.sync_api import Page

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


def measure(page: Page) -> dict[str, Any]:
    """Return how soon the first images are there, and how smoothly the whole list scrolls."""
    began = page.evaluate("performance.now()")
    page.evaluate(f"location.hash = '#/display?path={NAME}'")
    page.wait_for_function(_READY, timeout=60_000)
    first_s = (page.evaluate("performance.now()") - began) / 1000
    page.wait_for_timeout(1500)
    found = page.evaluate(_SCROLL, _STEPS)
    return {
        "gallery_images": _IMAGES,
        "gallery_first_s": round(first_s, 3),
        "gallery_script_ms": round(found["frame"], 1),
        "gallery_long_task_ms": round(found["task"], 1),
        "gallery_frames_per_s": round(found["rate"], 1),
    }
