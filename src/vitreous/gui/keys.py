"""The tokens of a project's server: kept between starts, so that open windows go on.

They lie beside the file that tells of a running server, in a folder that only this user can look
into, in a file of mode 0600. They are made anew after a week, when asked for, and whenever the
file is not as it was written. Each is 32 random bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

LIFE_S: Final = 7 * 24 * 3600.0
_LEAST: Final = 43  # characters of 32 bytes


@dataclass(frozen=True)
class Keys:
    """Tokens of a project, and the port that its windows know.

    Parameters
    ----------
    token, read_only_token
        Secrets.
    made
        When, in seconds since 1970.
    port
        Where the server listened last; 0 where that is not known.
    """

    token: str
    read_only_token: str
    made: float
    port: int = 0


def keys_of(path: Path, *, renew: bool = False, now: float | None = None) -> Keys:
    """Return the keys kept in a file; new ones where there are none that can be used.

    Parameters
    ----------
    path
        The file.
    renew
        Make new ones: whoever has the old ones is out.
    now
        Seconds since 1970.
    """
    moment = time.time() if now is None else now
    known = None if renew else _read(path)
    if known is not None and 0 <= moment - known.made < LIFE_S:
        return known
    port = known.port if known else 0
    return Keys(secrets.token_urlsafe(32), secrets.token_urlsafe(32), moment, port)


def keep(path: Path, keys: Keys) -> None:
    """Write keys so that only this user can read them."""
    temporary = path.with_suffix(f".{os.getpid()}.new")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, 0o600), "w") as stream:
        json.dump(asdict(keys), stream)
    temporary.replace(path)


def _read(path: Path) -> Keys | None:
    """Return what is kept; None where somebody else could have written or read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor) as stream:
        found = os.fstat(stream.fileno())
        is_mine = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid()
        if not is_mine or found.st_mode & 0o077:
            return None
        try:
            told = json.load(stream)
            keys = Keys(
                str(told["token"]), str(told["read_only_token"]), float(told["made"]), told["port"]
            )
        except (ValueError, TypeError, KeyError):
            return None
    is_whole = min(len(keys.token), len(keys.read_only_token)) >= _LEAST
    return keys if is_whole and keys.port in range(1 << 16) else None
