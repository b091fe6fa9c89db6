"""The type checker knows every option: mistakes in declarations and programs fail the check."""

from __future__ import annotations

import subprocess
import sys

import pytest

MISTAKES = """
from vitreous.jobs import common
from vitreous.jobs.declare import Options, job, option, shared
from vitreous.jobs.maskcreate import MaskCreate
from vitreous.jobs.shared import Running


@job("x.a", folder="A", gui_name="A", number=1, hidden_prefix=".a", place=1)
class A(Options):
    \"\"\"Right.\"\"\"

    size_px: int = option(default=3, key="size", label="Size", help="Right.")
    mask_diameter_A: float = option(default=200, like=common.MASK_DIAMETER, help="Right.")
    running: Running = shared(default_factory=Running)


A(size_px=4).running.n_threads + 1
A(size_px="4")  # wrong type
A(sise_px=4)  # no such option
A().size_px = 5  # frozen
A().sise_px  # no such option
MaskCreate()  # a required option is missing


@job("x.b", folder="B", gui_name="B", number=2, hidden_prefix=".b", place=2)
class B(Options):
    size_px: int = option(default=1.5, key="size", label="Size", help="Wrong default.")
    mask: str = option(default="", keys="fn_mask", label="Mask", help="Wrong word.")
    mask_diameter_A: float = option(default="200", like=common.MASK_DIAMETER)  # wrong default
    is_big: bool = option(default=False, like=common.MASK_DIAMETER, keys="big")  # wrong word


@job("x.c", folder="C", gui_name="C", number=3, hidden_prefix=".c", place=3)
class C(Options):
    half_map: str = option(like=common.HALF_MAP_FILE)


C()  # a required option is missing
"""
WRONG = [
    "arg-type",
    "call-arg",
    "misc",
    "attr-defined",
    "call-arg",
    "assignment",
    "call-overload",
    "call-overload",
    "assignment",
    "call-overload",
    "call-overload",
    "call-arg",
]


@pytest.mark.slow
def test_mypy_finds_every_mistake_and_no_other(tmp_path):
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "c"), "mistakes.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    errors = [line for line in ran.stdout.splitlines() if ": error: " in line]
    assert [line.rpartition("[")[2].rstrip("]") for line in errors] == WRONG, ran.stdout
