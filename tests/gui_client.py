"""Clients of the web server for tests: tokens, addresses, and a client that shows a token."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.testclient import TestClient

TOKEN = "all-" + "t" * 40
READER = "read-" + "r" * 40
BASE = "http://127.0.0.1:8710"
SOCKET = "ws://127.0.0.1:8710/api/events"
ORIGIN = {"origin": BASE}


def client_of(app: FastAPI, token: str = TOKEN) -> TestClient:
    """Return a client that shows a token; an error of the server is an answer, not an exception."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return TestClient(app, base_url=BASE, headers=headers, raise_server_exceptions=False)
