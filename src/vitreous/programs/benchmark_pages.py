"""The pages in a real Chromium: over a slow link, among 5,000 picks, at a volume, in the gallery.

What a person would feel is measured in the page itself, from the event or the address to the frame
that shows it. Nothing but loopback is used; the link is slowed down by Chromium.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin

import numpy as np

from vitreous.io import Table, write_mrc, write_star, write_volume
from vitreous.programs import benchmark_gallery

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MARKS: Final = 5000
_SIDE: Final = 2048
_PICKS: Final = 9
_BOX: Final = 256
_MICROGRAPHS: Final = "bench_micrographs.star"
_MAP: Final = "bench_map.mrc"
# A round trip of 50 ms, and what an office network and a tunnel leave: 20 Mbit/s, 5 Mbit/s up.
_LINK: Final = {
    "offline": False,
    "latency": 50,
    "downloadThroughput": 20e6 / 8,
    "uploadThroughput": 5e6 / 8,
}
_FLAGS: Final = ["--no-sandbox", "--disable-gpu"]
# WebGL2 without a card, which nothing but the volume needs.
_GL: Final = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
_WATCH: Final = """() => {
  const look = () => {
    const isThere = document.querySelector('.list .job') && document.querySelector('main h1');
    requestAnimationFrame(isThere ? () => setTimeout(tell) : look);
  };
  const tell = () => { window.usableAt ??= performance.now(); };
  look();
}"""
_SHELL: Final = """() => {
  const of = (kind) => performance.getEntriesByType(kind);
  const all = [...of('navigation'), ...of('resource')];
  const shell = all.filter((one) => !one.name.includes('/api/'));
  return shell.reduce((sum, one) => sum + one.encodedBodySize, 0);
}"""
_PICKER: Final = "document.querySelector('.viewer.mg')?.viewer?.state"
_VOLUME: Final = """() => {
  const one = document.querySelector('.vol[aria-busy=false]');
  const told = one?.dataset.state ? JSON.parse(one.dataset.state) : null;
  return told && told.isLoaded && told.frames > 0 ? told : null;
}"""


def make_files(root: Path) -> None:
    """Write the micrograph that is picked on and the map that is looked at."""
    rng = np.random.default_rng(2)
    write_mrc(root / "bench.mrc", rng.normal(size=(_SIDE, _SIDE)).astype(np.float32), 1.0)
    rows = {"rlnMicrographName": ["bench.mrc"], "rlnOpticsGroup": [1]}
    optics = {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [1.0]}
    tables = [Table.from_columns("optics", optics), Table.from_columns("micrographs", rows)]
    write_star(root / _MICROGRAPHS, tables)
    z, y, x = np.indices((_BOX,) * 3, np.float32) - _BOX // 2
    ball = np.clip(80 + 8 * np.sin(x / 6) * np.sin(y / 6) - np.sqrt(z * z + y * y + x * x), 0, 4)
    write_volume(root / _MAP, ball.astype(np.float32), 1.0)


def make_picks(page: Page, root: Path) -> int:
    """Begin a picking job with thousands of picks; return its number."""
    values = {"micrographs": _MICROGRAPHS, "diameter_A": 8, "low_pass_A": -1, "pixel_size_A": 1}
    body = {"word": "manualpick", "values": values, "mode": "run", "request_id": "benchmark-picks"}
    answer = page.request.post(
        urljoin(page.url, "/api/jobs"),
        data=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    made: dict[str, Any] = answer.json()
    across = math.ceil(math.sqrt(MARKS))
    place = np.arange(MARKS)
    columns = {
        "rlnCoordinateX": 40.0 + (place % across) * (_SIDE - 80) / across,
        "rlnCoordinateY": 40.0 + (place // across) * (_SIDE - 80) / across,
        "rlnAutopickFigureOfMerit": np.random.default_rng(3).uniform(0, 1, MARKS),
    }
    write_star(root / made["name"] / "bench_manualpick.star", [Table.from_columns("", columns)])
    return int(made["n"])


def measure(root: Path, url: str) -> dict[str, Any]:
    """Return what a person would feel; why not, where no browser is there.

    Parameters
    ----------
    root
        The project, with the files of `make_files` and `benchmark_gallery.make_list`.
    url
        Address of its server with the token.
    """
    chromium = shutil.which("chromium")
    if chromium is None or find_spec("playwright") is None:
        return {"pages": "not measured: needs Chromium and the Python package playwright"}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launch = playwright.chromium.launch
        browser = launch(executable_path=chromium, args=_FLAGS)
        found = _over_a_link(browser, url)
        found |= _in_page(browser, url, benchmark_gallery.measure)
        found |= _in_page(browser, url, lambda page: _picking(page, make_picks(page, root)))
        browser.close()
        browser = launch(executable_path=chromium, args=[_FLAGS[0], *_GL])
        found |= _in_page(browser, url, _volume)
        browser.close()
    return found


def _over_a_link(browser: Browser, url: str) -> dict[str, Any]:
    """Open the pages as one who never saw them does, at the end of a slow link."""
    took = []
    for _ in range(3):
        with _page(browser) as page:
            link = page.context.new_cdp_session(page)
            link.send("Network.enable")
            link.send("Network.emulateNetworkConditions", dict(_LINK))
            page.add_init_script(f"({_WATCH})()")
            page.goto(url)
            page.wait_for_function("() => window.usableAt", timeout=60_000)
            took.append(page.evaluate("window.usableAt") / 1000)
            page.wait_for_load_state("networkidle")
            n_bytes = page.evaluate(_SHELL)
    return {"usable_s": round(statistics.median(took), 3), "shell_kB": round(n_bytes / 1e3, 1)}


def _picking(page: Page, number: int) -> dict[str, Any]:
    """Add picks among thousands, and tell how long each took until it was seen."""
    page.evaluate(f"location.hash = '#/job/{number}/picks'")
    page.wait_for_function(
        f"() => {{ const s = {_PICKER}; return s?.isLoaded && s.nMarks === {MARKS}; }}",
        timeout=60_000,
    )
    took, drawn = [], 0.0
    for n in range(_PICKS):
        told = page.evaluate(_PICKER)
        view, box = told["view"], told["box"]
        x = box["left"] + (12 - view["x"]) * view["scale"] + view["width"] / 2
        y = box["top"] + (60 + 200 * n - view["y"]) * view["scale"] + view["height"] / 2
        page.mouse.click(x, y)
        page.wait_for_function(
            f"([n, before]) => {_PICKER}.nPicks === n && {_PICKER}.lastPick_ms !== before",
            arg=[MARKS + n + 1, told["lastPick_ms"]],
        )
        now = page.evaluate(_PICKER)
        took.append(now["lastPick_ms"])
        drawn = max(drawn, now["lastDraw_ms"])
    return {
        "marks": MARKS,
        "pick_ms": round(statistics.median(took), 1),
        "pick_worst_ms": round(max(took), 1),
        "marks_drawn_ms": round(drawn, 1),
    }


def _volume(page: Page) -> dict[str, Any]:
    """Open a map and wait for its surface."""
    began = page.evaluate("performance.now()")
    page.evaluate(f"location.hash = '#/display?path={_MAP}'")
    told = page.wait_for_function(_VOLUME, timeout=120_000).json_value()
    took_s = (page.evaluate("performance.now()") - began) / 1000
    return {
        "volume_box": told["box"],
        "volume_webgl": not told["isServer"],
        "volume_first_s": round(took_s, 3),
        "volume_frame_ms": round(told["frameMs"], 1),
    }


def _in_page(browser: Browser, url: str, what: Callable[[Page], dict[str, Any]]) -> dict[str, Any]:
    with _page(browser) as page:
        page.goto(url)
        page.locator(".list .job").first.wait_for()
        return what(page)


@contextmanager
def _page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1920, "height": 1080})
    try:
        yield context.new_page()
    finally:
        context.close()
