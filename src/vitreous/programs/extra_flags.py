"""Flags typed into a job's "Additional arguments", for what its form does not offer."""

from __future__ import annotations

import argparse
import shlex
from typing import NoReturn

from vitreous.errors import InputError


class Flags(argparse.ArgumentParser):
    """A parser that refuses as the rest of vitreous does.

    Parameters
    ----------
    job
        Name of the job type, for messages.
    """

    def __init__(self, job: str) -> None:
        super().__init__(prog="", add_help=False, allow_abbrev=False)
        self.job = job

    def read(self, text: str) -> argparse.Namespace:
        """Parse the text of the option.

        Raises
        ------
        InputError
            A flag is unknown or lacks its value; the message lists all flags.
        """
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise InputError(f"Additional arguments {text!r}: {error}.") from None
        return self.parse_args(words)

    def error(self, message: str) -> NoReturn:
        """Refuse with the flags that there are."""
        known = " ".join(self.format_usage().removeprefix("usage:").split())
        raise InputError(
            f"Additional arguments: {message}. A {self.job} job takes: {known or 'none'}."
        )
