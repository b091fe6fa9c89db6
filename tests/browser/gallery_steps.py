"""What users do in the gallery of images, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Page

from browser import steps


def state(page: Page) -> dict[str, Any]:
    """Return what the gallery says of itself."""
    told: dict[str, Any] = page.evaluate(
        "() => document.querySelector('.viewer.gallery').viewer.state"
    )
    return told


def wait(page: Page, condition: str, timeout: float = 20_000) -> dict[str, Any]:
    """Wait until something is true of the state `s`."""
    page.wait_for_function(
        "(text) => { const viewer = document.querySelector('.viewer.gallery')?.viewer;"
        " if (!viewer) return false; const s = viewer.state;"
        " return (" + condition + "); }",
        arg="",
        timeout=timeout,
    )
    return state(page)


def show(page: Page, path: str) -> dict[str, Any]:
    """Open a file in the gallery."""
    steps.go(page, f"#/display?path={path}")
    return wait(page, "s.isReady && s.isLoaded")


def at(page: Page, place: int, part: float = 0.5) -> tuple[float, float]:
    """Return where an image that is seen lies in the window."""
    box = state(page)["boxes"][place]
    canvas = page.locator(".g-canvas").bounding_box()
    assert canvas is not None
    return (
        canvas["x"] + box["x"] + part * box["width"],
        canvas["y"] + box["y"] + part * box["height"],
    )


def click(page: Page, place: int, modifiers: Sequence[str] = ()) -> None:
    """Click an image, with keys held."""
    for key in modifiers:
        page.keyboard.down(key)
    page.mouse.click(*at(page, place))
    for key in modifiers:
        page.keyboard.up(key)


def save_selection(page: Page) -> None:
    """Save what is selected, and wait until the Select job is done with it."""
    wait(page, "s.isKept")
    page.get_by_role("button", name="Save selection").click()
    page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
    steps.state(page, "Finished", timeout=60_000)
