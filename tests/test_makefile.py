"""`make install` says in one sentence what stands in its way, before it does anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).resolve().parent.parent / "Makefile"
OLD = """#!/bin/sh
exec {real} -c "
import sys
sys.version_info, sys.version = (3, 9, 1), '3.9.1 (main)'
exec(sys.argv[1])" "$2"
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what `make install` looks at."""
    shutil.copy(MAKEFILE, tmp_path)
    for name in ("pyproject.toml", "constraints.txt", "CMakeLists.txt"):
        (tmp_path / name).touch()
    return tmp_path


def make(clone: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | more
    return subprocess.run(
        ["make", "-C", clone, *words], env=environment, capture_output=True, text=True
    )


def test_an_old_python_is_named_with_the_way_out(clone: Path) -> None:
    old = clone / "python3.9"
    old.write_text(OLD.format(real=sys.executable))
    old.chmod(0o755)
    done = make(clone, "install", f"PYTHON={old}")
    assert done.returncode != 0
    told = f"vitreous needs Python 3.11 or newer, and {old} is 3.9.1. Name another: make install"
    assert told in done.stderr
    assert not (clone / ".venv").exists()


def test_with_a_compiler_that_came_later_it_installs_again(clone: Path) -> None:
    programs = clone / "programs"
    programs.mkdir()
    shell = shutil.which("bash")
    (programs / "bash").symlink_to(shell)
    plan = ["install", "--dry-run", "SHELL=" + str(programs / "bash")]
    make_program = shutil.which("make")
    assert make_program is not None
    (programs / "make").symlink_to(make_program)
    (clone / ".venv").mkdir()
    (clone / ".venv/.installed-without-compiler").touch()
    assert "-m venv" not in make(clone, *plan, PATH=str(programs)).stdout
    (programs / "c++").symlink_to(shell)
    assert "-m venv" in make(clone, *plan, PATH=str(programs)).stdout
