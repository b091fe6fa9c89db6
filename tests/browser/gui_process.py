"""A server of a project as people start it, and a link to it that can be cut."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vitreous.gui.routes import pages

STATIC = pages.STATIC / "index.html"


@dataclass(frozen=True)
class Gui:
    """A running server.

    Parameters
    ----------
    url, read_only_url
        Addresses with their tokens.
    port
        Where it listens.
    process
        Its process.
    """

    url: str
    read_only_url: str
    port: int
    process: subprocess.Popen[str]


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serve(project: Path, runtime: Path, *words: str) -> Iterator[Gui]:
    """Run `vitreous gui` on a project.

    Parameters
    ----------
    project
        The project folder.
    runtime
        Where the tokens are kept; nobody else's server is found there.
    *words
        More of the command line.
    """
    runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "vitreous", "gui", "--no-browser", "--json", "--yes"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--project", str(project), *words],
        cwd=project,
        env={**os.environ, "VITREOUS_RUNTIME_DIR": str(runtime)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        told = _told(process)
        yield Gui(told["url"], told["read_only_url"], port, process)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _told(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read what the server prints once it can be reached."""
    assert process.stdout
    text = ""
    for line in process.stdout:
        text += line
        if line.startswith("}"):
            told: dict[str, str] = json.loads(text)
            return told
    raise RuntimeError(f"the server ended with {process.wait()}: {text}")


class Link:
    """A port that leads to another one until it is cut, as an SSH tunnel does."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections and refuse new ones."""
        self._is_cut = True
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def mend(self) -> None:
        """Let connections through again."""
        self._is_cut = False

    def close(self) -> None:
        """End it for good."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def wait_for(what: str, is_there: object, seconds: float = 45.0) -> None:
    """Wait until a callable returns something true."""
    assert callable(is_there)
    end = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come within {seconds:g} s")
        time.sleep(0.1)
