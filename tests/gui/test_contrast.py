"""Text and controls can be told from what they lie on: WCAG 2.2 AA, from the colours themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOKENS = Path(__file__).resolve().parents[2] / "frontend/src/styles/tokens.css"
GROUNDS = ("bg", "surface", "surface-2", "surface-3", "canvas")
STATES = ("running", "queued", "scheduled", "finished", "failed", "aborted", "warn")
INKS = ("ink", "ink-2", "ink-3", "accent", "accent-strong", "changed", *STATES)
TEXT, CONTROL = 4.5, 3.0


def colours(opening: str) -> dict[str, str]:
    """Return the colours of one block of the style sheet."""
    text = TOKENS.read_text()
    begin = text.index(opening)
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text[begin : text.index("}", begin)]))


LIGHT = colours(":root {")
DARK = LIGHT | colours(':root[data-theme="dark"] {')


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return the ratio that WCAG 2.2 defines, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def text_pairs() -> list[tuple[str, str]]:
    pairs = [(ink, ground) for ink in INKS for ground in GROUNDS]
    pairs += [(state, f"{state}-soft") for state in STATES]
    pairs += [(ink, "accent-soft") for ink in ("ink", "ink-2", "ink-3", "accent", "accent-strong")]
    pairs += [("on-accent", "accent"), ("on-accent", "accent-strong")]
    return pairs + [("on-sel", f"sel-{n}") for n in range(1, 7)]


def control_pairs() -> list[tuple[str, str]]:
    marks = [name for name in LIGHT if re.fullmatch(r"fam-[\w-]+|c-\d", name)]
    marks += ["control-line", "focus", "ink-off"]
    pairs = [(mark, ground) for mark in marks for ground in ("bg", "surface", "surface-2")]
    pairs.append(("focus-image", "canvas-image"))
    return pairs + [(f"sel-{n}", "canvas-image") for n in range(1, 7)]


def test_white_and_black_have_the_largest_contrast():
    assert contrast("#ffffff", "#000000") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize(("wanted", "pairs"), [(TEXT, text_pairs()), (CONTROL, control_pairs())])
def test_contrast_is_at_least_that_of_aa(theme, wanted, pairs):
    too_low = {
        f"{mark} on {ground}": round(contrast(theme[mark], theme[ground]), 2)
        for mark, ground in pairs
        if contrast(theme[mark], theme[ground]) < wanted
    }
    assert too_low == {}


def test_the_dark_theme_of_the_system_is_the_one_that_is_chosen():
    assert colours(":root:not([data-theme]) {") == colours(':root[data-theme="dark"] {')
