"""What every command-line tool does around its work: tell its lines or its error, and a code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from vitreous.errors import InputError, VitreousError


def report(name: str, work: Callable[[], Iterable[str]]) -> int:
    """Do the work of a tool, print what it returns, and give the exit code.

    Parameters
    ----------
    name
        The tool, as the user typed it.
    work
        Returns the lines to print.

    Returns
    -------
    int
        0 when it went well, 2 when the input was wrong, 1 for any other known failure.
    """
    try:
        lines = list(work())
    except VitreousError as error:
        sys.stderr.write(f"vitreous {name}: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    except OSError as error:  # a full disk, a folder that cannot be written
        sys.stderr.write(f"vitreous {name}: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
