"""Reading and writing a large table takes little more memory than the table itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vitreous.io import star_kernel

ROOT = Path(__file__).parent.parent.parent
N_ROWS = 100_000


def call(*arguments):
    """Run one step of the benchmark in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.star", "--one", *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("what", ["read", "write"])
def test_peak_memory_stays_under_three_times_the_columns(tmp_path, what):
    if star_kernel.compiled() is None:
        pytest.skip("needs the compiled kernel (make kernels)")
    source = str(tmp_path / "a.star")
    call("make", str(N_ROWS), source, "")
    run = call("vitreous", what, source, str(tmp_path / "b.star"))
    assert run["columns_MB"] > 25
    assert run["peak_MB"] - run["before_MB"] < 3 * run["columns_MB"]
