"""Kernels for graphics cards where there is none: Triton's interpreter runs them.

Triton decides when it is imported, so that its interpreter needs a process of its own: a test
starts one that runs tests of the same file.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

outside = pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")


def run_tests(file: str, words: str, marker: str = "not slow", *, may_skip: bool = False) -> None:
    """Run those tests of a file that fit `words` and `marker`; fails where one fails."""
    pytest.importorskip("triton", reason="needs Triton (pip install triton)")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-k", words, "-m", marker, file],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert may_skip or "skipped" not in done.stdout
