"""The package as a whole: import time, what it loads, what it exports, its kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import vitreous


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


@pytest.mark.parametrize("name", ["vitreous", "vitreous.cli", "vitreous.actions"])
def test_importing_the_front_never_loads_torch(name):
    assert "torch" not in modules_after(f"import {name}")


@pytest.mark.parametrize("name", vitreous.__all__)
def test_exported_names_exist(name):
    assert getattr(vitreous, name) is not None


def test_unknown_attribute_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = vitreous.nonsense


@pytest.mark.parametrize(
    "module",
    [
        "io._star",
        *(
            f"engine.kernels.{name}"
            for name in ("_cpu", "_boxes", "_images", "_planes", "_transfer")
        ),
    ],
)
def test_compiled_kernels_loaded(module):
    """The build may fall back on plain Python; where CI demands it, broken C++ must not hide."""
    if "CI" not in os.environ:
        pytest.importorskip(f"vitreous.{module}")
    __import__(f"vitreous.{module}")
