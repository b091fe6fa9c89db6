"""What a test needs from the machine, and what happens when it is not there.

A missing thing skips the test with a reason, except where `VITREOUS_REQUIRE` names it
(`.ci/run` does): then the test fails.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("VITREOUS_TEST_DATA", ROOT.parent / "shared" / "data")).resolve()


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


_FOUND = {
    "data": (DATA / "README.md").exists,
    "relion": lambda: shutil.which("relion_refine") is not None,
    "slurm": lambda: shutil.which("slurmctld") is not None and shutil.which("munged") is not None,
    "chromium": lambda: shutil.which("chromium") is not None,
    "cuda": _cuda,
    "root": lambda: os.geteuid() == 0,
}
_HOW = {
    "data": "real test data (set VITREOUS_TEST_DATA to the data folder)",
    "relion": "RELION 3.1.3 (apt-get install relion relion-gui)",
    "slurm": "Slurm and munge (apt-get install slurm-wlm munge, as root)",
    "chromium": "Chromium (apt-get install chromium)",
    "cuda": "a CUDA device",
    "root": "root, to mount file systems",
}


def need(*names: str) -> None:
    """Skip the calling test, or fail it where `VITREOUS_REQUIRE` names what is missing."""
    required = os.environ.get("VITREOUS_REQUIRE", "").split(",")
    for name in names:
        if _FOUND[name]():
            continue
        reason = f"needs {_HOW[name]}"
        if name in required:
            pytest.fail(f"{reason}, which VITREOUS_REQUIRE demands")
        pytest.skip(reason)
