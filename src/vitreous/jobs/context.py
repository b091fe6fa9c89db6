"""What a program sees of the job that it runs.

A program is a function ``run(options, run: Run) -> None``. It says how far it is through
`Run.phase`, asks now and then whether it should stop through `Run.check_abort`, and hands in
what it found. It never writes exit markers and never reads the command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn, Protocol, runtime_checkable


class Aborted(BaseException):
    """Somebody asked the job to stop.

    Not an `Exception`, like `KeyboardInterrupt`: a program that skips what fails must not
    skip this. Keep what is finished, write nothing half, let it pass.
    """


@runtime_checkable
class Progress(Protocol):
    """How far one phase is."""

    def advance(self, n: int = 1) -> None:
        """Tell that `n` more units are done."""

    def work(self, flop: float = 0.0, n_bytes: float = 0.0) -> None:
        """Count arithmetic done and bytes read or written, for the speeds in ``results.json``."""


@runtime_checkable
class Run(Protocol):
    """The job that a program runs; its working directory is the project folder."""

    @property
    def project(self) -> Path:
        """The project folder."""

    @property
    def folder(self) -> str:
        """The job folder below the project, with its slash: ``Import/job001/``."""

    @property
    def path(self) -> Path:
        """The job folder itself: `project` / `folder`."""

    @property
    def is_continue(self) -> bool:
        """Whether the job was started before and goes on."""

    @property
    def n_threads(self) -> int:
        """Threads that each rank may use."""

    @property
    def rank(self) -> int:
        """Which of the processes this is, from 0. Only rank 0 writes to the job folder."""

    @property
    def n_ranks(self) -> int:
        """How many processes the job has."""

    def phase(self, name: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        """Begin a part of the work and report how far it is until the block ends.

        Parameters
        ----------
        name
            What is done, as a user would say it: ``Aligning movies``.
        total
            How many units there are; 0 where nobody knows.
        unit
            What is counted, in the plural: ``movies``.

        Examples
        --------
        >>> with run.phase("Aligning movies", len(movies), "movies") as progress:
        ...     for movie in movies:
        ...         align(movie)
        ...         progress.advance()
        """

    def check_abort(self) -> None:
        """Raise `Aborted` where the job was asked to stop. Cheap: call it for every unit."""

    def warn(self, what: str, unit: str = "") -> None:
        """Tell of something that does not stop the job; it is printed, counted and listed.

        Parameters
        ----------
        what
            What is wrong and what it may cost. Equal texts are counted together.
        unit
            Which movie, micrograph, particle or row it happened to.
        """

    def headline(self, name: str, value: float | str, unit: str = "", label: str = "") -> None:
        """Hand in a number that the job is judged by.

        Parameters
        ----------
        name
            Short name for programs: ``resolution``.
        value, unit
            The number, with its unit: ``2.87``, ``Å``.
        label
            What people read: ``Final resolution``. `name` where it is empty.
        """

    def plot(self, name: str, kind: str, title: str, data: Mapping[str, object]) -> None:
        """Hand in the data of a plot; it is kept in ``plots/<name>.json``.

        Parameters
        ----------
        name
            A file name without its ending.
        kind
            ``line``, ``scatter``, ``histogram``, ``image``, ...
        title
            What people read above it.
        data
            Plain numbers, texts, lists and mappings; ``axes`` holds a label and a unit of each.
        """

    def add_output(self, path: str, node_type: str) -> None:
        """Register an output that could not be told before the job ran.

        Parameters
        ----------
        path
            The file, from the project folder: ``Select/job008/particles_split3.star``.
        node_type
            Its node type in the 5 form, of `vitreous.project.node_types`.
        """

    def say(self, text: str) -> None:
        """Print a line to the job's ``run.out``."""

    def hand_over(self, command: str) -> NoReturn:
        """Become a shell command, which from here on is the job and writes its own exit marker.

        Parameters
        ----------
        command
            What the shell runs, in the project folder.
        """
