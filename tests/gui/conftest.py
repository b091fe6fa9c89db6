"""Fixtures of the tests of the web server: a project, its app, and clients with each right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

import small_project
from gui_client import READER, TOKEN, client_of
from vitreous import Project
from vitreous.gui.guard import Access
from vitreous.gui.server import create_app


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project of three finished External jobs, each reading the one before."""
    made = small_project.make(tmp_path / "project")
    first = small_project.finished_external(made)
    second = small_project.finished_external(made, reads=f"{first}particles.star", alias="good")
    small_project.finished_external(made, reads=f"{second}particles.star")
    return made


@pytest.fixture
def app(project: Project) -> FastAPI:
    return create_app(project.root, access=Access(TOKEN, READER))


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as made:
        yield made


@pytest.fixture
def reader(app: FastAPI, client: TestClient) -> TestClient:
    """Return a client that may only look, of the app that `client` started."""
    return client_of(app, READER)


@pytest.fixture
def stranger(app: FastAPI, client: TestClient) -> TestClient:
    """Return a client without a token."""
    return client_of(app, "")
