"""Pictures of every screen, at three sizes, light and dark, for the documentation.

``python tools/make_screens.py [--project FOLDER] [--out FOLDER]``. Without a project one is made
of simulated data (`sample_project`), which takes minutes.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools"), str(ROOT)]

import sample_project  # noqa: E402 - found through the line above

from browser import gui_process  # noqa: E402
from browser.conftest import FLAGS  # noqa: E402
from vitreous import Project  # noqa: E402

SIZES: Final = ((1280, 800), (1920, 1080), (2560, 1440))
THEMES: Final = ("light", "dark")
N_EXACT: Final = 96
"""How many of the 256 colours of a picture are exact."""
GL: Final = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass(frozen=True)
class Screen:
    """One screen.

    Parameters
    ----------
    name
        Name of its pictures.
    address
        Behind the hash; ``{autopick}`` stands for the number of the newest job of that type.
    act
        What is done before the picture is taken.
    is_empty
        Taken of an empty project.
    """

    name: str
    address: str
    act: Callable[[Page], None] = lambda _: None
    is_empty: bool = False


def _menu(button: str, entry: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        page.get_by_role("button", name=button, exact=True).first.click()
        if entry:
            page.get_by_role("menuitem", name=entry).click()

    return act


def _tab(name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("tab", name=name).first.click()


def _form(page: Page) -> None:
    page.locator("[data-option=preread_images]").or_(page.locator("main h1")).first.wait_for()
    page.get_by_role("tab", name="Compute").click()
    page.locator("[data-option=n_pooled] input.in").fill("30")
    page.locator("[data-option=preread_images]").get_by_role("radio", name="Yes").click()


def _browse(page: Page) -> None:
    page.locator("[data-option=particles]").get_by_role("button", name="Browse").click()


def _find(page: Page) -> None:
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("class")


def _gallery(act: Callable[[Page], None] = lambda _: None) -> Callable[[Page], None]:
    """Choose three images of a gallery, then do more."""

    def choose(page: Page) -> None:
        page.locator(".g-scroll").focus()
        for key in ("Delete", "Home", "1", "Space", "ArrowRight", "Space", "2", "ArrowRight"):
            page.keyboard.press(key)
        page.keyboard.press("Space")
        page.keyboard.press("1")
        act(page)

    return choose


def _picker(act: Callable[[Page], None] = lambda _: None) -> Callable[[Page], None]:
    """Hide weak picks, then do more on the micrograph."""

    def look(page: Page) -> None:
        page.locator(".mg-over").wait_for()
        page.wait_for_timeout(3000)
        page.get_by_label("Figure of merit at least").fill("0.25")
        page.keyboard.press("Enter")
        act(page)
        page.wait_for_timeout(1000)

    return look


def _measure(page: Page) -> None:
    page.locator("[data-tool=ruler]").click()
    page.mouse.move(420, 300)
    page.mouse.down()
    page.mouse.move(640, 420, steps=4)
    page.mouse.up()


def _volume(page: Page) -> None:
    page.locator(".vol[aria-busy=false]").wait_for()
    page.locator(".vol-stage").focus()
    for key in ("ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_timeout(1500)


def _volume_with(*buttons: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        for button in buttons:
            found = page.locator(".vol").get_by_role("button", name=button)
            if found.get_attribute("aria-pressed") != "true":  # the project keeps it
                found.click()
        _volume(page)

    return act


SCREENS: Final = (
    Screen("start", "#/", is_empty=True),
    Screen("overview", "#/"),
    Screen("new-job", "#/new/refine3d", _form),
    Screen("chooser", "#/new/class2d", _browse),
    Screen("import", "#/new/import"),
    Screen("palette", "#/", _find),
    Screen("keys", "#/", lambda page: page.locator("body").press("?")),
    Screen("project-menu", "#/", _menu("Project menu", "")),
    Screen("jobs-menu", "#/", _menu("Jobs menu", "")),
    Screen("results-ctffind", "#/job/{ctffind}"),
    Screen("results-autopick", "#/job/{autopick}"),
    Screen("results-class2d", "#/job/{class2d}"),
    Screen("results-refine3d", "#/job/{refine3d}"),
    Screen("results-postprocess", "#/job/{postprocess}"),
    Screen("picker", "#/job/{manualpick}/picks", _picker()),
    Screen(
        "picker-menu",
        "#/job/{manualpick}/picks",
        _picker(lambda page: page.mouse.click(600, 380, button="right")),
    ),
    Screen("picker-measure", "#/job/{manualpick}/picks", _picker(_measure)),
    Screen("picks-autopick", "#/job/{autopick}/picks"),
    Screen("gallery-select", "#/job/{select}/selection", _gallery()),
    Screen("gallery-particles", "#/display?path=Extract/job{extract:03d}/particles.star"),
    Screen(
        "gallery-menu",
        "#/job/{select}/selection",
        _gallery(lambda page: page.keyboard.press("Shift+F10")),
    ),
    Screen(
        "gallery-settings",
        "#/job/{select}/selection",
        _gallery(lambda page: page.get_by_label("More picture settings").click()),
    ),
    Screen(
        "gallery-save",
        "#/job/{select}/selection",
        _gallery(lambda page: page.keyboard.press("Control+s")),
    ),
    Screen(
        "gallery-one",
        "#/job/{select}/selection",
        _gallery(lambda page: page.keyboard.press("Enter")),
    ),
    Screen("results-maskcreate", "#/job/{maskcreate}", _volume),
    Screen("volume", "#/display?path=Refine3D/job{refine3d:03d}/run_class001.mrc", _volume),
    Screen(
        "volume-slices",
        "#/display?path=Refine3D/job{refine3d:03d}/run_class001.mrc",
        _volume_with("Slices"),
    ),
    Screen(
        "volume-more",
        "#/display?path=Refine3D/job{refine3d:03d}/run_class001.mrc",
        _volume_with("Both", "More"),
    ),
    Screen(
        "volume-axes",
        "#/display?path=Refine3D/job{refine3d:03d}/run_class001.mrc",
        _volume_with("Both", "axes"),
    ),
    Screen("running", "#/job/{external}"),
    Screen("failed", "#/job/{failed}"),
    Screen("options-continue", "#/job/{class2d}/options", _tab("Optimisation")),
    Screen("options-table", "#/job/{class2d}/options?mode=table"),
    Screen("inputs-outputs", "#/job/{extract}/links"),
    Screen("log", "#/job/{refine3d}/log"),
    Screen("job-files", "#/job/{refine3d}/files"),
    Screen("note", "#/job/{class2d}/note"),
    Screen("display-menu", "#/job/{refine3d}", _menu("Display", "")),
    Screen("job-actions", "#/job/{refine3d}", _menu("Job actions", "")),
    Screen("delete", "#/job/{refine3d}", _menu("Job actions", "Delete")),
    Screen("clean", "#/job/{class2d}", _menu("Job actions", "Gentle clean")),
    Screen("abort", "#/job/{external}", lambda page: page.locator(".head .danger").click()),
    Screen("run-scheduled", "#/runs", _menu("Run scheduled jobs", "")),
    Screen("graph", "#/graph"),
    Screen("graph-path", "#/graph?job={extract}"),
    Screen("files", "#/files"),
    Screen("runs", "#/runs"),
    Screen("trash", "#/trash"),
    Screen("notes", "#/notes"),
)


def main() -> None:
    """Take the pictures."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--project", type=Path)
    words.add_argument("--out", type=Path, default=ROOT / "docs/screens")
    words.add_argument("--only", default="", help="names with commas")
    words.add_argument("--sizes", default="", help="widths with commas")
    words.add_argument("--themes", default=",".join(THEMES), help="light, dark, or both")
    words.add_argument(
        "--zoom", type=float, default=1.0, help="of the browser: 2 halves the window"
    )
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.project or sample_project.make(Path(scratch) / "betagal").root
        empty = Project.create(Path(scratch) / "betagal_new").root
        given.out.mkdir(parents=True, exist_ok=True)
        only = set(given.only.split(",")) - {""}
        sizes = [
            size for size in SIZES if not given.sizes or str(size[0]) in given.sizes.split(",")
        ]
        chosen = [one for one in SCREENS if not only or one.name in only]
        with sync_playwright() as playwright:
            flags = [flag for flag in FLAGS if flag != "--disable-gpu"] + GL
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
            for project, is_empty in ((folder, False), (empty, True)):
                screens = [one for one in chosen if one.is_empty is is_empty]
                if screens:
                    with gui_process.serve(project, Path(scratch) / "runtime") as gui:
                        _take(browser, gui.url, screens, given, sizes)
            browser.close()
    if given.out == ROOT / "docs/screens":
        (ROOT / "docs/screens.md").write_text(_page())


def _page() -> str:
    """Return the page of the documentation that shows every screen."""
    width, height = SIZES[0]
    lines = [
        "# Every screen",
        "",
        f"Simulated data, a window of {width} by {height} pixels, light. `python",
        "tools/make_screens.py` takes these pictures again, and those of larger windows and of the",
        "dark theme. What is on them is told in [The browser](gui.md).",
    ]
    for screen in SCREENS:
        picture = f"screens/{screen.name}-light-{width}x{height}.png"
        lines += ["", f"## {screen.name}", "", f"![{screen.name}]({picture})"]
    return "\n".join(lines) + "\n"


def _take(
    browser: Browser,
    url: str,
    screens: list[Screen],
    given: argparse.Namespace,
    sizes: list[tuple[int, int]],
) -> None:
    for width, height in sizes:
        for theme in given.themes.split(","):
            context = browser.new_context(
                viewport={"width": int(width / given.zoom), "height": int(height / given.zoom)},
                device_scale_factor=given.zoom,
                color_scheme="dark" if theme == "dark" else "light",
            )
            page = context.new_page()
            page.set_default_timeout(15_000)
            page.goto(url)
            numbers = _numbers(page)
            for screen in screens:
                name = f"{screen.name}-{theme}-{width}x{height}.png"
                try:
                    _open(page, screen, numbers)
                    _save(page.screenshot(), given.out / name)
                except (Error, KeyError) as error:
                    print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
            context.close()


def _numbers(page: Page) -> dict[str, int]:
    """Return the newest job of each type, and the newest one that failed."""
    jobs = page.request.get(page.url.split("#")[0].split("?")[0] + "api/jobs").json()
    found = {job["word"]: job["n"] for job in jobs if job["status"] != "Failed"}
    failed = [job["n"] for job in jobs if job["status"] == "Failed"]
    return found | ({"failed": failed[-1]} if failed else {})


def _open(page: Page, screen: Screen, numbers: dict[str, int]) -> None:
    page.evaluate("(to) => { location.hash = to }", screen.address.format(**numbers))
    page.reload()
    page.locator("main h1").first.wait_for(state="attached")
    page.wait_for_timeout(700)
    screen.act(page)
    page.wait_for_timeout(700)
    for _ in range(150):
        waiting = page.evaluate(
            "() => document.querySelectorAll('[aria-busy=true]').length +"
            " [...document.images].filter((one) => !one.complete).length +"
            " [...document.querySelectorAll('.viewer.gallery')]"
            ".filter((one) => one.viewer?.state.isLoaded === false).length"
        )
        if not waiting:
            break
        page.wait_for_timeout(200)
    page.wait_for_timeout(200)


def _save(picture: bytes, path: Path) -> None:
    """Write a small PNG of 256 colours.

    The most frequent colours, which are grounds and ink, are exact.
    """
    with Image.open(io.BytesIO(picture)) as image:
        screen = image.convert("RGB")
    pixels = np.asarray(screen).reshape(-1, 3)
    colours, place, counts = np.unique(pixels, axis=0, return_inverse=True, return_counts=True)
    frequent = colours[np.argsort(counts)[::-1][:N_EXACT]]
    others = [  # greys of pictures, and the few pixels of a strong colour
        np.reshape(screen.quantize((256 - N_EXACT) // 2, method).getpalette() or [], (-1, 3))
        for method in (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE)
    ]
    palette = np.concatenate([frequent, *others]).astype(np.int32)
    nearest = [
        ((some[:, None, :].astype(np.int32) - palette) ** 2).sum(axis=2).argmin(axis=1)
        for some in np.array_split(colours, len(colours) // 4096 + 1)
    ]
    few = Image.fromarray(
        np.concatenate(nearest)[place].astype(np.uint8).reshape(screen.height, screen.width), "P"
    )
    few.putpalette(palette.astype(np.uint8).tobytes())
    few.save(path, optimize=True)


if __name__ == "__main__":
    main()
