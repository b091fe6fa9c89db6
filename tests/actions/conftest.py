"""Fixtures of the tests of actions."""

from __future__ import annotations

from pathlib import Path

import pytest

import small_project
from vitreous import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project with an External program in it."""
    return small_project.make(tmp_path / "project")
