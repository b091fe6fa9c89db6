"""Images that one process reads from the disk for all (``parallel disc I/O`` switched off).

Every other process asks the first for images over a connection of its own. The answer is what the
disk gives, to the last bit. Connections are authenticated by a key that only the team knows, and
carry plain numbers.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from vitreous.distributed.team import Team
from vitreous.errors import ComputeError, InputError, VitreousError

Read = Callable[[NDArray[np.int64]], Tensor]
_KEY_BYTES: Final = 32
_LOOPBACK: Final = "127.0.0.1"
_ANY: Final = "0.0.0.0"  # the key keeps strangers out
_IMAGES, _REFUSED = b"images", b"refused"


@contextlib.contextmanager
def one_reads_for_all(team: Team, read: Read) -> Iterator[Read]:
    """Let the first rank read for all while the block runs.

    Parameters
    ----------
    team
        All ranks; each enters the block. A team of one reads as before.
    read
        Reads images of one optics group from the disk.

    Yields
    ------
    Callable
        Gives the same images on every rank.
    """
    if team.n_ranks == 1:
        yield read
        return
    key = team.share(secrets.token_bytes(_KEY_BYTES))
    if team.leads:
        server = _Server(read, _LOOPBACK if team.is_on_one_computer else _ANY, key)
        host = _LOOPBACK if team.is_on_one_computer else socket.gethostname()
        team.share((host, server.port))
        try:
            yield server.read
            team.wait_for_all()
        finally:
            server.close()
    else:
        address: tuple[str, int] = team.share()
        with _connected(address, key) as connection:
            yield _Client(connection).read
            team.wait_for_all()


class _Server:
    """The process that reads; it serves the others from threads, one request at a time."""

    def __init__(self, read: Read, address: str, key: bytes) -> None:
        self._read, self._lock = read, threading.Lock()
        self._listener = Listener((address, 0), backlog=64, authkey=key)
        self.port: int = self._listener.address[1]
        self._is_open = True
        threading.Thread(target=self._accept, daemon=True, name="reads for all").start()

    def read(self, rows: NDArray[np.int64]) -> Float[Tensor, "n y x"]:
        with self._lock:
            return self._read(rows)

    def close(self) -> None:
        self._is_open = False
        self._listener.close()

    def _accept(self) -> None:
        while self._is_open:
            # A stranger without the key, one who gave up, or the end.
            with contextlib.suppress(AuthenticationError, EOFError, OSError):
                connection = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection, contextlib.suppress(EOFError, OSError):
            while True:
                rows = np.frombuffer(connection.recv_bytes(), np.int64)
                try:
                    images = self.read(rows).numpy()
                except VitreousError as error:
                    connection.send_bytes(_REFUSED)
                    connection.send_bytes(str(error).encode())
                else:
                    connection.send_bytes(_IMAGES)
                    connection.send_bytes(np.array(images.shape, np.int64).tobytes())
                    connection.send_bytes(images.tobytes())


class _Client:
    """A process that asks; one request at a time, whichever thread makes it."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def read(self, rows: NDArray[np.int64]) -> Float[Tensor, "n y x"]:
        try:
            with self._lock:
                self._connection.send_bytes(np.ascontiguousarray(rows, np.int64).tobytes())
                kind, first = self._connection.recv_bytes(), self._connection.recv_bytes()
                if kind == _REFUSED:
                    raise InputError(first.decode())
                shape = np.frombuffer(first, np.int64)
                data = bytearray(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            raise ComputeError(
                "The first rank, which reads images for all (Read in parallel is No), is out "
                "of reach. Continue the job from its last iteration."
            ) from error
        return torch.from_numpy(np.frombuffer(data, np.float32).reshape(shape))


@contextlib.contextmanager
def _connected(address: tuple[str, int], key: bytes) -> Iterator[Connection]:
    try:
        connection = Client(address, authkey=key)
    except OSError as error:
        raise ComputeError(
            f"The first rank, which reads images for all, cannot be reached at {address[0]}:"
            f"{address[1]} ({error.strerror}). Set Read in parallel to Yes, or let these "
            "computers reach each other."
        ) from error
    with connection:
        yield connection
