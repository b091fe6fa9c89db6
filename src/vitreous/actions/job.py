"""One job of a project, as Python sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vitreous.actions import report
from vitreous.actions.nodes import Outputs
from vitreous.project import notes
from vitreous.project.pipeline import Process, Status
from vitreous.running import record
from vitreous.running.state import JobState, job_state

if TYPE_CHECKING:
    from vitreous.actions.project import Project


class Job:
    """A job. It holds no state of its own: each question looks at the project again.

    Parameters
    ----------
    project
        The project.
    name
        Job folder with its slash: ``Class2D/job007/``.
    """

    def __init__(self, project: Project, name: str) -> None:
        self.project = project
        self.name = name

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.status}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.path, self.name) == (other.path, other.name)

    def __hash__(self) -> int:
        return hash((self.path, self.name))

    @property
    def process(self) -> Process:
        """What the graph says of it."""
        return self.project.pipeline.find(self.name)

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.project.root / self.name

    @property
    def number(self) -> int:
        """Its number."""
        return self.process.number

    @property
    def alias(self) -> str | None:
        """Its alias with the folder (``Class2D/good/``), or None."""
        return self.process.alias

    @property
    def type(self) -> str:
        """Type label with sub-labels: ``relion.class2d.helical``."""
        return self.process.type_label

    @property
    def state(self) -> JobState:
        """Its state with the reason, as its own folder tells it."""
        return job_state(self.project.root, self.process)

    @property
    def status(self) -> Status:
        """``Running``, ``Scheduled``, ``Succeeded``, ``Failed`` or ``Aborted``."""
        return self.state.status

    @property
    def is_interactive(self) -> bool:
        """Whether it waits for a person (picking, selecting) and has no process."""
        known = record.read_process(self.path)
        return known is not None and known.state == report.INTERACTIVE

    @property
    def options(self) -> Mapping[str, Any]:
        """Every option by our name, with its value."""
        rows, unknown = report.options_of(self.path)
        return {row["name"]: row["value"] for row in rows} | dict(unknown)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that it reads."""
        nodes = self.project.pipeline.inputs(self.name)
        return tuple(self.project.root / node.name for node in nodes)

    @property
    def outputs(self) -> Outputs:
        """The files that it makes, by short name (``particles``, ``map``) or file name."""
        return Outputs(self.project.root, self.project.pipeline.outputs(self.name))

    @property
    def results(self) -> dict[str, Any]:
        """What it found: ``headline`` numbers by name, ``timing``, ``plots``, ``warnings``."""
        found = record.read_results(self.path)
        headline = {one["name"]: one["value"] for one in found.get("headline", [])}
        return {**headline, **found}

    @property
    def note(self) -> str:
        """Its note."""
        return notes.read_note(self.path)

    def log(self, *, err: bool = False) -> str:
        """Return what it printed: ``run.out``, or ``run.err``."""
        try:
            path = self.path / (record.ERR if err else record.OUT)
            return path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait(
        self,
        timeout_s: float | None = None,
        *,
        poll_s: float = 0.2,
        on_poll: Callable[[], None] = lambda: None,
    ) -> Status:
        """Wait until it has ended and return how.

        Parameters
        ----------
        timeout_s
            Raise `TimeoutError` after so many seconds; None waits for ever.
        poll_s
            Seconds between two looks.
        on_poll
            Called at each look.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while not self.status.is_finished:
            on_poll()
            if end is not None and time.monotonic() > end:
                raise TimeoutError(f"{self.name} has not ended after {timeout_s:g} s")
            time.sleep(poll_s)
        self.project.refresh()
        return self.status
