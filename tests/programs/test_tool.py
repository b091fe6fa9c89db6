"""What the command-line tools share."""

from __future__ import annotations

import argparse

from vitreous.programs.tool import HelpWithDefaults


def test_help_tells_the_defaults_that_say_something():
    parser = argparse.ArgumentParser(formatter_class=HelpWithDefaults)
    parser.add_argument("--angpix", type=float, default=2.0, help="pixel size")
    parser.add_argument("--defocus", type=float, nargs=2, default=(8000, 20000), help="range")
    parser.add_argument("--sym", default="", help="point group")
    parser.add_argument("--weights", nargs="+", default=[], help="shares")
    parser.add_argument("--prefer", help="a view")
    parser.add_argument("--overwrite", action="store_true", help="replace")
    text = parser.format_help()
    assert "pixel size (default: 2.0)" in text
    assert "range (default: 8000 20000)" in text
    assert text.count("default") == 2
