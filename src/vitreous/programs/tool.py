"""What every command-line tool does around its work: tell its lines or its error, and a code."""

from __future__ import annotations

import argparse
import gc
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

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
        0 when it went well, 2 when the input was wrong, 1 for any other known failure, 130 when
        it was stopped by Ctrl-C.
    """
    gc.freeze()  # what was imported stays; looking it through again takes a tenth of a second
    try:
        with _ended_by_sigterm():
            lines = list(work())
    except KeyboardInterrupt:
        sys.stderr.write(f"vitreous {name}: stopped\n")
        return 130
    except VitreousError as error:
        sys.stderr.write(f"vitreous {name}: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    except OSError as error:  # a full disk, a folder that cannot be written
        sys.stderr.write(f"vitreous {name}: {_in_words(error)}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does: temporary files and other processes go."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class HelpWithDefaults(argparse.HelpFormatter):
    """Help of a tool that tells defaults, where there is something to tell."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        default = action.default
        says_nothing = default is None or default is False or default in ("", argparse.SUPPRESS)
        if says_nothing or default == [] or not action.option_strings:
            return text
        shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
        return f"{text} (default: {shown})"


def finite(text: str) -> float:
    """Read a number of the command line; NaN and infinity are none (a type for argparse)."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a number")
    return value


def positive(text: str) -> float:
    """Read a number above 0 (a type for argparse)."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a number above 0")
    return value


def at_least(least: float) -> Callable[[str], float]:
    """Return a reader of numbers that are not below `least` (a type for argparse)."""

    def read(text: str) -> float:
        value = finite(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r}; wanted {least:g} or more")
        return value

    return read


def count_from(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers that are not below `least` (a type for argparse)."""

    def read(text: str) -> int:
        value = at_least(least)(text)
        if value != int(value):
            raise argparse.ArgumentTypeError(f"{text!r}; wanted a whole number")
        return int(value)

    return read


def star_name(text: str) -> str:
    """Take a name that ends in .star, so that no map is overwritten (a type for argparse)."""
    return _ending(text, ".star")


def map_name(text: str) -> str:
    """Take a name that ends as maps do, so that no table is overwritten (a type for argparse)."""
    return _ending(text, ".mrc", ".map")


def _ending(text: str, *endings: str) -> str:
    if Path(text).suffix not in endings:
        raise argparse.ArgumentTypeError(f"{text!r}; wanted a name that ends in {endings[0]}")
    return text


def _in_words(error: OSError) -> str:
    """Say which file could not be read or written, and why."""
    if not error.filename:
        return str(error)
    folder = Path(str(error.filename)).parent
    if isinstance(error, FileNotFoundError) and not folder.is_dir():
        return f"{error.filename}: there is no folder {folder}. Make it first."
    return f"{error.filename}: {error.strerror}"
