"""How much memory this process may still use.

The machine's own count is not enough: in a container or a batch job a control group (cgroup) has
a smaller limit, and whoever passes it is killed without a word.
"""

from __future__ import annotations

import os
from pathlib import Path

_UNLIMITED = 1 << 60


def available_bytes(root: Path = Path("/")) -> int:
    """Return the memory that can be used without swapping or being killed.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are found; another folder in tests.

    Returns
    -------
    int
        The least of what Linux tells and what the control groups of this process have left;
        pages that only cache files count as free.
    """
    return max(0, min(_of_machine(root), *_of_groups(root), _UNLIMITED))


def _of_machine(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable"):
            return 1024 * int(line.split()[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _of_groups(root: Path) -> list[int]:
    """Return what is left in every control group that this process is in, the outer ones too."""
    left = [_UNLIMITED]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        is_second = controllers == ""
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.strip("/")
        # Inside a container the path may be the host's, and not be there.
        for folder in (group, *group.parents):
            left.append(_left(folder, is_second=is_second))
            if folder == top:
                break
    return left


def _left(folder: Path, *, is_second: bool) -> int:
    """Return limit less use of one control group, of the second or the first version."""
    names = ("memory.max", "memory.current") if is_second else _FIRST_NAMES
    limit, used = (_text(folder / name).strip() for name in names)
    if not limit.isdigit() or int(limit) >= _UNLIMITED:  # "max", or not there
        return _UNLIMITED
    cached = 0
    wanted = "inactive_file" if is_second else "total_inactive_file"
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == wanted:
            cached = int(value)
    return int(limit) - max(0, int(used or 0) - cached)


_FIRST_NAMES = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
