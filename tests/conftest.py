"""Fixtures that every test folder shares."""

from __future__ import annotations

from pathlib import Path

import pytest

import requirements


@pytest.fixture
def data() -> Path:
    """Return the folder of real data, or skip."""
    requirements.need("data")
    return requirements.DATA


@pytest.fixture
def relion() -> None:
    """Skip unless RELION 3.1.3 is installed."""
    requirements.need("relion")
