"""``vitreous gui``: where the server listens, its tokens, and how a browser finds it.

It listens to this machine alone: on loopback, or on a Unix socket that only its owner can open,
which is the better way where several people share a machine (``ssh -L 8710:SOCKET``). Tokens are
kept in a file that only the owner can read (`vitreous.gui.keys`), so that a server that was
stopped and started is the same to the windows that are open.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import os
import signal
import socket
import stat
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from vitreous.errors import EnvironmentMissing, InputError
from vitreous.gui.guard import Access
from vitreous.gui.keys import Keys, keep, keys_of
from vitreous.running import process_table

PORT: Final = 8710
_PORTS_TRIED: Final = 40
_RUNTIME: Final = "VITREOUS_RUNTIME_DIR"


@dataclass(frozen=True)
class Where:
    """Where a server listens and who may call it.

    Parameters
    ----------
    host, port
        Address; port None takes the one of the project's last server, else the first free one
        from 8710 on.
    socket
        A Unix socket instead; an empty path chooses one.
    allow_network
        Whether an address that others can reach is meant.
    hosts, origins
        Names and origins of a reverse proxy in front.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    socket: Path | None = None
    allow_network: bool = False
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Running:
    """A server, as its file tells others of the same user.

    Parameters
    ----------
    project
        Its project folder.
    url, read_only_url
        Addresses with their tokens.
    socket
        Its Unix socket, empty for none.
    pid, start_ticks
        Its process.
    """

    project: str
    url: str
    read_only_url: str
    socket: str
    pid: int = field(default_factory=os.getpid)
    start_ticks: int = 0

    @property
    def is_alive(self) -> bool:
        """Whether that process still runs."""
        return process_table.is_alive(self.pid, self.start_ticks)


def serve(
    root: Path,
    where: Where,
    *,
    read_only: bool = False,
    data: tuple[Path, ...] = (),
    new_token: bool = False,
    on_start: Callable[[Running], None] = lambda _: None,
) -> None:
    """Serve a project until somebody stops it; jobs that run then go on.

    Parameters
    ----------
    root
        The project folder.
    where
        Where to listen.
    read_only
        Nobody may change anything.
    data
        Folders outside of the project that links in it may lead into.
    new_token
        Make new tokens: no window that is open now gets in again.
    on_start
        Called once, when the server can be reached.
    """
    import uvicorn

    from vitreous.gui.server import create_app

    root = root.resolve()
    _refuse_network(where)
    keys = keys_of(_keys_file(root), renew=new_token)
    access = Access(
        token=keys.token,
        read_only_token=keys.read_only_token,
        hosts=_names(where),
        origins=frozenset(where.origins),
    )
    app = create_app(root, access=access, read_only=read_only, data=data)
    with _listening(root, where, keys.port) as listener:
        _keep(root, where, listener, keys)
        told = _told(root, where, listener, access)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            ws_max_size=1 << 16,
            timeout_graceful_shutdown=3,
        )
        server = uvicorn.Server(config)

        def stop() -> None:
            server.should_exit = True

        app.state.stop = stop
        with _file_of(root, told), _ended_in_order():
            on_start(told)
            server.run([listener])


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM, which the server passes on when it has ended, end the block."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def running(root: Path) -> Running | None:
    """Return the server of a project that this user has running on this machine."""
    path = token_file(root)
    try:
        found = Running(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.is_alive else None


def token_file(root: Path) -> Path:
    """Return where the tokens of a project's server are kept."""
    name = hashlib.sha256(str(root.resolve()).encode(errors="surrogateescape")).hexdigest()[:20]
    return runtime_folder() / f"gui-{name}.json"


def runtime_folder() -> Path:
    """Return a folder that only this user can look into; it is made where it is not there.

    Raises
    ------
    EnvironmentMissing
        It belongs to somebody else, or others can write to it.
    """
    given = os.environ.get(_RUNTIME)
    base = os.environ.get("XDG_RUNTIME_DIR")
    if given:
        folder = Path(given)
    elif base and os.access(base, os.W_OK):
        folder = Path(base) / "vitreous"
    else:
        folder = Path(tempfile.gettempdir()) / f"vitreous-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_safe = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_safe or found.st_mode & 0o077:
        raise EnvironmentMissing(
            f"{folder} must be a folder of yours that nobody else can open (mode 0700), because "
            f"the token is kept there. Mend it, or set {_RUNTIME} to another one."
        )
    return folder


def open_browser(url: str) -> bool:
    """Open the pages in a browser of this machine, where it has a screen."""
    has_screen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not has_screen or os.environ.get("SSH_CONNECTION"):
        return False
    with contextlib.suppress(webbrowser.Error):
        return webbrowser.open(url)
    return False


def _refuse_network(where: Where) -> None:
    if where.socket is not None or where.host == "localhost":
        return
    try:
        is_here = ipaddress.ip_address(where.host).is_loopback
    except ValueError:
        is_here = False
    if not is_here and not where.allow_network:
        raise InputError(
            f"{where.host} can be reached from other machines, over a connection that anybody on "
            "the way can read. Leave --host out and come in through `ssh -L 8710:127.0.0.1:8710`, "
            "or say --allow-network if that is what you want."
        )


def _names(where: Where) -> frozenset[str]:
    names = {name.lower() for name in where.hosts}
    if where.allow_network:
        names |= {where.host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


def _keys_file(root: Path) -> Path:
    return token_file(root).with_suffix(".keys")


def _keep(root: Path, where: Where, listener: socket.socket, keys: Keys) -> None:
    port = keys.port if where.socket is not None else int(listener.getsockname()[1])
    keep(_keys_file(root), replace(keys, port=port))


@contextlib.contextmanager
def _listening(root: Path, where: Where, last_port: int) -> Iterator[socket.socket]:
    """Open what the server listens on."""
    if where.socket is not None:
        path = where.socket if str(where.socket) not in ("", ".") else _socket_of(root)
        with _unix_socket(path) as listener:
            yield listener
        return
    listener = _bound(where, last_port)
    try:
        yield listener
    finally:
        listener.close()


def _bound(where: Where, last_port: int) -> socket.socket:
    kind = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    usual = [*([last_port] if last_port else []), *range(PORT, PORT + _PORTS_TRIED)]
    ports = [where.port] if where.port is not None else usual
    for port in ports:
        listener = socket.socket(kind, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((where.host, port))
            listener.listen(128)
        except OSError as error:
            listener.close()
            reason = error.strerror
        else:
            return listener
    which = f"port {where.port}" if where.port is not None else f"no port from {PORT} on"
    raise EnvironmentMissing(
        f"{where.host}: {which} can be listened on ({reason}). Give another with --port, or 0 for "
        "any."
    )


def _socket_of(root: Path) -> Path:
    return token_file(root).with_suffix(".sock")


@contextlib.contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """Listen on a socket that only its owner can open."""
    if path.exists() and not path.is_socket():
        raise InputError(f"{path} is there and is no socket; give another path")
    if path.is_socket():
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise InputError(f"{path}: another server listens there; give another path")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise InputError(f"{path}: cannot be a socket ({error.strerror or error})") from error
    finally:
        os.umask(before)
    try:
        listener.listen(128)
        yield listener
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _told(root: Path, where: Where, listener: socket.socket, access: Access) -> Running:
    if where.socket is not None:
        address, path = f"http://localhost:{PORT}", str(listener.getsockname())
    else:
        name, port = listener.getsockname()[:2]
        shown = f"[{name}]" if ":" in name else name
        shown = "127.0.0.1" if shown == "0.0.0.0" else shown
        address, path = f"http://{shown}:{port}", ""
    mine = process_table.entry(os.getpid())
    return Running(
        project=str(root),
        url=f"{address}/?token={access.token}",
        read_only_url=f"{address}/?token={access.read_only_token}",
        socket=path,
        start_ticks=mine.start_ticks if mine else 0,
    )


@contextlib.contextmanager
def _file_of(root: Path, told: Running) -> Iterator[None]:
    """Keep the tokens in a file of mode 0600 while the server runs."""
    path = token_file(root)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(asdict(told), stream)
    temporary.replace(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            if json.loads(path.read_text()).get("pid") == os.getpid():
                path.unlink()
