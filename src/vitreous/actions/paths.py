"""Paths that a user gives, in the form that a project stores: relative, no alias, no ``..``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from vitreous.errors import InputError


class OutsideError(InputError):
    """A path that does not lie in the project folder."""


def inside(root: Path, text: str) -> str:
    """Return a path below the project folder in the form that RELION stores.

    Symbolic links are not followed: a link in the project to data elsewhere is the way to use
    them.

    Parameters
    ----------
    root
        The project folder, absolute.
    text
        What the user gave: relative to the project, or absolute. A wildcard may stand in it.

    Raises
    ------
    OutsideError
        If it leads out of the project; the message says how to bring the file in.
    """
    if not text.strip() or text.startswith("$$"):
        return text
    path = os.path.expanduser(text.strip())
    if not os.path.isabs(path):
        path = os.path.normpath(os.path.join(root, path))
    path = os.path.normpath(path)
    above = next((base for base in (path, *map(str, Path(path).parents)) if _is(base, root)), None)
    if above is not None:
        relative = os.path.relpath(path, above)
        return relative + ("/" if text.endswith("/") and relative != "." else "")
    raise OutsideError(_how_to_bring_in(text, path))


def _is(base: str, root: Path) -> bool:
    """Tell whether a folder is the project, by whatever links it is reached."""
    try:
        return base == str(root) or os.path.samefile(base, root)
    except OSError:
        return False


def _how_to_bring_in(text: str, path: str) -> str:
    literal = path.split("*", 1)[0].split("?", 1)[0]
    target = literal if literal == path else os.path.dirname(literal)
    name = os.path.basename(target.rstrip("/")) or "Data"
    rest = path[len(target) :].lstrip("/")
    instead = f"{name}/{rest}" if rest else name
    return (
        f"{text} lies outside the project, whose files all have paths relative to it. "
        f"Make a link (`ln -s {quote(target.rstrip('/'))} {quote(name)}`) and give {instead}"
    )


def nearest(wanted: str, names: Iterable[str], n: int = 5) -> list[str]:
    """Return the names most like `wanted`, those with the same file name first."""
    import difflib

    names = list(names)
    base = os.path.basename(wanted)
    alike = [name for name in names if base and os.path.basename(name) == base]
    close = difflib.get_close_matches(wanted, names, n=n, cutoff=0.6)
    return list(dict.fromkeys([*reversed(alike), *close]))[:n]
