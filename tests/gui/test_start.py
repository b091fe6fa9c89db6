"""Where the server listens, and who can read its tokens."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from http.client import HTTPConnection
from pathlib import Path

import pytest

import small_project
from vitreous.cli.app import invoke
from vitreous.errors import EnvironmentMissing, InputError
from vitreous.gui import start
from vitreous.gui.start import Where


@pytest.fixture
def runtime(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "run"
    monkeypatch.setenv("VITREOUS_RUNTIME_DIR", str(folder))
    return folder


@pytest.fixture
def served(project, runtime):
    """Return a function that serves the project in a thread, and stops it in the end."""
    threads = []

    def begin(where=Where(port=0)):  # noqa: B008 - frozen
        told, ready = [], threading.Event()

        def on_start(running):
            told.append(running)
            ready.set()

        thread = threading.Thread(target=_serve, args=(project.root, where, on_start), daemon=True)
        thread.start()
        threads.append(thread)
        assert ready.wait(20)
        return told[0]

    yield begin
    for thread in threads:
        thread.join(15)
        assert not thread.is_alive()


def _serve(root, where, on_start):
    start.serve(root, where, on_start=on_start)


def _get(connection, path, token):
    connection.request(
        "GET", path, headers={"Authorization": f"Bearer {token}", "Host": "localhost"}
    )
    answer = connection.getresponse()
    return answer.status, answer.read()


def _stop(connection, token):
    headers = {
        "Authorization": f"Bearer {token}",
        "Host": "localhost",
        "Content-Type": "application/json",
    }
    connection.request("POST", "/api/project/stop-server", "{}", headers)
    assert connection.getresponse().read()
    connection.close()


def _token(url: str) -> str:
    return url.partition("token=")[2]


def test_the_tokens_are_in_a_file_that_only_the_owner_reads(served, project, runtime, monkeypatch):
    monkeypatch.setattr(start, "_ended_in_order", _nothing)
    monkeypatch.setattr("uvicorn.Server.capture_signals", _no_signals)
    told = served()
    path = start.token_file(project.root)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert start.running(project.root) == told
    assert len(_token(told.url)) >= 43
    assert _token(told.url) != _token(told.read_only_url)
    below = [path for path in project.root.rglob("*") if path.is_file()]
    assert not [path for path in below if _token(told.url).encode() in path.read_bytes()]
    connection = HTTPConnection("127.0.0.1", int(told.url.split(":")[2].split("/")[0]), timeout=20)
    assert _get(connection, "/api/jobs", _token(told.url))[0] == 200
    assert _get(connection, "/api/jobs", "wrong")[0] == 401
    _stop(connection, _token(told.url))


def test_a_unix_socket_can_be_opened_by_its_owner_alone(served, project, runtime, monkeypatch):
    monkeypatch.setattr(start, "_ended_in_order", _nothing)
    monkeypatch.setattr("uvicorn.Server.capture_signals", _no_signals)
    told = served(Where(socket=Path()))
    assert stat.S_IMODE(os.stat(told.socket).st_mode) == 0o600
    connection = _Unix(told.socket)
    assert _get(connection, "/api/jobs", _token(told.url))[0] == 200
    with pytest.raises(InputError, match="another server listens"):
        start.serve(project.root, Where(socket=Path(told.socket)))
    _stop(connection, _token(told.url))


def _nothing():
    import contextlib

    return contextlib.nullcontext()


def _no_signals(self):
    return _nothing()


class _Unix(HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self._path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_an_address_that_others_reach_must_be_meant(project, runtime, host):
    with pytest.raises(InputError, match="--allow-network"):
        start.serve(project.root, Where(host=host))


def test_a_port_that_is_taken_is_named(project, runtime):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(EnvironmentMissing, match=f"port {port}"):
            start.serve(project.root, Where(port=port))


def test_a_folder_that_others_can_open_is_no_place_for_tokens(runtime):
    runtime.mkdir(mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(EnvironmentMissing, match="0700"):
        start.runtime_folder()
    runtime.rmdir()
    runtime.symlink_to(runtime.parent)
    with pytest.raises(EnvironmentMissing):
        start.runtime_folder()


def test_a_file_in_place_of_a_socket_is_left_alone(project, runtime, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is no socket"):
        start.serve(project.root, Where(socket=tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "mine"


def test_the_file_of_a_server_that_died_is_passed_over(project, runtime):
    path = start.token_file(project.root)
    dead = {
        "project": str(project.root),
        "url": "http://127.0.0.1:1/?token=x",
        "read_only_url": "",
        "socket": "",
        "pid": 2**22 - 3,
        "start_ticks": 1,
    }
    path.write_text(json.dumps(dead))
    assert start.running(project.root) is None
    path.write_text("damaged")
    assert start.running(project.root) is None


def test_a_folder_that_is_no_project_is_not_made_one_unasked(tmp_path, runtime, capsys):
    assert invoke(["gui", "--project", str(tmp_path), "--no-browser"]) == 2
    assert "is not a project" in capsys.readouterr().err
    assert not (tmp_path / "default_pipeline.star").exists()
    assert invoke(["gui", "--project", str(tmp_path), "--read-only", "--yes"]) == 2


def test_a_second_start_tells_of_the_first(project, runtime, capsys):
    mine = start.process_table.entry(os.getpid())
    told = start.Running(
        str(project.root), "http://x:1/?token=t", "r", "", os.getpid(), mine.start_ticks
    )
    start.token_file(project.root).write_text(json.dumps(told.__dict__))
    assert invoke(["gui", "--project", str(project.root), "--no-browser"]) == 0
    said = capsys.readouterr().out
    assert "served already" in said
    assert "http://x:1/?token=t" in said
    assert small_project.snapshot(project.root)
