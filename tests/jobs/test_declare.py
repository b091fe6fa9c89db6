"""The words of declarations: an option takes up what several job types say of it."""

from __future__ import annotations

import pytest

from vitreous.jobs.declare import Words, option, tab

DIAMETER = Words(key="diameter", label="Diameter (Å)", help="Of the particle.", low=0, high=1000)


def test_an_option_takes_up_words_and_its_own_go_first():
    @tab("Size")
    class Size:
        first_A: float = option(default=200, like=DIAMETER)
        second_A: float = option(default=50, like=DIAMETER, key="second", high=100)

    first, second = Size.specs
    assert (first.key, first.label, first.low, first.high) == ("diameter", "Diameter (Å)", 0, 1000)
    assert (second.key, second.label, second.low, second.high) == ("second", first.label, 0, 100)
    assert (first.default, second.default) == (200.0, 50.0)
    assert DIAMETER["high"] == 1000


def test_an_option_like_another_without_default_is_required():
    @tab("Size")
    class Size:
        diameter_A: float = option(like=DIAMETER)

    assert Size.specs[0].required
    with pytest.raises(TypeError, match="diameter_A"):
        Size()


def test_words_that_neither_gives_are_named():
    with pytest.raises(TypeError, match=r"Size\.box_px: an option needs label and help"):

        @tab("Size")
        class Size:
            box_px: int = option(default=64, like=Words(key="box"))
