"""Every exception that vitreous raises.

```
VitreousError
├── InputError(ValueError)                 the user can fix it
│   ├── MissingFileError(FileNotFoundError)    a file that was named is not there
│   ├── FormatError                            a file is there and is not what it should be
│   │   └── AbsentError(KeyError)                  it lacks a table or a column that is needed
│   └── OptionError                            one or more options of a job cannot work
├── ProjectError(RuntimeError)             the folder is not what we think it is
│   ├── LockedError(TimeoutError)              somebody else holds the project
│   └── NotAProjectError                       no project here
├── ComputeError(ArithmeticError)          numbers went wrong
└── EnvironmentMissing(RuntimeError)       a GPU, a program, a package or memory is missing
```

A message says where, what was found, what was wanted and what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class VitreousError(Exception):
    """Base of all errors that vitreous raises on purpose."""


class InputError(VitreousError, ValueError):
    """Something that was given cannot work, and whoever gave it can change it."""


class MissingFileError(InputError, FileNotFoundError):
    """A file that was named does not exist."""

    def __str__(self) -> str:
        """Return the message alone; `OSError` would format its arguments."""
        return str(self.args[0]) if self.args else ""


class FormatError(InputError):
    """A file was found but its content is not what it should be."""


class AbsentError(FormatError, KeyError):
    """A file or a table lacks the table or the column that was asked for."""

    def __str__(self) -> str:
        """Return the message alone; `KeyError` would quote it."""
        return str(self.args[0]) if self.args else ""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one option of a job.

    Parameters
    ----------
    option
        Our name of the option, or an empty text where a rule joins several.
    message
        What was found, what was wanted, what to do.
    severity
        ``error`` refuses the job, ``warning`` is shown and does not.
    """

    option: str
    message: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        """Return ``option: message``."""
        return f"{self.option}: {self.message}" if self.option else self.message


class OptionError(InputError):
    """Options of a job cannot work; all problems are told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ProjectError(VitreousError, RuntimeError):
    """The project folder is not what we think it is."""


class LockedError(ProjectError, TimeoutError):
    """Somebody else holds the lock of the project."""

    def __str__(self) -> str:
        """Return the message alone; `OSError` would format its arguments."""
        return str(self.args[0]) if self.args else ""


class NotAProjectError(ProjectError):
    """The folder is not a project."""


class ComputeError(VitreousError, ArithmeticError):
    """Numbers went wrong: not finite, did not converge, nothing left."""


class EnvironmentMissing(VitreousError, RuntimeError):  # noqa: N818 - the style guide's name
    """The machine lacks something: a GPU, memory, a program, a package."""


def no_package(name: str) -> EnvironmentMissing:
    """Return what to tell where a Python package that vitreous cannot do without is missing."""
    return EnvironmentMissing(
        f"The Python package {name} is not installed beside vitreous. Install vitreous again "
        f"(`make install`, or `pip install .` in its folder), or run `{sys.executable} -m pip "
        f"install {name}`."
    )
