"""Fixtures of the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import small_project
from vitreous import Project
from vitreous.cli.app import invoke


@dataclass(frozen=True)
class Said:
    """What one command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Said]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Project:
    """Return an empty project with an External program in it; it is the working directory."""
    made = small_project.make(tmp_path / "project")
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def call(capfd) -> Call:
    """Return what runs one command line in this process."""

    def run(*words: object) -> Said:
        capfd.readouterr()
        code = invoke([str(word) for word in words])
        said = capfd.readouterr()
        return Said(code, said.out, said.err)

    return run
