"""By the keyboard alone: every stop can be reached and left, and its ring is seen whole."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import steps

MOST_STOPS = 120
# What is wrong with the ring of what has the focus: hidden, or cut by what holds it.
RING = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const name = `${one.tagName}.${one.className.baseVal ?? one.className} ${one.ariaLabel ?? ""}`
    + (one.textContent ?? "").trim().slice(0, 30);
  const ringed = one.closest("figure:has(:focus-visible)") ?? one;
  const style = getComputedStyle(ringed);
  const at = ringed.getBoundingClientRect();
  const frame = one.querySelector(".frame");
  if (frame)  // of a box of the graph, which is drawn in its place
    return { name, wrong: getComputedStyle(frame).strokeWidth === "4px" ? "" : "no frame" };
  const wide = parseFloat(style.outlineWidth) || 0;
  if (style.outlineStyle === "none" || wide < 2) return { name, wrong: "no ring" };
  const out = wide + parseFloat(style.outlineOffset) - 0.5;
  let box = { left: 0, top: 0, right: innerWidth, bottom: innerHeight };
  const cut = () => at.left - out < box.left || at.top - out < box.top
    || at.right + out > box.right || at.bottom + out > box.bottom;
  if (cut()) return { name, wrong: "cut by the window" };
  for (let over = ringed.parentElement; over; over = over.parentElement) {
    const { overflowX, overflowY } = getComputedStyle(over);
    if (overflowX === "visible" && overflowY === "visible") continue;
    const whole = over.getBoundingClientRect();
    const [left, top] = [whole.left + over.clientLeft, whole.top + over.clientTop];
    box = { left, top, right: left + over.clientWidth, bottom: top + over.clientHeight };
    if (cut()) return { name, wrong: `cut by ${over.tagName}.${over.className}` };
  }
  return { name, wrong: "" };
}"""


def stops(page: Page) -> list[dict[str, Any]]:
    """Press Tab until the page is left, and return what was found at each stop."""
    found = []
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        one = page.evaluate(RING)
        if one is None:
            return found
        found.append(one)
    raise AssertionError(f"the page holds the focus: {[one['name'] for one in found[-5:]]}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_ring_is_whole_and_every_page_can_be_left(window, theme):
    page = window()
    page.emulate_media(color_scheme=theme)
    for address, last in (
        ("#/", "Press ? for keys"),
        ("#/new/refine3d", "Press ? for keys"),
        ("#/files", "Press ? for keys"),
    ):
        steps.go(page, address)
        expect(page.locator("main h1").first).to_be_attached()
        expect(page.locator("main [aria-busy=true]")).to_have_count(0)
        found = stops(page)
        assert last in found[-1]["name"], address
        assert [one for one in found if one["wrong"]] == [], address
