"""The lock of a project: RELION's own, with the owner written inside.

RELION makes the folder ``.relion_lock`` (mkdir is atomic on every file system) while it reads,
changes and writes the pipeline, and so do we, so that both may work on one project. Our lock
also says who holds it: host, process id, boot id and start time of the process. A lock whose
owner is dead is recognised at once and can be removed (pipeline.md section 7).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vitreous.errors import LockedError, ProjectError

FOLDER: Final = ".relion_lock"
_MARK: Final = "vitreous"
ADVICE: Final = {
    errno.EACCES: "you may not write in it; ask its owner, or open the project read-only",
    errno.EPERM: "you may not write in it; ask its owner, or open the project read-only",
    errno.EROFS: "its file system is mounted read-only; open the project read-only",
    errno.ENOSPC: "the disk is full; make room (empty the Trash, clean jobs) and try again",
    errno.EDQUOT: "your disk quota is used up; make room (empty the Trash, clean jobs)",
    errno.ENOENT: "the folder is gone",
}


@dataclass(frozen=True)
class LockPolicy:
    """How long to wait for a lock.

    Parameters
    ----------
    timeout_s
        Give up after so many seconds while somebody alive holds the lock.
    retry_s
        Seconds between two tries.
    notice_s
        Log a line that says what is waited for after so many seconds.
    nameless_s
        A lock without any text, once it is older than this, is of a program that died between
        two system calls.
    """

    timeout_s: float = 60.0
    retry_s: float = 0.02
    notice_s: float = 3.0
    nameless_s: float = 5.0


@dataclass(frozen=True)
class Owner:
    """Who holds a lock, as far as the lock tells.

    Parameters
    ----------
    reason
        What the owner is doing.
    host, boot_id, namespace, pid, started
        The process; `started` is its start time in clock ticks since boot, `namespace` what
        its number counts in (containers have their own). None for a lock of RELION, which
        does not say.
    since
        Seconds since the epoch when the lock was made.
    """

    reason: str
    since: float
    host: str | None = None
    boot_id: str | None = None
    namespace: str | None = None
    pid: int | None = None
    started: int | None = None

    @property
    def is_dead(self) -> bool:
        """Whether the owner surely does not run any more (only known on its own host)."""
        if self.host != socket.gethostname() or self.pid is None:
            return False
        if self.boot_id != boot_id():
            return True
        return self.namespace == pid_namespace() and process_start(self.pid) != self.started

    def __str__(self) -> str:
        """Say who holds the lock since when."""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        if self.pid is None:
            reason = self.reason or "no reason given"
            return f"a program that left no name (RELION does not), since {when} ({reason})"
        return f"process {self.pid} on {self.host}, since {when} ({self.reason})"


class Lock:
    """A held lock; made by `locked`."""

    def __init__(self, folder: Path, file: Path, text: str) -> None:
        self.folder = folder
        self._file = file
        self._text = text

    def is_ours(self) -> bool:
        """Tell whether the lock on disk is still this one."""
        try:
            return self._file.read_text() == self._text
        except OSError:
            return False

    def release(self) -> None:
        """Give the lock back, unless it was taken away meanwhile."""
        if self.is_ours():
            self._file.unlink()
            self.folder.rmdir()


@contextlib.contextmanager
def locked(
    root: Path, reason: str, *, name: str = "default", policy: LockPolicy | None = None
) -> Iterator[Lock]:
    """Hold the lock of the project at `root` while the block runs.

    Parameters
    ----------
    root
        Project folder.
    reason
        Why, for whoever waits: ``adding Class2D/job007/``.
    name
        Name of the pipeline.
    policy
        How long to wait.

    Raises
    ------
    LockedError
        Somebody else holds it, or held it and died; the message says who, since when and what
        to do.
    ProjectError
        The folder cannot be written (permissions, full disk, read-only).
    """
    lock = _acquire(root, reason, name, policy or LockPolicy())
    try:
        yield lock
    finally:
        lock.release()


def read_owner(root: Path) -> Owner | None:
    """Return who holds the lock of a project, or None if it is free."""
    folder = root / FOLDER
    try:
        since = folder.stat().st_mtime
        files = sorted(folder.glob("lock_*"))
        text = files[0].read_text(errors="replace") if files else ""
    except (FileNotFoundError, IndexError):
        return None
    lines = text.splitlines()
    if not lines or not lines[0].startswith(f"{_MARK}: "):
        return Owner(" ".join(lines), since)
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    try:
        return Owner(
            fields[_MARK],
            float(fields["time"]),
            fields["host"],
            fields["boot"],
            fields["namespace"],
            int(fields["pid"]),
            int(fields["started"]),
        )
    except (KeyError, ValueError):  # it died while it signed
        return Owner("", since)


def break_stale_lock(root: Path, *, force: bool = False) -> Owner | None:
    """Remove the lock of a process that died.

    Parameters
    ----------
    root
        Project folder.
    force
        Also remove a lock whose owner cannot be judged: one of RELION, or of another host.
        Ask the user first.

    Returns
    -------
    Owner | None
        Whose lock was removed, or None where there was none.

    Raises
    ------
    LockedError
        The owner lives, or cannot be judged and `force` is off.
    """
    with _one_breaker(root):
        owner = read_owner(root)
        if owner is None:
            return None
        if not (force or _is_stale(root, owner, LockPolicy())):
            raise LockedError(
                f"{root}: the lock was not removed, it is held by {owner}. If you are sure that "
                f"no program works on this project, remove it with `vitreous unlock --force`."
            )
        folder = root / FOLDER
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        return owner


def boot_id() -> str:
    """Return an id that changes when this machine starts anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def pid_namespace() -> str:
    """Return an id of the space that process numbers count in: containers have their own."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"


def process_start(pid: int) -> int | None:
    """Return when a process of this host started (clock ticks since boot), None if it is dead."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _acquire(root: Path, reason: str, name: str, policy: LockPolicy) -> Lock:
    folder = root / FOLDER
    began = time.monotonic()
    is_told = False
    while True:
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            waited_s = time.monotonic() - began
            _refuse_or_wait(root, policy, waited_s)
            if not is_told and waited_s >= policy.notice_s:
                _tell_waiting(root)
                is_told = True
            continue
        except OSError as error:
            raise _cannot_write(root, error) from error
        return _sign(root, folder, reason, name)


def _sign(root: Path, folder: Path, reason: str, name: str) -> Lock:
    """Write the owner into a lock folder that we just made."""
    text = (
        f"{_MARK}: {' '.join(reason.split())}\nhost: {socket.gethostname()}\npid: {os.getpid()}\n"
        f"boot: {boot_id()}\nnamespace: {pid_namespace()}\n"
        f"started: {process_start(os.getpid())}\ntime: {time.time():.3f}\n"
    )
    file = folder / f"lock_{name}_pipeline.star"
    try:
        file.write_text(text)
    except OSError as error:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
            folder.rmdir()
        raise _cannot_write(root, error) from error
    return Lock(folder, file, text)


def _tell_waiting(root: Path) -> None:
    """Say who is waited for, on stderr where the caller has not arranged otherwise."""
    import logging  # seldom needed, and slow to import

    owner = read_owner(root)
    if owner is not None:
        logging.getLogger(__name__).warning("%s: waiting for the lock, held by %s", root, owner)


def _refuse_or_wait(root: Path, policy: LockPolicy, waited_s: float) -> None:
    owner = read_owner(root)
    if owner is None:
        return
    if _is_stale(root, owner, policy):
        raise LockedError(
            f"{root}: the project is locked by {owner}, which does not run any more. "
            f"The pipeline file is whole. Remove the lock with `vitreous unlock`, or take away "
            f"the folder {root / FOLDER}."
        )
    # RELION holds its lock for moments; one that is old was left behind when it died.
    is_old = owner.pid is None and time.time() - owner.since > policy.timeout_s
    if waited_s >= (policy.notice_s if is_old else policy.timeout_s):
        raise LockedError(
            f"{root}: the project has been locked for {time.time() - owner.since:.0f} s by "
            f"{owner}. A change takes less than a second. If that program does not run any "
            f"more, remove the lock with `vitreous unlock --force`, or take away the folder "
            f"{root / FOLDER}."
        )
    time.sleep(policy.retry_s)


def _is_stale(root: Path, owner: Owner, policy: LockPolicy) -> bool:
    if owner.pid is not None:
        # Read again: it may have given the lock back and ended between our two looks.
        return owner.is_dead and read_owner(root) == owner
    return not owner.reason and time.time() - owner.since > policy.nameless_s


def _cannot_write(root: Path, error: OSError) -> ProjectError:
    advice = ADVICE.get(error.errno or 0, "check the file system")
    return ProjectError(
        f"{root}: the project cannot be changed ({os.strerror(error.errno or 0)}): {advice}. "
        f"Nothing was written."
    )


@contextlib.contextmanager
def _one_breaker(root: Path) -> Iterator[None]:
    """Let one process of this host at a time remove a stale lock.

    Two that judge the same lock stale could else remove the new lock of a third. A dead owner
    is recognised on its own host only, so that a lock between processes of one host is enough.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
