"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import requirements

# Workers share the cores; threads of each would only get in one another's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def data() -> Path:
    """Return the folder of real data, or skip."""
    requirements.need("data")
    return requirements.DATA


@pytest.fixture
def relion() -> None:
    """Skip unless RELION 3.1.3 is installed."""
    requirements.need("relion")
